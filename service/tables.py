"""The calls about registered tables: put, list, preview, delete. Base of `TrainingService`."""

from typing import Any

from traind.service.parts import Parts
from traind.service.results import Dataset, DatasetPage
from traind.service.sources import OnProgress, Source


class Tables(Parts):
    """The calls about data sets."""

    async def put_dataset(
        self,
        name: str,
        source: Source,
        format: str | None = None,  # noqa: A002 - the public word for it
        *,
        size_bytes: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Dataset:
        """Register a table under a name: a path, bytes, rows (mappings), or an async iterator of bytes or rows.

        Putting it again makes a new version. `size_bytes` is the size of a stream, if known: one that does not fit on
        the disk is refused before it begins. `on_progress(received_bytes, size_bytes)` is called as the
        table comes in. Raises `InvalidName`, `DatasetTooLarge`, `DiskLow`, `TooMany`, `BadTable` naming the cells.
        """
        self._check_open()
        return await self._datasets.put(name, source, format, size_bytes, on_progress)

    async def datasets(self, limit: int = 1_000, after: str | None = None) -> DatasetPage:
        """Return a page of data sets by name, without column details: `dataset` returns those."""
        self._check_open()
        return await self._datasets.list(limit, after)

    async def dataset(self, name: str) -> Dataset:
        """Return a data set with its schema and warnings; raises `DatasetNotFound`."""
        self._check_open()
        return await self._datasets.get(name)

    async def preview(self, name: str, rows: int = 20) -> dict[str, Any]:
        """Return the first rows of a data set; raises `DatasetNotFound`."""
        self._check_open()
        return await self._datasets.preview(name, rows)

    async def delete_dataset(self, name: str) -> None:
        """Remove a data set; raises `DatasetNotFound`, and `DatasetInUse` while an unfinished job uses it."""
        self._check_open()
        jobs = self.engine.journal.live.values()
        used = {job.dataset.digest for job in jobs if job.dataset is not None}
        await self._datasets.delete(name, used | self._studies.digests)
