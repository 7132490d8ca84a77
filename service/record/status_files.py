"""The status files: `artifacts/jobs/<job_id>.json`, for programs that read files rather than HTTP.

Each is the job as `GET status` shows it, replaced by rename: at once for states (and synced, since a lost database
is rebuilt from them), at most five times a second for progress. Written on a thread of its own; the engine is the
only caller. Never the truth: that is the store.
"""

import asyncio
import logging
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from traind.data.files import sweep_temporaries, sync_dir, write_atomically
from traind.service.jobs.job import Job
from traind.service.threads import in_thread

PROGRESS_EVERY_S = 0.2
LOG = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Job)


class StatusFiles:
    """The folder of status files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="traind-snapshots")
        self._waiting: dict[str, Job] = {}  # progress not yet due
        self._newest: dict[str, tuple[Job, bool]] = {}  # due; with whether durably
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Make the folder and sweep what interrupted writes left."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    def progressed(self, job: Job) -> None:
        """Write the job soon: within a fifth of a second, the newest only."""
        self._waiting[job.job_id] = job
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PROGRESS_EVERY_S, self._flush)

    def entered(self, job: Job) -> asyncio.Future[None]:
        """Write the job now, durably; await it to know that it stands. An error is logged, for the store has it."""
        self._waiting.pop(job.job_id, None)
        self._put(job, is_durable=True)
        return asyncio.get_running_loop().run_in_executor(self._thread, self._write_newest, job.job_id)

    async def settled(self) -> None:
        """Wait until what was entered before stands."""
        await asyncio.get_running_loop().run_in_executor(self._thread, bool)

    async def remove(self, job_id: str) -> None:
        """Remove a job's file, durably; raises `OSError`."""
        self._waiting.pop(job_id, None)
        self._newest.pop(job_id, None)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._remove, job_id)

    async def read(self, job_id: str) -> Job | None:
        """Return the job in its file; None where there is none, or a damaged one, which is set aside with a word."""
        found = await self.read_many([job_id])
        return found[0][0] if found else None

    async def names(self) -> list[str]:
        """Return the jobs that have a file, whatever is in it."""
        names: list[str] = await in_thread(os.listdir, self._folder)
        return [name.removesuffix(".json") for name in names if name.endswith(".json")]

    async def read_many(self, job_ids: Iterable[str]) -> list[tuple[Job, bytes]]:
        """Return the jobs in readable files, and these as they are; damaged ones are set aside with a word."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read_many, list(job_ids))

    async def unlike(self, jobs: Sequence[Job]) -> list[Job]:
        """Return those of the jobs whose file is missing, damaged or of another state."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._unlike, jobs)

    async def changed(self, crcs: Mapping[str, int | None]) -> list[str]:
        """Return those of the jobs whose file has not this checksum, or is missing; nobody waits for the answer."""
        changed: list[str] = await in_thread(self._changed, crcs)
        return changed

    async def close(self) -> None:
        """Write what waits, then end the thread."""
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        await asyncio.to_thread(self._thread.shutdown)

    def _path(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.json"

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        sweep_temporaries(self._folder)

    def _flush(self) -> None:
        self._timer = None
        for job in self._waiting.values():
            self._put(job, is_durable=False)
            self._thread.submit(self._write_newest, job.job_id)
        self._waiting = {}

    def _put(self, job: Job, *, is_durable: bool) -> None:
        """Have this written in place of what is still to be written of the job: states come in quick succession."""
        _, was_durable = self._newest.get(job.job_id, (None, False))
        self._newest[job.job_id] = (job, is_durable or was_durable)

    def _write_newest(self, job_id: str) -> None:
        if (found := self._newest.pop(job_id, None)) is not None:
            self._write(*found)

    def _write(self, job: Job, is_durable: bool) -> None:
        try:
            write_atomically(self._path(job.job_id), _encoder.encode(job), is_durable=is_durable)
        except OSError as error:
            LOG.warning("the status file of %s could not be written: %s", job.job_id, error)

    def _changed(self, crcs: Mapping[str, int | None]) -> list[str]:
        return [job_id for job_id, crc in crcs.items() if _crc(self._path(job_id)) != crc]

    def _unlike(self, jobs: Sequence[Job]) -> list[Job]:
        found = [self._read(job.job_id) for job in jobs]
        return [job for job, kept in zip(jobs, found, strict=True) if kept is None or kept[0].seq != job.seq]

    def _remove(self, job_id: str) -> None:
        self._path(job_id).unlink(missing_ok=True)
        sync_dir(self._folder)

    def _read_many(self, job_ids: Sequence[str]) -> list[tuple[Job, bytes]]:
        return [found for job_id in job_ids if (found := self._read(job_id)) is not None]

    def _read(self, job_id: str) -> tuple[Job, bytes] | None:
        path = self._path(job_id)
        try:
            content = path.read_bytes()
            job = _decoder.decode(content)
            if job.job_id != job_id:
                raise msgspec.DecodeError("it is of another job")  # noqa: TRY301 - as one that is no JSON
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            LOG.warning("the status file %s is damaged (%s); it is set aside", path.name, error)
            path.rename(path.with_suffix(".damaged"))
            return None
        return job, content


def _crc(path: Path) -> int | None:
    try:
        return zlib.crc32(path.read_bytes())
    except OSError:
        return -1
