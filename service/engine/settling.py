"""The end of an attempt: its model is published, its outcome recorded, superfluous files are removed.

Each attempt that ends is settled by a task of its own: one whose files cannot be moved or read now delays no other.
It is tried again; after `GIVE_UP_S` the job fails with `store_failed`. Called by `attempts` only.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from traind.service.engine.attempt import Attempt, is_outcome
from traind.service.errors import DiskLow, JobNotFound, StoreFailed
from traind.service.executor.base import Ended, Frame
from traind.service.jobs.job import ACTIVE, Job
from traind.service.jobs.outcomes import after_loss, after_outcome, store_failed
from traind.service.record.journal import Journal
from traind.service.record.problems import GIVE_UP_S, RECORDING, RETRY_S, Problems
from traind.service.recovery.checkpoint_files import (
    attempt_dirs,
    attempt_number,
    is_pinned,
    last_checkpoint,
    unreported_checkpoint,
)
from traind.service.settings import Layout, Settings
from traind.trainer.contract.events import Log, State, Status

CLEAN_TRIES = 60  # rounds of the watchdog in which files that cannot be removed are tried again


class Settling:
    """Settles attempts that end."""

    def __init__(
        self,
        journal: Journal,
        settings: Settings,
        layout: Layout,
        problems: Problems,
        gone: Callable[[Attempt], None],
    ) -> None:
        """Make it; `gone` is called once an attempt is settled and its worker is gone."""
        self._journal = journal
        self._settings = settings
        self._layout = layout
        self._problems = problems
        self._gone = gone
        self._unclean: dict[str, int] = {}  # jobs whose files could not be removed, and the number of tries

    async def follow(self, attempt: Attempt) -> None:
        """Settle the frames in the attempt's backlog, in order, until none is left."""
        while attempt.backlog:
            await self._take(attempt, attempt.backlog[0])
            attempt.backlog.popleft()
            if attempt.over.is_set():  # nothing counts that comes after a worker's end
                attempt.backlog.clear()

    async def clean(self, job: Job) -> None:
        """Remove what the job's state makes superfluous: everything if cancelled, else attempts before the newest.

        What cannot be removed now is tried again by `clean_again`.
        """
        try:
            await asyncio.to_thread(self._clean, job)
        except OSError:
            self._unclean.setdefault(job.job_id, 0)

    async def clean_again(self) -> None:
        """Remove what could not be removed before; raises the last `OSError` while that goes on."""
        failed: OSError | None = None
        for job_id, tries in list(self._unclean.items()):
            try:
                await asyncio.to_thread(self._clean, await self._journal.job(job_id))
            except OSError as error:
                failed, self._unclean[job_id] = error, tries + 1
                if tries >= CLEAN_TRIES:
                    del self._unclean[job_id]
            except JobNotFound:
                del self._unclean[job_id]
            else:
                del self._unclean[job_id]
        if failed is not None:
            raise failed

    async def _take(self, attempt: Attempt, frame: Frame) -> None:
        """Settle one frame; try again until that succeeds."""
        what = f"the end of job {attempt.job_id} cannot be settled"
        began = time.monotonic()
        while True:
            try:
                if isinstance(frame.event, Ended):
                    await self._ended(attempt, frame.event)
                    if frame.cursor is not None:
                        frame.worker.committed(frame.cursor)
                elif isinstance(frame.event, State) and is_outcome(frame.event):
                    await self._outcome(attempt, frame.event, frame.cursor)
            except (DiskLow, StoreFailed) as error:
                self._problems.arose(RECORDING, error)
            except OSError as error:
                if attempt.failure is None and time.monotonic() - began > GIVE_UP_S:
                    attempt.failure = error
                await self._report(attempt, self._problems.arose(what, error))
            else:
                self._problems.passed(RECORDING)
                self._problems.passed(what)
                return
            await asyncio.sleep(RETRY_S)

    async def _report(self, attempt: Attempt, problem: str) -> None:
        """Record once, as a warning in the job's events, why it does not go on."""
        if attempt.is_reported:
            return
        async with self._journal.turn:
            if (job := self._open_job(attempt)) is not None:
                try:
                    await self._journal.record(job, Log(message=f"{problem} It is tried again.", level="warning"))
                except (DiskLow, StoreFailed) as error:
                    self._problems.arose(RECORDING, error)
        attempt.is_reported = True

    async def _outcome(self, attempt: Attempt, event: State, cursor: int | None) -> None:
        """Record the state that a worker ended with; the model is published first."""
        if (job := self._open_job(attempt)) is None:
            return
        published = await self._published(attempt, after_outcome(job, event, attempt.pause_reason))
        async with self._journal.turn:
            if (job := self._open_job(attempt)) is None:
                return
            state = after_outcome(job, event, attempt.pause_reason)
            if (result := state.result) is not None and result.model_path is not None:
                if published is None:
                    state = store_failed(f"The finished model could not be kept: {attempt.failure or 'it is gone'}.")
                else:
                    result = msgspec.structs.replace(result, model_path=published)
                    state = msgspec.structs.replace(state, result=result)
            await self._journal.record(job, state, cursor=cursor)
        if cursor is not None and attempt.worker is not None:
            attempt.worker.committed(cursor)
        if attempt.timer is None and not attempt.over.is_set():
            attempt.expect_end(self._settings.grace_s)

    async def _published(self, attempt: Attempt, state: State) -> str | None:
        """Move a finished model to where users find it; return that path relative to the root."""
        made = state.result.model_path if state.result is not None else None
        if made is None or attempt.failure is not None:
            return None
        return await asyncio.to_thread(self._publish, attempt, Path(made))

    def _publish(self, attempt: Attempt, made: Path) -> str | None:
        target, disk = self._layout.model_path(attempt.job_id), self._layout.disk
        if not made.is_relative_to(self._layout.attempt_dir(attempt.job_id, attempt.number)):
            return None  # outside the attempt's folder: not taken
        if disk.has(made):
            attempt.has_model = True
            disk.move(made, target)
        elif not attempt.has_model:  # else this is a second try, after the move and before the commit
            return None
        return self._layout.relative(target)

    async def _ended(self, attempt: Attempt, ended: Ended) -> None:
        """Handle a worker's end: settle its job if it has not done that itself, and let the next job start."""
        found = None
        if self._open_job(attempt) is not None and attempt.failure is None:
            found = await asyncio.to_thread(last_checkpoint, self._layout, attempt.job_id)
        async with self._journal.turn:
            if (job := self._open_job(attempt)) is not None:
                settled = after_loss(job, ended, attempt, has_checkpoint=found is not None)
                if attempt.failure is not None:
                    settled = store_failed(f"The job's checkpoints cannot be read: {attempt.failure}.")
                await self._journal.record(job, *unreported_checkpoint(job, found), settled)
            await self._journal.store.worker_ended(attempt.job_id, attempt.number)
            self._gone(attempt)
        try:
            await self.clean(await self._journal.job(attempt.job_id))
        except JobNotFound:
            return

    def _open_job(self, attempt: Attempt) -> Job | None:
        """Return the job that the attempt still decides about; None once it is settled."""
        job = self._journal.live.get(attempt.job_id)
        return job if job is not None and job.attempt == attempt.number and job.status in ACTIVE else None

    def _clean(self, job: Job) -> None:
        layout, disk = self._layout, self._layout.disk
        if job.status is Status.CANCELLED:
            disk.remove_tree(layout.job_dir(job.job_id))
            disk.remove_file(layout.model_path(job.job_id))
        elif job.checkpoint is not None:
            kept = (layout.root / job.checkpoint).parent
            for other in attempt_dirs(layout, job.job_id):
                if attempt_number(other) < attempt_number(kept) and not is_pinned(layout, other):
                    disk.remove_tree(other)
