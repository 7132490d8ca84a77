"""The calls about data sets: upload, list, look, preview, delete."""

from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web
from msgspec import UNSET

from traind.data.errors import BadTable, DatasetTooLarge
from traind.data.reading.formats import parse_format
from traind.service.http.bodies import no_body, read_query, stream_body
from traind.service.http.callers import while_connected
from traind.service.http.context import SERVICE
from traind.service.http.errors import UnsupportedMedia
from traind.service.http.schemas import (
    DatasetAnswer,
    DatasetsAnswer,
    Deleted,
    PreviewQuery,
    UploadQuery,
    answer,
    facts,
)

FORMATS: Final = {  # that a content type tells; None leaves it to ?format= or the content
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/ndjson": "jsonl",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
    "application/octet-stream": None,
    "application/gzip": None,
    "application/x-gzip": None,
    "application/vnd.ms-excel": None,  # what Windows calls a CSV file
    "application/x-www-form-urlencoded": None,  # what curl calls all data
    "text/plain": None,
}


async def put(request: web.Request) -> web.Response:
    """Register the raw body under a name; a new version where the name is taken."""
    body, wanted = read_table(request)
    putting = request.app[SERVICE].put_dataset(request.match_info["name"], body, wanted)
    return answer(DatasetAnswer(dataset=await while_connected(request, putting)))


def read_table(request: web.Request) -> tuple[AsyncIterator[bytes], str | None]:
    """Return the raw body, that nothing is read of yet, and the format that is said of it."""
    query = read_query(request, UploadQuery)
    if request.content_type not in FORMATS:
        message = f"{request.content_type[:100]} is no table: the raw file is taken as the body."
        raise UnsupportedMedia(message, hint="With curl: -T file.csv, and -H 'Content-Type: text/csv' if you like.")
    if not request.body_exists:
        raise BadTable("the file is empty", hint="send the file's bytes as the body; with curl: -T file.csv")
    limit = request.app[SERVICE].settings.max_upload_bytes
    wanted = _format(request, None if query.format is UNSET else query.format)
    return stream_body(request, limit=limit, error=_too_large(limit)), wanted


def _format(request: web.Request, asked: str | None) -> str | None:
    """Return the format that the query or the content type says, with its encoding."""
    said, charset = asked or FORMATS[request.content_type], request.charset
    if charset is None or charset.lower() in ("utf-8", "utf8") or (said is not None and ";" in said):
        return said
    if said is None:
        message = f"{request.content_type} does not say what is written in {charset[:50]}."
        raise UnsupportedMedia(message, hint="Say it in full, such as ?format=csv;charset=latin-1.")
    return str(parse_format(f"{said};charset={charset}"))


def _too_large(limit: int) -> DatasetTooLarge:
    hint = "The server's --max-upload-bytes sets the limit."
    return DatasetTooLarge(f"The upload is larger than {limit} bytes.", hint=hint)


async def list_all(request: web.Request) -> web.Response:
    """Answer every data set."""
    return answer(DatasetsAnswer(datasets=await request.app[SERVICE].datasets()))


async def get(request: web.Request) -> web.Response:
    """Answer one data set."""
    return answer(DatasetAnswer(dataset=await request.app[SERVICE].dataset(request.match_info["name"])))


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
