"""The data sets of one root: uploads, the catalogue, previews.

An upload is streamed to a temporary file while its digest is computed, described by the side worker, and only then
registered: a table that cannot be read is never registered. Reads no table itself. Called by `TrainingService`.
"""

import asyncio
import contextlib
import dataclasses
import errno
import hashlib
import logging
import os
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import aiofiles
import msgspec

from traind.data.catalog import Catalog, Version
from traind.data.errors import DataError, DatasetTooLarge
from traind.data.files import TEMPORARY_PREFIX
from traind.data.limits import clipped, how_many_fit
from traind.data.reading.formats import checked_hint
from traind.service.errors import DiskLow, ServiceError, TooMany
from traind.service.processes.side import SideWorker
from traind.service.record.feed import Feed
from traind.service.results import Dataset, DatasetPage
from traind.service.settings import Layout, Settings
from traind.service.sources import OnProgress, Source
from traind.service.validation.explain import LISTED, Problem
from traind.service.validation.goal import lacks_goal
from traind.service.validation.memory_budget import Known
from traind.service.validation.validate import refusal
from traind.trainer.contract.metrics import VAL_LOSS
from traind.trainer.contract.spec import DatasetFile, Synthetic, TrainSpec

LOG = logging.getLogger(__name__)
VERSIONS_SHOWN = 100  # of one data set, newest first
CHUNK_BYTES = 1 << 20
DESCRIBE_S = 600.0


class Datasets:
    """The registered data sets of one root."""

    def __init__(self, layout: Layout, settings: Settings, side: SideWorker, feed: Feed) -> None:
        self._catalog = Catalog(layout.datasets_dir)
        self._folder = layout.datasets_dir
        self._layout = layout
        self._settings = settings
        self._coming: dict[Path, int] = {}  # by temporary file: bytes that were announced and not received yet
        self._side = side
        self._feed = feed
        self._looking = asyncio.Lock()

    async def open(self) -> None:
        """Make the folder and remove what interrupted uploads left."""
        await asyncio.to_thread(self._catalog.open)

    async def put(
        self,
        name: str,
        source: Source,
        format: str | None,  # noqa: A002 - the public word
        size_bytes: int | None,
        on_progress: OnProgress | None,
    ) -> Dataset:
        """Register a table; raises `InvalidName`, `DatasetTooLarge`, `BadTable`, `DiskLow`, `TooMany`."""
        self._catalog.check_name(name)
        await asyncio.to_thread(self._check_count, name)
        if format is not None:
            checked_hint(format)
        temporary = self._folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            total = _size(source, size_bytes)

            def received(received_bytes: int) -> None:
                if on_progress is not None:
                    on_progress(received_bytes, total)

            with self._expecting(temporary, total or 0), _full_disk():
                digest, hint = await self._receive(source, temporary, format, received)
            request = {"path": os.fspath(temporary), "format": hint}
            summary = await self._side.call("traind.data.describe:describe_request", request, DESCRIBE_S)
            with _full_disk():
                version = await asyncio.to_thread(
                    self._catalog.register, temporary, name, digest, summary.pop("format"), summary
                )
        finally:
            temporary.unlink(missing_ok=True)
        self._feed.notify_all({"type": "dataset", "name": name, "action": "put"})
        return _shown(version)

    async def list(self, limit: int, after: str | None) -> DatasetPage:
        """Return a page of up to `limit` data sets by name, without column details; `after` is a name."""
        found = await asyncio.to_thread(self._catalog.list, limit + 1, after)
        page = [_shown(version) for version in found[:limit]]
        page = page[: how_many_fit(len(msgspec.json.encode(one)) for one in page)]
        return DatasetPage(page, page[-1].name if len(found) > len(page) else None)

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

    async def resolve(self, spec: TrainSpec, metric: str = VAL_LOSS) -> tuple[DatasetFile | None, Known]:
        """Return the newest version of a spec's data set and its summary; check the columns that the spec names.

        `metric` is another one than the monitor that the job is to be compared by.

        Raises `DatasetNotFound`, and `InvalidSpec` naming every column that is not there.
        """
        if spec.dataset is None:
            made = spec.synthetic or Synthetic()
            _check_columns(spec, [*(f"x{place}" for place in range(1, made.columns + 1)), "target"])
            return None, Known(made.rows)
        version = await asyncio.to_thread(self._catalog.get, spec.dataset)
        known = _known(version)
        _check_columns(spec, known.names)
        if lacks_goal(spec, spec.monitor, known) or lacks_goal(spec, metric, known):
            known = _known(await self._with_goals(version))
        file = DatasetFile(
            name=version.name,
            digest=version.digest,
            path=self._layout.relative(version.path),
            format=version.format,
            size_bytes=version.size_bytes,
        )
        return file, known

    async def _with_goals(self, version: Version) -> Version:
        """Return a version whose summary, of an older traind, tells what each column would be predicted as.

        It is kept. Where the file cannot be read now, the version is as it was.
        """
        async with self._looking:
            version = await asyncio.to_thread(self._catalog.get, version.name, version.digest)
            if all("as_target" in column for column in version.summary.get("columns", [])):
                return version  # another request had it looked at meanwhile
            request = {"path": os.fspath(version.path), "format": version.format}
            try:
                goals = await self._side.call("traind.data.describe:goals_request", request, DESCRIBE_S)
            except (ServiceError, DataError, OSError) as error:
                LOG.warning("the data set %s, of an older version, cannot be looked at: %s", version.name, error)
                return version
            columns = [{**one, "as_target": goals.get(one["name"])} for one in version.summary["columns"]]
            summary = {**version.summary, "columns": columns}
            try:
                return await asyncio.to_thread(self._catalog.describe, version, summary)
            except OSError:  # it is looked at again then
                return dataclasses.replace(version, summary=summary)

    def _check_count(self, name: str) -> None:
        limit = self._settings.max_datasets
        if self._catalog.count() >= limit and not self._catalog.has(name):
            hint = "Delete some; --max-datasets sets the limit."
            raise TooMany(f"There are {limit} data sets already.", hint=hint)

    def _check_room(self, more_bytes: int) -> None:
        """Raise `DiskLow` where `more_bytes` more would leave less than `disk_floor_bytes` free."""
        free, floor = self._layout.free_bytes(), self._settings.disk_floor_bytes
        if free - more_bytes < floor:
            raise DiskLow(
                f"{free // 2**20} MiB are free, and traind keeps {floor // 2**20} MiB: the data set does not fit.",
                hint="Free some disk space, or delete data sets and finished jobs.",
            )

    @contextlib.contextmanager
    def _expecting(self, target: Path, size_bytes: int) -> Iterator[None]:
        """Reserve room for an upload of that size, or raise `DiskLow`."""
        self._check_room(size_bytes + sum(self._coming.values()))
        self._coming[target] = size_bytes
        try:
            yield
        finally:
            del self._coming[target]

    @contextlib.asynccontextmanager
    async def borrowed(self, source: Source, format: str | None) -> AsyncIterator[tuple[Path, str | None]]:  # noqa: A002
        """Yield an unregistered table as a temporary file, with its likely format; the file is removed afterwards."""
        if format is not None:
            checked_hint(format)
        temporary = self._folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            with self._expecting(temporary, _size(source, None) or 0), _full_disk():
                _, hint = await self._receive(source, temporary, format)
            yield temporary, hint
        finally:
            temporary.unlink(missing_ok=True)

    async def version(self, name: str) -> Version:
        """Return the newest version of a data set; raises `DatasetNotFound`."""
        return await asyncio.to_thread(self._catalog.get, name)

    async def _receive(
        self,
        source: Source,
        target: Path,
        format: str | None,  # noqa: A002
        received: Callable[[int], None] | None = None,
    ) -> tuple[str, str | None]:
        """Write the source to `target`; return its sha256 and its likely format."""
        digest = hashlib.sha256()
        size = 0
        hint = format or _hint(source)
        limit = self._settings.max_upload_bytes
        async with aiofiles.open(target, "wb") as file:
            async for chunk in _chunks(source):
                size += len(chunk)
                if size > limit:
                    raise DatasetTooLarge(f"The data set is larger than the limit of {limit} bytes.")
                self._coming[target] = max(0, self._coming[target] - len(chunk))
                self._check_room(len(chunk))
                digest.update(chunk)
                await file.write(chunk)
                if received is not None:
                    received(size)
            await file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        return digest.hexdigest(), hint


