"""What the query of an upload may say: the file's format, and how it is written."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

_FORMAT = r"^[A-Za-z.]{1,10}(;[^;]{1,200}){0,12}\Z"
_FORMATS = "csv, tsv, jsonl (also as csv.gz and so on), parquet or xlsx; options behind it, as in csv;charset=latin-1"
FileFormat = Annotated[str, Meta(pattern=_FORMAT, max_length=1_000, description=_FORMATS)]
Option = Annotated[str, Meta(max_length=1_000)]


class UploadQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The format of an upload and how it is written, where neither its content type nor its content tells."""

    format: FileFormat | UnsetType = UNSET
    """Format of the file: csv, tsv, jsonl, parquet and others, without options or with them."""
    encoding: Option | UnsetType = UNSET
    """Encoding of the text, any codec of Python's, such as cp1252."""
    delimiter: Option | UnsetType = UNSET
    """Character between the cells of CSV."""
    quote: Option | UnsetType = UNSET
    """Character around cells of CSV; empty: none is."""
    decimal: Option | UnsetType = UNSET
    """Decimal mark of the numbers that are text."""
    thousands: Option | UnsetType = UNSET
    """Mark that sets thousands apart in them."""
    skip: Option | UnsetType = UNSET
    """Lines above the header to pass over."""
    comment: Option | UnsetType = UNSET
    """Beginning of lines to pass over."""
    missing: Option | UnsetType = UNSET
    """Words that mean a missing value, beside the usual ones, with commas between them."""
    header: Option | UnsetType = UNSET
    """False where the first line holds no names."""
    sheet: Option | UnsetType = UNSET
    """Name of the sheet of an Excel file; by default the first."""
