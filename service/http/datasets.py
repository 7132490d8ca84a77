"""The calls about data sets: upload, list, show, preview, delete."""

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote

from aiohttp import web
from msgspec import UNSET, structs

from traind.data import errors as data
from traind.data.errors import BadTable, DatasetTooLarge
from traind.data.limits import PAGE_BYTES, how_many_fit
from traind.data.reading.formats import options_of, parse_format
from traind.service.errors import DiskLow
from traind.service.http.bodies import no_body, read_query, stream_body
from traind.service.http.callers import while_connected
from traind.service.http.context import SERVICE
from traind.service.http.errors import UnsupportedMedia
from traind.service.http.files import ANY_BYTES
from traind.service.http.operation import SIDE, Operation
from traind.service.http.requests import (
    DatasetQuery,
    DatasetsQuery,
    PreviewQuery,
)
from traind.service.http.schemas import (
    DatasetAnswer,
    DatasetsAnswer,
    Deleted,
    PreviewAnswer,
    answer,
    encode,
    facts,
)
from traind.service.http.upload_query import UploadQuery
from traind.service.results import Dataset

FORMATS: Final = {  # by content type; None: given by ?format= or inferred from the content
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/ndjson": "jsonl",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/octet-stream": None,
    "application/gzip": None,
    "application/x-gzip": None,
    "application/vnd.ms-excel": None,  # a CSV file on Windows
    "application/x-www-form-urlencoded": None,  # all data sent by curl
    "text/plain": None,
}


async def put(request: web.Request) -> web.Response:
    """Register the raw body under a name; a new version where the name is taken."""
    body, wanted = read_table(request)
    name, size_bytes = request.match_info["name"], request.content_length
    putting = request.app[SERVICE].put_dataset(name, body, wanted, size_bytes=size_bytes)
    return answer(DatasetAnswer(dataset=_fitting(await while_connected(request, putting))))


def read_table(request: web.Request, query: UploadQuery | None = None) -> tuple[AsyncIterator[bytes], str | None]:
    """Return the raw body, still unread, and the format that the request, or its `query`, names."""
    query = read_query(request, UploadQuery) if query is None else query
    if request.content_type not in FORMATS:
        message = f"{request.content_type[:100]} is no table: the raw file is taken as the body."
        raise UnsupportedMedia(message, hint="With curl: -T file.csv, and -H 'Content-Type: text/csv' if you like.")
    if not request.body_exists:
        raise BadTable("the file is empty", hint="send the file's bytes as the body; with curl: -T file.csv")
    limit = request.app[SERVICE].settings.max_upload_bytes
    wanted = _with_options(query, _format(request, None if query.format is UNSET else query.format))
    return stream_body(request, limit=limit, error=_too_large(limit)), wanted


def _format(request: web.Request, in_query: str | None) -> str | None:
    """Return the format of the query or the content type, with its encoding."""
    form, charset = in_query or FORMATS[request.content_type], request.charset
    if charset is None or charset.lower() in ("utf-8", "utf8") or (form is not None and ";" in form):
        return form
    if form is None:
        message = f"{request.content_type} does not say what is written in {charset[:50]}."
        raise UnsupportedMedia(message, hint="Say it in full, such as ?format=csv;charset=latin-1.")
    return str(parse_format(f"{form};charset={charset}"))


def _with_options(query: UploadQuery, form: str | None) -> str | None:
    """Return the format with the options of the query added."""
    options = {
        name: value
        for name, value in structs.asdict(query).items()
        if name not in ("format", "interval") and value is not UNSET
    }
    named = {"quote" if name == "quotechar" else name: value for name, value in options.items()}
    if not named:
        return form
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in named.items()}
    written = {name: text if name == "missing" else quote(text, safe="-. ") for name, text in texts.items()}
    options_of(written)
    return ";".join([form or "", *(f"{name}={value}" for name, value in written.items())])


def _too_large(limit: int) -> DatasetTooLarge:
    hint = "The server's --max-upload-bytes sets the limit."
    return DatasetTooLarge(f"The upload is larger than {limit} bytes.", hint=hint)


async def list_all(request: web.Request) -> web.Response:
    """Answer a page of data sets, without column details."""
    query = read_query(request, DatasetsQuery)
    page = await request.app[SERVICE].datasets(query.limit, None if query.after is UNSET else query.after)
    return answer(DatasetsAnswer(datasets=page.datasets, next=page.next))


async def get(request: web.Request) -> web.Response:
    """Answer one data set; of very many columns as many as fit, and the number left out."""
    query = read_query(request, DatasetQuery)
    found = await request.app[SERVICE].dataset(request.match_info["name"])
    return answer(DatasetAnswer(dataset=_fitting(found, query.columns_after)))


def _fitting(dataset: Dataset, first: int = 0) -> Dataset:
    """Return the data set with as many columns and warnings as fit into an answer."""
    columns, warnings = dataset.summary.get("columns", []), dataset.summary.get("warnings", [])
    shown = columns[first:]
    shown = shown[: how_many_fit(len(encode(column)) for column in shown)]
    shown_warnings = warnings[: how_many_fit((len(encode(warning)) for warning in warnings), PAGE_BYTES // 2)]
    left = len(columns) - first - len(shown)
    if not first and not left and len(shown_warnings) == len(warnings):
        return dataset
    counts = {"n_columns": len(columns), "columns_left_out": max(0, left), "n_warnings": len(warnings)}
    return structs.replace(dataset, summary=dataset.summary | counts | {"columns": shown, "warnings": shown_warnings})


async def preview(request: web.Request) -> web.Response:
    """Answer the first rows of a data set, its columns and their summary."""
    query = read_query(request, PreviewQuery)
    previewing = request.app[SERVICE].preview(request.match_info["name"], query.rows)
    return facts(await while_connected(request, previewing))


async def delete(request: web.Request) -> web.Response:
    """Remove a data set that no unfinished job uses."""
    await no_body(request)
    await request.app[SERVICE].delete_dataset(request.match_info["name"])
    return answer(Deleted())


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        method="GET",
        path="/api/datasets",
        handler=list_all,
        summary="Data sets by name, without column details",
        group="data sets",
        query=DatasetsQuery,
        answer=DatasetsAnswer,
    ),
    Operation(
        method="PUT",
        path="/api/datasets/{name}",
        handler=put,
        summary="Register a table: CSV, TSV, JSONL (each plain or gz) or Parquet, as the raw body",
        group="data sets",
        query=UploadQuery,
        upload=(*(kind for kind, form in FORMATS.items() if form), ANY_BYTES),
        answer=DatasetAnswer,
        errors=(data.InvalidName, data.DatasetTooLarge, data.BadTable, DiskLow, *SIDE),
    ),
    Operation(
        method="GET",
        path="/api/datasets/{name}",
        handler=get,
        summary="One data set",
        group="data sets",
        query=DatasetQuery,
        answer=DatasetAnswer,
        errors=(data.DatasetNotFound,),
    ),
    Operation(
        method="DELETE",
        path="/api/datasets/{name}",
        handler=delete,
        summary="Remove a data set that no unfinished job uses",
        group="data sets",
        answer=Deleted,
        errors=(data.DatasetNotFound, data.DatasetInUse),
    ),
    Operation(
        method="GET",
        path="/api/datasets/{name}/preview",
        handler=preview,
        summary="The first rows of a data set, its columns and their summary",
        group="data sets",
        query=PreviewQuery,
        answer=PreviewAnswer,
        errors=(data.DatasetNotFound, data.BadTable, *SIDE),
    ),
)