def _known(version: Version) -> Known:
    return Known(version.summary.get("n_rows", 0), version.summary.get("columns", []))


def _size(source: Source, announced_bytes: int | None) -> int | None:
    """Return the size of a source in bytes; None where it is not known beforehand."""
    if isinstance(source, bytes):
        return len(source)
    if isinstance(source, str | os.PathLike) and os.path.isfile(source):  # noqa: PTH113 - as it was given
        return os.path.getsize(source)  # noqa: PTH202
    return announced_bytes


@contextlib.contextmanager
def _full_disk() -> Iterator[None]:
    """Raise `DiskLow` where the disk or this user's quota is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskLow("The disk is full: the data set does not fit.", hint="Free some disk space.") from error


def _hint(source: Source) -> str | None:
    """Return the format by the kind of source or the file name; None: it is inferred from the content."""
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
    if spec.trainer != "tabular":
        return
    known = set(names)
    missing = list(islice((one for one in _named(spec) if one[1] not in known), LISTED + 1))
    if missing:
        what = f"the data set {spec.dataset!r}" if spec.dataset else "synthetic data"
        shown = ", ".join(map(clipped, names[:20])) + (", ..." if len(names) > 20 else "")
        found = [Problem(clipped(loc), f"there is no column {clipped(name)!r}") for loc, name in missing]
        error = refusal(found, f"The spec, for {what},")
        error.hint = f"The columns are: {shown}."
        raise error


def _named(spec: TrainSpec) -> Iterator[tuple[str, str]]:
    """Yield every column that the spec names, with the field that names it."""
    if spec.target is not None:
        yield "target", spec.target
    yield from ((f"features.{place}", name) for place, name in enumerate(spec.features or ()))
    yield from ((f"ignore.{place}", name) for place, name in enumerate(spec.ignore))
    yield from ((f"columns.{name}", name) for name in spec.columns)
    if spec.weight is not None:
        yield "weight", spec.weight
    if spec.validation.column is not None:
        yield "validation.column", spec.validation.column


def _shown(version: Version) -> Dataset:
    return Dataset(
        name=version.name,
        digest=version.digest,
        format=version.format,
        size_bytes=version.size_bytes,
        created_at=version.created_at,
        versions=list(version.versions[:VERSIONS_SHOWN]),
        summary=version.summary,
    )
