"""The kinds of files a table comes in, and how their bytes and text are opened. Imports neither numpy nor duckdb.

A format is written `csv`, `csv.gz`, `tsv`, `tsv.gz`, `jsonl`, `jsonl.gz` or `parquet`, with `;charset=latin-1`
behind it where a text is not UTF-8: an encoding is said by whoever knows it, never guessed.
"""

import codecs
import gzip
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Literal, cast

from traind.data.errors import BadTable

FORMATS = ("csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "parquet")
_CHARSETS = {"utf-8": "utf-8", "iso8859-1": "latin-1", "utf-16": "utf-16"}  # Python's name -> duckdb's

Kind = Literal["csv", "tsv", "jsonl", "parquet"]


@dataclass(frozen=True, slots=True)
class Format:
    """How a file's bytes are to be read."""

    kind: Kind
    is_gzip: bool = False
    charset: str = "utf-8"

    def __str__(self) -> str:
        name = f"{self.kind}.gz" if self.is_gzip else str(self.kind)
        return name if self.charset == "utf-8" else f"{name};charset={self.charset}"


def parse_format(text: str) -> Format:
    """Return the format written in `text`, or raise `BadTable`."""
    name, _, rest = text.lower().partition(";")
    if name.strip() not in FORMATS:
        raise BadTable(f"{text!r} is not a format that can be read", hint=f"one of {', '.join(FORMATS)}")
    kind, _, gz = name.strip().partition(".")
    return Format(cast("Kind", kind), is_gzip=gz == "gz", charset=_charset(rest))


def _charset(rest: str) -> str:
    key, _, value = rest.strip().partition("=")
    if not rest.strip():
        return "utf-8"
    try:
        found = _CHARSETS[codecs.lookup(value.strip().strip('"')).name] if key.strip() == "charset" else None
    except LookupError:
        found = None
    if found is None:
        raise BadTable(f"{rest.strip()!r} is not an encoding that can be read", hint="utf-8, latin-1 or utf-16")
    return found


def open_bytes(path: Path, form: Format) -> BinaryIO:
    """Open the file for reading its bytes, unzipped."""
    return cast("BinaryIO", gzip.open(path, "rb")) if form.is_gzip else path.open("rb")


def open_text(path: Path, form: Format) -> TextIOWrapper:
    """Open the file for reading its text, a byte order mark dropped and line ends kept; the caller closes it."""
    charset = "utf-8-sig" if form.charset == "utf-8" else form.charset
    return TextIOWrapper(open_bytes(path, form), encoding=charset, newline="")
