"""The formats of table files, their options, and opening their bytes and text.

A format is `csv`, `csv.gz`, `tsv`, `tsv.gz`, `jsonl`, `jsonl.gz`, `parquet` or `xlsx`, followed by options:
`csv;charset=cp1252;delimiter=%7C;skip=2`. An encoding must be given; it is never guessed. Imports neither numpy nor
polars.
"""

import codecs
import gzip
import zlib
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, cast
from urllib.parse import quote, unquote

import msgspec
from msgspec import Meta, Struct, structs

from traind.data.errors import BadTable

FORMATS = ("csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "parquet", "xlsx")
_ENDINGS = {"ndjson": "jsonl", "txt": "csv", "pq": "parquet", "tab": "tsv"}  # of file names
_SHORT_NAMES = {"iso8859-1": "latin-1"}  # of Python's codecs
_HEAD = 4_096  # bytes to infer from
_CANDIDATES = ("cp1252", "latin-1")  # encodings that a hint may propose

Kind = Literal["csv", "tsv", "jsonl", "parquet", "xlsx"]
Sign = Annotated[str, Meta(min_length=1, max_length=1)]


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """How to read a file; options that are not given are inferred."""

    encoding: Annotated[str, Meta(max_length=40)] | None = None
    """Encoding of the text, any codec of Python's, such as cp1252."""
    delimiter: Sign | None = None
    """Character between the cells of CSV."""
    quote: Annotated[str, Meta(max_length=1)] | None = None
    """Character around cells of CSV; empty: none."""
    decimal: Literal[".", ","] | None = None
    """Decimal mark of numbers."""
    thousands: Literal[".", ",", " ", "'"] | None = None
    """Thousands separator of numbers."""
    skip: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Number of lines above the header to skip."""
    comment: Annotated[str, Meta(min_length=1, max_length=10)] | None = None
    """Beginning of lines to skip."""
    missing: Annotated[tuple[Annotated[str, Meta(max_length=100)], ...], Meta(max_length=100)] = ()
    """Further words for a missing value."""
    header: bool = True
    """Whether the first line has column names; else they are column_1, column_2 and so on."""
    sheet: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    """Name of the sheet of an Excel file; by default the first."""


@dataclass(frozen=True, slots=True)
class Format:
    """A file's format and options."""

    kind: Kind
    is_gzip: bool = False
    options: Options = field(default_factory=Options)

    @property
    def charset(self) -> str:
        """Return the encoding of its text."""
        return self.options.encoding or "utf-8"

    def __str__(self) -> str:
        parts = [f"{self.kind}.gz" if self.is_gzip else str(self.kind)]
        for name, value in structs.asdict(self.options).items():
            if value != getattr(Options(), name) and (name, value) != ("encoding", "utf-8"):
                parts.append(f"{'charset' if name == 'encoding' else name}={_written(value)}")
        return ";".join(parts)

    def with_options(self, options: Options | None) -> "Format":
        """Return the format with its options replaced by those given in `options`."""
        if options is None:
            return self
        given = {name: value for name, value in structs.asdict(options).items() if value != getattr(Options(), name)}
        return Format(self.kind, self.is_gzip, checked(structs.replace(self.options, **given)))


def _written(value: str | bool | int | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return ",".join(quote(word, safe="-. ") for word in value)
    return str(value).lower() if isinstance(value, bool) else quote(str(value), safe="-. ")


def parse_format(text: str) -> Format:
    """Return the format written in `text`, or raise `BadTable`."""
    name, *rest = text.split(";")
    name = name.strip().lower()
    if name not in FORMATS:
        raise BadTable(f"{text!r} is not a format that can be read", hint=f"one of {', '.join(FORMATS)}")
    kind, _, gz = name.partition(".")
    given = dict(_option(part) for part in rest if part.strip())
    return Format(cast("Kind", kind), is_gzip=gz == "gz", options=options_of(given))


def checked_hint(hint: str) -> None:
    """Raise `BadTable` unless a hint is a format, or options alone behind a semicolon."""
    parse_format(f"csv{hint}" if hint.startswith(";") else hint)


def _option(part: str) -> tuple[str, str]:
    key, _, value = part.strip().partition("=")
    key = key.strip().lower()
    return ("encoding" if key == "charset" else key), value.strip().strip('"')


def options_of(given: dict[str, str]) -> Options:
    """Return the options from percent-encoded texts, `missing` words separated by commas; raises `BadTable`."""
    values: dict[str, object] = {key: unquote(value) for key, value in given.items()}
    if "missing" in given:
        values["missing"] = [unquote(word) for word in given["missing"].split(",")]
    if "skip" in given and given["skip"].isdecimal():
        values["skip"] = int(given["skip"])
    if "header" in given:
        values["header"] = given["header"].lower() not in {"false", "no", "0"}
    try:
        return checked(msgspec.convert(values, Options))
    except msgspec.ValidationError as error:
        raise BadTable(f"the file cannot be read that way: {error}") from None


def checked(options: Options) -> Options:
    """Return the options with a normalised encoding; raises `BadTable` for contradictions."""
    if options.decimal is not None and options.decimal == options.thousands:
        raise BadTable(f"decimal and thousands are both {options.decimal!r}", hint="name two marks, or one")
    if options.delimiter is not None and options.delimiter in {"\n", "\r", "\0", options.quote}:
        raise BadTable(f"{options.delimiter!r} cannot be the delimiter")
    if options.encoding is None:
        return options
    try:
        found = codecs.lookup(options.encoding)
        is_text = "x".encode(found.name) and getattr(found, "_is_text_encoding", True)
    except (LookupError, UnicodeError):
        is_text = False
    if not is_text:
        hint = "any codec that Python knows: utf-8, latin-1, cp1252, utf-16, shift_jis ..."
        raise BadTable(f"encoding: {options.encoding!r} is not one that can be read", hint=hint)
    return structs.replace(options, encoding=_SHORT_NAMES.get(found.name, found.name))


def open_bytes(path: Path, form: Format) -> BinaryIO:
    """Open the file for reading its bytes, unzipped."""
    return cast("BinaryIO", gzip.open(path, "rb")) if form.is_gzip else path.open("rb")


def open_text(path: Path, form: Format) -> TextIOWrapper:
    """Open the file for reading its text, a byte order mark dropped and line ends kept; the caller closes it."""
    charset = "utf-8-sig" if form.charset == "utf-8" else form.charset
    return TextIOWrapper(open_bytes(path, form), encoding=charset, newline="")


def fitting_encoding(path: Path, form: Format) -> str:
    """Return an encoding in which all of the file can be read."""
    for name in _CANDIDATES:
        try:
            with TextIOWrapper(open_bytes(path, form), encoding=name) as file:
                while file.read(1 << 20):
                    pass
        except (OSError, EOFError, UnicodeError, zlib.error):
            continue
        return name
    return _CANDIDATES[-1]


def detect(path: Path, hint: str | None = None) -> Format:
    """Return the format of a file's content; `hint` is a format, a file's name or the end of one.

    Raises:
        BadTable: the content is none of ours, or not what the hint says.
    """
    given = _hinted(hint)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    options = given.options if given else Options()
    if head.startswith(b"PAR1"):
        return Format("parquet", options=options)
    if head.startswith(b"PK\x03\x04") and _is_workbook(path):
        return Format("xlsx", options=options)
    is_gzip = head.startswith(b"\x1f\x8b")
    if is_gzip:
        head = _unzipped_head(path)
    _refuse_foreign(head)
    if options.encoding is None and head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        options = structs.replace(options, encoding="utf-16")
    if given and given.kind in {"parquet", "xlsx"}:
        begin = "Parquet: it does not begin with PAR1" if given.kind == "parquet" else "an Excel workbook (xlsx)"
        raise BadTable(f"the file is not {begin}")
    if given and hint is not None and hint.partition(";")[0].strip().lower() in FORMATS:
        kind = given.kind
    elif head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        kind = "jsonl"
    else:
        kind = "tsv" if given and given.kind == "tsv" else "csv"
    return Format(kind, is_gzip=is_gzip, options=options)


def _hinted(hint: str | None) -> Format | None:
    """Return the format of a hint; None for an unknown one, such as an unknown file ending."""
    if hint is None:
        return None
    name, _, rest = hint.partition(";")
    is_gzip = name.lower().endswith(".gz")
    ending = name.lower().removesuffix(".gz").rpartition(".")[2]
    kind = _ENDINGS.get(ending, ending)
    if kind not in FORMATS:
        return Format("csv", options=parse_format(f"csv;{rest}").options) if rest else None
    return parse_format(f"{kind}{'.gz' if is_gzip and kind in {'csv', 'tsv', 'jsonl'} else ''};{rest}")


def _is_workbook(path: Path) -> bool:
    import zipfile

    try:
        with zipfile.ZipFile(path) as packed:
            return any(name.startswith("xl/workbook") for name in packed.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _unzipped_head(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as file:
            return file.read(_HEAD)
    except (EOFError, OSError, zlib.error) as error:
        raise BadTable(f"the file cannot be unzipped: {error}", hint="is it whole?") from None


def _refuse_foreign(head: bytes) -> None:
    """Raise `BadTable` for common files that are no tables, such as PDFs."""
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text:
        raise BadTable("the file is empty", hint="the first line must hold the names of the columns")
    if head.startswith(b"PK\x03\x04"):
        raise BadTable("the file is a zip archive, or a spreadsheet other than xlsx", hint="save it as CSV or xlsx")
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise BadTable("the file is an old Excel file", hint="save it as xlsx or CSV")
    if text.startswith(b"["):
        raise BadTable("the file is one JSON array", hint="write one JSON object a line (JSON lines)")
    if text[:14].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise BadTable("the file is a web page or XML, not a table", hint="was it downloaded whole?")
