"""The status files: `artifacts/jobs/<job_id>.json`, for programs that read files rather than HTTP.

Each holds the job as `GET status` shows it and is replaced by rename: at once after a change of state (and synced,
since a lost database is rebuilt from these files), at most five times a second for progress. Written on a thread of
its own. Called by the engine only. The store decides, not these files.
"""

import asyncio
import contextlib
import logging
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from traind.service.jobs.job import Job
from traind.service.record.disk import Disk
from traind.service.record.problems import RETRY_S, Problems
from traind.service.threads import in_thread

PROGRESS_EVERY_S = 0.2
WRITING = "a status file cannot be written"
LOG = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Job)


class StatusFiles:
    """The folder of status files."""

    def __init__(self, folder: Path, disk: Disk | None = None, problems: Problems | None = None) -> None:
        self._folder = folder
        self._disk = disk or Disk()
        self._problems = problems or Problems()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="traind-snapshots")
        self._waiting: dict[str, Job] = {}  # progress not yet due
        self._newest: dict[str, tuple[Job, bool]] = {}  # due now, and whether it is to be synced
        self._unwritten: dict[str, tuple[Job, bool]] = {}  # failed and tried again; only the thread uses it
        self._timer: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop

    async def open(self) -> None:
        """Make the folder and remove what interrupted writes left."""
        self._loop = asyncio.get_running_loop()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    def progressed(self, job: Job) -> None:
        """Write the job's newest progress within `PROGRESS_EVERY_S`."""
        self._waiting[job.job_id] = job
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PROGRESS_EVERY_S, self._flush)

    def entered(self, job: Job) -> asyncio.Future[None]:
        """Write the job now, synced; the future ends with the write. A write that fails is tried again."""
        self._waiting.pop(job.job_id, None)
        self._put(job, is_durable=True)
        return asyncio.get_running_loop().run_in_executor(self._thread, self._write_newest, job.job_id)

    async def settled(self) -> None:
        """Wait until everything entered before is written."""
        await asyncio.get_running_loop().run_in_executor(self._thread, bool)

    async def remove(self, job_id: str) -> None:
        """Remove a job's file, durably; raises `OSError`."""
        self._waiting.pop(job_id, None)
        self._newest.pop(job_id, None)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._remove, job_id)

    async def read(self, job_id: str) -> Job | None:
        """Return the job in its file; None without a readable file. A damaged one is renamed and logged."""
        found = await self.read_many([job_id])
        return found[0][0] if found else None

    async def names(self) -> list[str]:
        """Return the jobs that have a file, whatever is in it."""
        names: list[str] = await in_thread(os.listdir, self._folder)
        return [name.removesuffix(".json") for name in names if name.endswith(".json")]

    async def read_many(self, job_ids: Iterable[str]) -> list[tuple[Job, bytes]]:
        """Return each readable job with its file's bytes. Damaged files are renamed and logged."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read_many, list(job_ids))

    async def unlike(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs whose file is missing, damaged or not at their newest event."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._unlike, jobs)

    async def changed(self, crcs: Mapping[str, int | None]) -> list[str]:
        """Return the jobs whose file is missing or has another checksum. Reads on a thread of its own."""
        changed: list[str] = await in_thread(self._changed, crcs)
        return changed

    async def close(self) -> None:
        """Write what waits, then end the thread."""
        for timer in (self._timer, self._again):
            if timer is not None:
                timer.cancel()
        self._flush()
        self._retry()
        await asyncio.to_thread(self._thread.shutdown)

    def _path(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.json"

    def _open(self) -> None:
        self._disk.sweep(self._folder)

    def _flush(self) -> None:
        self._timer = None
        for job in self._waiting.values():
            self._put(job, is_durable=False)
            self._thread.submit(self._write_newest, job.job_id)
        self._waiting = {}

    def _put(self, job: Job, *, is_durable: bool) -> None:
        """Make this what is written next of the job; an older state that still waits is skipped."""
        _, was_durable = self._newest.get(job.job_id, (None, False))
        self._newest[job.job_id] = (job, is_durable or was_durable)

    def _write_newest(self, job_id: str) -> None:
        if (found := self._newest.pop(job_id, None)) is not None:
            self._write(*found)

    def _write(self, job: Job, is_durable: bool) -> None:
        try:
            self._disk.write(self._path(job.job_id), _encoder.encode(job), is_durable=is_durable)
        except OSError as error:
            self._problems.arose(WRITING, error)
            self._unwritten[job.job_id] = (job, is_durable)
            with contextlib.suppress(RuntimeError):  # the loop is closed: the next server writes it
                self._loop.call_soon_threadsafe(self._retry_soon)
        else:
            self._unwritten.pop(job.job_id, None)
            if not self._unwritten:
                self._problems.passed(WRITING)

    def _retry_soon(self) -> None:
        if self._again is None:
            self._again = self._loop.call_later(RETRY_S, self._retry)

    def _retry(self) -> None:
        self._again = None
        with contextlib.suppress(RuntimeError):  # it is closed
            self._thread.submit(self._write_unwritten)

    def _write_unwritten(self) -> None:
        for job, is_durable in tuple(self._unwritten.values()):
            self._write(job, is_durable)

    def _changed(self, crcs: Mapping[str, int | None]) -> list[str]:
        return [job_id for job_id, crc in crcs.items() if _crc(self._path(job_id)) != crc]

    def _unlike(self, jobs: Sequence[Job]) -> list[Job]:
        found = [self._read(job.job_id) for job in jobs]
        return [job for job, kept in zip(jobs, found, strict=True) if kept is None or kept[0].seq != job.seq]

    def _remove(self, job_id: str) -> None:
        self._unwritten.pop(job_id, None)
        self._disk.remove_file_durably(self._path(job_id))

    def _read_many(self, job_ids: Sequence[str]) -> list[tuple[Job, bytes]]:
        return [found for job_id in job_ids if (found := self._read(job_id)) is not None]

    def _read(self, job_id: str) -> tuple[Job, bytes] | None:
        path = self._path(job_id)
        try:
            content = self._disk.read(path)
            job = _decoder.decode(content)
            if job.job_id != job_id:
                raise msgspec.DecodeError("it is of another job")  # noqa: TRY301 - as one that is no JSON
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            LOG.warning("the status file %s is damaged (%s); it is set aside", path.name, error)
            with contextlib.suppress(OSError):
                path.rename(path.with_suffix(".damaged"))
            return None
        return job, content


def _crc(path: Path) -> int | None:
    try:
        return zlib.crc32(path.read_bytes())
    except OSError:
        return -1
