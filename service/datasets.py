"""Data sets of one root: uploads to disk, the catalogue, and what the side worker says about them.

An upload is streamed to a temporary file while its digest is taken, looked at by the side worker, and only then
registered: a table that cannot be read never gets a name. Reads no table itself. Called by `TrainingService`.
"""

import asyncio
import contextlib
import hashlib
import os
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

import aiofiles
import msgspec

from traind.data.catalog import Catalog, Version
from traind.data.errors import DatasetTooLarge
from traind.data.files import TEMPORARY_PREFIX
from traind.data.reading.formats import parse_format
from traind.service.errors import InvalidSpec
from traind.service.processes.side import SideWorker
from traind.service.record.feed import Feed
from traind.service.results import Dataset
from traind.service.settings import Layout, Settings
from traind.trainer.contract.spec import DatasetFile, Synthetic, TrainSpec

Row = Mapping[str, Any]
Source = str | os.PathLike[str] | bytes | AsyncIterable[bytes] | AsyncIterable[Row] | Iterable[Row]
CHUNK_BYTES = 1 << 20
DESCRIBE_S = 600.0


class Datasets:
    """The registered data sets of one root."""

    def __init__(self, layout: Layout, settings: Settings, side: SideWorker, feed: Feed) -> None:
        self._catalog = Catalog(layout.datasets_dir)
        self._folder = layout.datasets_dir
        self._relative = layout.relative
        self._limit = settings.max_upload_bytes
        self._side = side
        self._feed = feed

    async def open(self) -> None:
        """Make the folder and sweep what interrupted uploads left."""
        await asyncio.to_thread(self._catalog.open)

    async def put(self, name: str, source: Source, format: str | None) -> Dataset:  # noqa: A002 - the public word
        """Register a table; raises `InvalidName`, `DatasetTooLarge`, `BadTable`."""
        self._catalog.check_name(name)
        if format is not None:
            parse_format(format)
        temporary = self._folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            digest, hint = await self._receive(source, temporary, format)
            request = {"path": os.fspath(temporary), "format": hint}
            summary = await self._side.call("traind.data.describe:describe_request", request, DESCRIBE_S)
            version = await asyncio.to_thread(
                self._catalog.register, temporary, name, digest, summary.pop("format"), summary
            )
        finally:
            temporary.unlink(missing_ok=True)
        self._feed.notify_all({"type": "dataset", "name": name, "action": "put"})
        return _shown(version)

    async def list(self) -> list[Dataset]:
        """Return every data set, by name."""
        return [_shown(version) for version in await asyncio.to_thread(self._catalog.list)]

    async def get(self, name: str) -> Dataset:
        """Return one data set; raises `DatasetNotFound`."""
        return _shown(await asyncio.to_thread(self._catalog.get, name))

    async def preview(self, name: str, rows: int) -> dict[str, Any]:
        """Return the first rows of a data set; raises `DatasetNotFound`."""
        version = await asyncio.to_thread(self._catalog.get, name)
        request = {"path": os.fspath(version.path), "format": version.format, "rows": rows}
        shown: dict[str, Any] = await self._side.call("traind.data.describe:preview_request", request, DESCRIBE_S)
        return shown

    async def delete(self, name: str, in_use: set[str]) -> None:
        """Remove a data set; raises `DatasetNotFound`, `DatasetInUse`."""
        await asyncio.to_thread(self._catalog.delete, name, in_use)
        self._feed.notify_all({"type": "dataset", "name": name, "action": "deleted"})

    async def resolve(self, spec: TrainSpec) -> tuple[DatasetFile | None, int]:
        """Return the version a spec means now and how many columns it has, those that the spec names checked.

        Raises `DatasetNotFound`, and `InvalidSpec` naming every column that is not there.
        """
        if spec.dataset is None:
            made = spec.synthetic or Synthetic()
            _check_columns(spec, [*(f"x{place}" for place in range(1, made.columns + 1)), "target"])
            return None, made.columns
        version = await asyncio.to_thread(self._catalog.get, spec.dataset)
        names = [column["name"] for column in version.summary.get("columns", [])]
        _check_columns(spec, names)
        file = DatasetFile(
            name=version.name,
            digest=version.digest,
            path=self._relative(version.path),
            format=version.format,
            size_bytes=version.size_bytes,
        )
        return file, len(names)

    @contextlib.asynccontextmanager
    async def borrowed(self, source: Source, format: str | None) -> AsyncIterator[tuple[Path, str | None]]:  # noqa: A002
        """Give a table that is not registered as a file, with what its format may be; it is gone afterwards."""
        if format is not None:
            parse_format(format)
        temporary = self._folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            _, hint = await self._receive(source, temporary, format)
            yield temporary, hint
        finally:
            temporary.unlink(missing_ok=True)

    async def version(self, name: str) -> Version:
        """Return the newest version of a data set; raises `DatasetNotFound`."""
        return await asyncio.to_thread(self._catalog.get, name)

    async def _receive(self, source: Source, target: Path, format: str | None) -> tuple[str, str | None]:  # noqa: A002
        """Write the source to `target`; return its sha256 and what its format may be."""
        digest = hashlib.sha256()
        size = 0
        hint = format or _hint(source)
        async with aiofiles.open(target, "wb") as file:
            async for chunk in _chunks(source):
                size += len(chunk)
                if size > self._limit:
                    raise DatasetTooLarge(f"The data set is larger than the limit of {self._limit} bytes.")
                digest.update(chunk)
                await file.write(chunk)
            await file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        return digest.hexdigest(), hint


