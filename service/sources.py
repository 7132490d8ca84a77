"""The types of tables that the service and its clients take."""

import os
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]
"""The cells of one row, by column name."""
Source = str | os.PathLike[str] | bytes | Iterable[Row] | AsyncIterable[bytes] | AsyncIterable[Row]
"""A path, a file's bytes, rows, or an asynchronous iterator of bytes or rows."""
OnProgress = Callable[[int, int | None], None]
"""Called with the bytes moved so far and the total, or None where that is not known."""
