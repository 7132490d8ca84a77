"""Uploads: a file, bytes or rows as the bytes of a data set, read lazily."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from traind.data.files import TEMPORARY_PREFIX
from traind.data.reading.formats import FORMATS
from traind.service.sources import Row, Source

CHUNK_BYTES = 1024 * 1024

_encoder = msgspec.json.Encoder(decimal_format="number")  # `Decimal`, from databases, becomes a number


@dataclass(frozen=True, slots=True)
class Upload:
    """The bytes of one data set: `open` for blocking sources, `stream` for asynchronous ones."""

    open: Callable[[], Iterator[bytes]] | None
    stream: AsyncIterable[bytes | Row] | None
    size_bytes: int | None
    format: str | None  # None: the server infers it
    is_repeatable: bool

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes; blocking reads run in a thread."""
        if self.stream is not None:
            async for item in self.stream:
                yield line_of(item) if isinstance(item, Mapping) else item
        elif self.open is not None:
            chunks = self.open()
            while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                yield chunk


def upload_of(source: Source, kind: str | None, size_bytes: int | None = None) -> Upload:
    """Return a source as an upload; `size_bytes` is the size of a stream, if known.

    Raises `TypeError` for another type, `OSError` for a missing file.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
        return Upload(lambda: iter((content,)), None, len(content), kind, is_repeatable=True)
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        size_bytes = path.stat().st_size
        return Upload(lambda: _file_chunks(path), None, size_bytes, kind or format_of(path), is_repeatable=True)
    if isinstance(source, AsyncIterable):
        return Upload(None, source, size_bytes, kind, is_repeatable=False)
    if isinstance(source, Iterable):
        rows: Iterable[Row] = source
        return Upload(lambda: _row_chunks(rows), None, None, "jsonl", is_repeatable=isinstance(rows, list | tuple))
    raise TypeError(f"A data set is a path, bytes, rows or an async iterator of them, not {type(source).__name__}.")


def format_of(path: Path) -> str | None:
    """Return the format by a file's name (`csv`, `csv.gz`, ...), or None."""
    name = path.name.lower()
    return next((kind for kind in FORMATS if name.endswith(f".{kind}")), None)


def line_of(row: Row) -> bytes:
    """Return one row as a line of JSON."""
    return _encoder.encode(row) + b"\n"


def partial_path(path: Path) -> Path:
    """Return the path of an incomplete download."""
    return path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}-{path.name}")


def _file_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _row_chunks(rows: Iterable[Row]) -> Iterator[bytes]:
    waiting = bytearray()
    for row in rows:
        waiting += line_of(row)
        if len(waiting) >= CHUNK_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
