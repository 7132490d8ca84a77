"""The kinds of files a table comes in, and how their bytes and text are opened. Imports neither numpy nor duckdb.

A format is written `csv`, `csv.gz`, `tsv`, `tsv.gz`, `jsonl`, `jsonl.gz` or `parquet`, with `;charset=latin-1`
behind it where a text is not UTF-8: an encoding is said by whoever knows it, never guessed.
"""

import codecs
import gzip
import zlib
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Literal, cast

from traind.data.errors import BadTable

FORMATS = ("csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "parquet")
_CHARSETS = {"utf-8": "utf-8", "iso8859-1": "latin-1", "utf-16": "utf-16"}  # Python's name -> duckdb's

_ENDINGS = {"ndjson": "jsonl", "txt": "csv", "pq": "parquet", "tab": "tsv"}  # of file names
_HEAD = 4_096  # bytes looked at

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


def detect(path: Path, hint: str | None = None) -> Format:
    """Return the format of a file's content; `hint` is a format, a file's name or the end of one.

    Raises:
        BadTable: the content is none of ours, or not what the hint says.
    """
    said = _hinted(hint)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(b"PAR1"):
        return Format("parquet")
    is_gzip = head.startswith(b"\x1f\x8b")
    if is_gzip:
        head = _unzipped_head(path)
    _refuse_foreign(head)
    charset = said.charset if said else "utf-8"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        charset = "utf-16"
    if said and said.kind == "parquet":
        raise BadTable("the file is not Parquet: it does not begin with PAR1")
    if said and hint in FORMATS:
        kind = said.kind
    elif head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        kind = "jsonl"
    else:
        kind = "tsv" if said and said.kind == "tsv" else "csv"
    return Format(kind, is_gzip=is_gzip, charset=charset)


def _hinted(hint: str | None) -> Format | None:
    """Return the format that a hint names; None where it names none, as an unknown file ending does."""
    if hint is None:
        return None
    if ";" in hint:
        return parse_format(hint)
    name = hint.lower()
    is_gzip = name.endswith(".gz")
    ending = name.removesuffix(".gz").rpartition(".")[2]
    kind = _ENDINGS.get(ending, ending)
    return Format(cast("Kind", kind), is_gzip=is_gzip) if kind in FORMATS else None


def _unzipped_head(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as file:
            return file.read(_HEAD)
    except (EOFError, OSError, zlib.error) as error:
        raise BadTable(f"the file cannot be unzipped: {error}", hint="is it whole?") from None


def _refuse_foreign(head: bytes) -> None:
    """Raise `BadTable` for files that people send in good faith and that are no tables."""
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text:
        raise BadTable("the file is empty", hint="the first line must hold the names of the columns")
    if head.startswith(b"PK\x03\x04"):
        raise BadTable("the file is a zip archive or a spreadsheet", hint="save it as CSV, or gzip the CSV file")
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise BadTable("the file is an old Excel file", hint="save it as CSV")
    if text.startswith(b"["):
        raise BadTable("the file is one JSON array", hint="write one JSON object a line (JSON lines)")
    if text[:14].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise BadTable("the file is a web page or XML, not a table", hint="was it downloaded whole?")
