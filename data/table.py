"""A table in memory: one array a column, every cell already what its column's kind says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Codes:
    """Cells of text as indices into `levels`; -1 where missing."""

    codes: NDArray[np.int32]
    levels: tuple[str, ...]

    def take(self, rows: NDArray[Any]) -> "Codes":
        """Return the cells of these rows."""
        return Codes(self.codes[rows], self.levels)

    def texts(self) -> list[str | None]:
        """Return the cells as text."""
        levels = (*self.levels, None)
        return [levels[code] for code in self.codes.tolist()]


Cells = Numbers | Codes  # numbers are NaN where missing; times are seconds since 1970


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of equal length by name."""

    columns: dict[str, Cells]
    n_rows: int

    def take(self, rows: NDArray[Any]) -> "Table":
        """Return these rows: indices, or a mask."""
        taken = {name: c.take(rows) if isinstance(c, Codes) else c[rows] for name, c in self.columns.items()}
        return Table(taken, int(rows.sum()) if rows.dtype == np.bool_ else len(rows))


def codes_of(texts: Sequence[str | None]) -> Codes:
    """Return the texts as codes, levels in the order of their first appearance."""
    index: dict[str, int] = {}
    codes = np.fromiter(
        (-1 if text is None else index.setdefault(text, len(index)) for text in texts), np.int32, len(texts)
    )
    return Codes(codes, tuple(index))