def _hint(source: Source) -> str | None:
    """Return the format a source's kind or file name says, or None: the content will tell."""
    if isinstance(source, str | os.PathLike):
        return os.path.basename(os.fspath(source)).partition(".")[2].lower() or None  # noqa: PTH119 - a name only
    if isinstance(source, bytes):
        return None
    return None if isinstance(source, AsyncIterable) else "jsonl"


async def _chunks(source: Source) -> AsyncIterator[bytes]:
    """Yield the bytes of any source; rows become JSON lines."""
    if isinstance(source, bytes):
        yield source
    elif isinstance(source, str | os.PathLike):
        async with aiofiles.open(source, "rb") as file:
            while chunk := await file.read(CHUNK_BYTES):
                yield chunk
    elif isinstance(source, AsyncIterable):
        async for part in source:
            yield part if isinstance(part, bytes) else msgspec.json.encode(part) + b"\n"
    else:
        for row in source:
            yield msgspec.json.encode(row) + b"\n"


def _check_columns(spec: TrainSpec, names: list[str]) -> None:
    """Raise `InvalidSpec` naming every column that the spec names and the table does not have."""
    if spec.trainer == "tabular" and (details := _missing(spec, names)):
        what = f"the data set {spec.dataset!r}" if spec.dataset else "synthetic data"
        sentence = "; ".join(f"{problem['loc']}: {problem['msg']}" for problem in details)
        raise InvalidSpec(f"The spec does not fit {what}: {sentence}.", details=details)


def _missing(spec: TrainSpec, names: list[str]) -> list[dict[str, Any]]:
    """Return every column that the spec names and the table does not have."""
    asked: list[tuple[str, str]] = []
    if spec.target is not None:
        asked.append(("target", spec.target))
    asked += [(f"features.{place}", name) for place, name in enumerate(spec.features or ())]
    asked += [(f"ignore.{place}", name) for place, name in enumerate(spec.ignore)]
    asked += [(f"columns.{name}", name) for name in spec.columns]
    if spec.validation.column is not None:
        asked.append(("validation.column", spec.validation.column))
    known = set(names)
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return [
        {"loc": loc, "msg": f"there is no column {name!r}; the columns are: {shown}"}
        for loc, name in asked
        if name not in known
    ]


def _shown(version: Version) -> Dataset:
    return Dataset(
        name=version.name,
        digest=version.digest,
        format=version.format,
        size_bytes=version.size_bytes,
        created_at=version.created_at,
        versions=list(version.versions),
        summary=version.summary,
    )
