"""The query of an upload: the file's format and how to read it.

All parameters at their longest, percent-encoded, fit into a request line (8 kB).
"""

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from traind.service.http.requests import Level

_FORMAT = r"^[A-Za-z.]{1,10}(;[^;]{1,200}){0,12}\Z"
_FORMATS = "csv, tsv, jsonl (also as csv.gz and so on), parquet or xlsx; options behind it, as in csv;charset=latin-1"
FileFormat = Annotated[str, Meta(pattern=_FORMAT, max_length=300, description=_FORMATS)]
UNDESCRIBED: Final = frozenset({"quote"})  # generated clients use a function of that name


class UploadQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The format of an upload and how to read it, where content type and content do not show it.

    A body of JSON is no upload: beside it these are checked and mean nothing.
    """

    format: FileFormat | UnsetType = UNSET
    """Format of the file: csv, tsv, jsonl, parquet and others, without options or with them."""
    encoding: Annotated[str, Meta(min_length=1, max_length=40)] | UnsetType = UNSET
    """Encoding of the text, any codec of Python's, such as cp1252."""
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] | UnsetType = UNSET
    """Character between the cells of CSV."""
    quotechar: Annotated[str, Meta(max_length=1)] | UnsetType = UNSET
    """Character around cells of CSV; empty: none."""
    quote: Annotated[str, Meta(max_length=1)] | UnsetType = UNSET
    """The same as quotechar, by the name that it has in a spec's `read`."""
    decimal: Literal[".", ","] | UnsetType = UNSET
    """Decimal mark of numbers."""
    thousands: Literal[".", ",", " ", "'"] | UnsetType = UNSET
    """Thousands separator of numbers."""
    skip: Annotated[int, Meta(ge=0, le=1_000_000)] | UnsetType = UNSET
    """Number of lines above the header to skip."""
    comment: Annotated[str, Meta(min_length=1, max_length=10)] | UnsetType = UNSET
    """Beginning of lines to skip."""
    missing: Annotated[str, Meta(max_length=250)] | UnsetType = UNSET
    """Further words for a missing value, separated by commas."""
    header: bool | UnsetType = UNSET
    """False if the first line has no column names."""
    sheet: Annotated[str, Meta(min_length=1, max_length=31)] | UnsetType = UNSET
    """Name of the sheet of an Excel file; by default the first."""


class PredictQuery(UploadQuery, frozen=True, forbid_unknown_fields=True):
    """The format of a table to predict and how to read it, and whether with intervals.

    Beside a body of JSON the format means nothing; `interval` counts where the body has none.
    """

    interval: Level | UnsetType = UNSET
    """Share of the true values that the intervals around predictions are to contain, such as 0.9."""
