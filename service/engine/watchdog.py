"""The watchdog: hangs, time limits, disk space, retention.

One task of the engine. It kills workers that hang, pauses jobs while the disk is nearly full and queues them again
when there is room, and removes finished jobs beyond the settings' count or age.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable

from traind.service.engine.attempt import Attempt
from traind.service.engine.attempts import Attempts
from traind.service.errors import DiskLow, ServiceError, StoreFailed
from traind.service.executor.base import Beat
from traind.service.jobs.job import Job
from traind.service.record.journal import Journal
from traind.service.record.problems import Problems
from traind.service.settings import Layout, Settings
from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import State, Status

LOG = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0
ROOM_SHARE = 1.1  # of the size of the file that did not fit: its folder and the database grow, too
SWEEP_EVERY_S = 60.0


class Watchdog:
    """Looks after one engine's attempts and disk."""

    def __init__(
        self, journal: Journal, attempts: Attempts, settings: Settings, layout: Layout, problems: Problems
    ) -> None:
        self._journal = journal
        self._attempts = attempts
        self._settings = settings
        self._layout = layout
        self._problems = problems
        self._is_disk_low = False
        self._next_sweep = time.monotonic()

    async def watch(self) -> None:
        """Check everything once a second, for ever; a check that fails is shown as a problem and stops no other."""
        while True:
            await self._try("running jobs cannot be looked after", self._look_at_attempts)
            await self._try("the disk cannot be looked at", self._look_at_disk)
            await self._try("files of jobs that are over cannot be removed", self._attempts.clean_again)
            if time.monotonic() >= self._next_sweep:
                await self._try("finished jobs cannot be removed", self._sweep)
                self._next_sweep = time.monotonic() + SWEEP_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)

    async def _try(self, what: str, look: Callable[[], Awaitable[None]]) -> None:
        try:
            await look()
        except (ServiceError, OSError) as error:
            self._problems.arose(what, error)
        else:
            self._problems.passed(what)

    def free_bytes(self) -> int:
        """Return the free bytes of the root's filesystem. Raises `OSError`."""
        return self._layout.free_bytes()

    def check_disk(self) -> None:
        """Raise `DiskLow` where less than `disk_floor_bytes` is free."""
        try:
            free = self.free_bytes()
        except OSError as error:
            raise StoreFailed(f"The disk cannot be looked at: {error}.") from error
        if free < self._settings.disk_floor_bytes:
            raise DiskLow(
                f"{free // 2**20} MiB are free; traind keeps {self._settings.disk_floor_bytes // 2**20} MiB.",
                hint="Free some disk space, or delete finished jobs.",
            )

    async def remove(self, job_id: str) -> None:
        """Remove a job that is over and all its files; the caller holds the journal's turn.

        The record is removed last, so that a call that raised `OSError` can be made again.
        """
        await asyncio.to_thread(self._layout.disk.remove_file, self._layout.model_path(job_id))
        await asyncio.to_thread(self._layout.disk.remove_tree, self._layout.job_dir(job_id))
        await self._journal.forget(job_id)

    async def _look_at_attempts(self) -> None:
        for attempt in list(self._attempts.running.values()):
            job = self._journal.live.get(attempt.job_id)
            if job is None or attempt.worker is None or attempt.killed_for is not None:
                continue
            beat = await attempt.look(self._settings.hang_s)
            if (why := self._overdue(job, attempt, beat)) is not None:
                LOG.warning("job %s attempt %s is killed: %s", job.job_id, attempt.number, why)
                if why == "hang":
                    await attempt.worker.stacks()
                attempt.kill(why)

    def _overdue(self, job: Job, attempt: Attempt, beat: Beat) -> str | None:
        """Return why an attempt is to be killed now, or None."""
        now = self._journal.clock.now()
        in_state_s = now - (job.entered_at or now)
        if job.status is not Status.RUNNING:
            return "loading" if in_state_s > self._settings.loading_s else None
        limit = job.spec.max_seconds
        if limit is not None and job.ran_s + in_state_s > limit + self._settings.grace_s:
            return "max_seconds"
        life = attempt.life
        mean_step_s = max(0.0, in_state_s - life.silent_s(beat.heard_at)) / max(1, beat.number)
        return "hang" if life.is_hung(beat.heard_at, self._settings.hang_s, mean_step_s, beat.phase) else None

    async def _look_at_disk(self) -> None:
        was_low, self._is_disk_low = self._is_disk_low, self.free_bytes() < self._settings.disk_floor_bytes
        if self._is_disk_low:
            if not was_low:
                LOG.warning("the disk is nearly full: running jobs pause until there is space")
            for attempt in self._attempts.running.values():
                if attempt.requested is Verb.NONE:
                    attempt.pause_reason = "disk_full"
                    attempt.ask(Verb.PAUSE, self._settings.grace_s)
        else:
            await self._go_on()

    async def _go_on(self) -> None:
        """Queue jobs that paused for want of disk space, as many as now have room."""
        room = self.free_bytes() - self._settings.disk_floor_bytes
        for waiting in [job for job in self._journal.live.values() if job.reason == "disk_full"]:
            job_id = waiting.job_id
            needs = math.ceil(ROOM_SHARE * (waiting.needs_bytes or 0))
            if needs > room:  # what the jobs queued just now need is already taken off
                continue
            room -= needs
            async with self._journal.turn:
                job = self._journal.live.get(job_id)
                if job is not None and job.status is Status.PAUSED and job.reason == "disk_full":
                    message = "There is disk space again"
                    await self._journal.record(job, State(status=Status.QUEUED, reason="disk_space", message=message))
            self._attempts.wake()

    async def _sweep(self) -> None:
        """Remove finished jobs beyond the settings' count or age, except those an alias points at."""
        keep, days = self._settings.keep_finished, self._settings.keep_days
        if keep is None and days is None:
            return
        before = self._journal.clock.now() - days * 86_400 if days is not None else None
        pinned = {job_id for job_id, _ in (await self._journal.store.aliases()).values()}
        for job_id in await self._journal.store.finished_before(before, keep):
            async with self._journal.turn:
                if job_id not in pinned and job_id not in self._journal.live:
                    await self.remove(job_id)
