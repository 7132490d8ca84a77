"""Logs and files of jobs: what they print, and what their trainers write. Base of `TrainingService`."""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from traind.data.files import copy_whole
from traind.service.job_files import find_file, list_files
from traind.service.logs import followed, read_end, read_on
from traind.service.parts import Parts
from traind.service.results import FilePage, LogPage
from traind.service.threads import in_thread
from traind.service.validation.explain import Problem
from traind.service.validation.validate import refusal

LOG_BYTES = 65_536


class Outputs(Parts):
    """The calls about jobs' logs and files."""

    async def logs(self, job_id: str, limit_bytes: int = LOG_BYTES) -> str:
        """Return the end of what the job itself printed, over its attempts; raises `JobNotFound`."""
        return (await self.log_page(job_id, limit_bytes)).logs

    async def log_page(self, job_id: str, limit_bytes: int = LOG_BYTES, after: str | None = None) -> LogPage:
        """Return the end of what the job printed, or what it printed since the page whose `next` is `after`."""
        folder = await self._folder_of(job_id)
        if after is None:
            return await asyncio.to_thread(read_end, folder, limit_bytes)
        try:
            return await asyncio.to_thread(read_on, folder, after, limit_bytes)
        except ValueError:
            raise refusal([Problem("after", "is not the `next` of a piece of the log")]) from None

    def follow_logs(self, job_id: str, limit_bytes: int = LOG_BYTES) -> AsyncGenerator[str]:
        """Yield the end of what the job has printed, then what it prints, until it is over; raises `JobNotFound`."""
        return followed(
            lambda: self.engine.job(job_id),
            lambda after: self.log_page(job_id, limit_bytes if after is None else LOG_BYTES, after),
        )

    async def files(self, job_id: str, limit: int = 1_000, after: str | None = None) -> FilePage:
        """Return a page of the files that the job's trainer wrote; raises `JobNotFound`.

        Those below `files/` are kept with the job (`run.files_dir`), those below `attempt-N/` with that attempt
        (`run.folder`). `after` is the `next` of the page before.
        """
        return await asyncio.to_thread(list_files, await self._folder_of(job_id), limit, after)

    async def file_path(self, job_id: str, name: str, *, to: str | os.PathLike[str] | None = None) -> Path:
        """Return the path of a file of the job's trainer, by its name in `files`, copied to `to` if given.

        Raises `JobFileNotFound`.
        """
        path = await asyncio.to_thread(find_file, await self._folder_of(job_id), name)
        if to is None:
            return path
        await in_thread(copy_whole, path, Path(to))
        return Path(to)

    async def _folder_of(self, job_id: str) -> Path:
        self._check_open()
        return self.layout.job_dir((await self.engine.job(job_id)).job_id)
