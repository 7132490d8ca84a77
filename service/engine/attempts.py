"""Jobs on workers: which starts next, what its worker says, what its end means.

Two tasks of the engine: `dispatch` gives queued jobs to workers, `drain` folds what these say. One attempt a job at
a time: the next one starts only when the worker of the one before is gone. Knows no HTTP and no process.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from traind.data.files import rename_durably
from traind.service.engine.needs import need_of
from traind.service.errors import DiskLow, StoreFailed
from traind.service.executor.base import Beat, Ended, Executor, Frame, Inbox, Need, Worker
from traind.service.jobs.job import ACTIVE, TERMINAL, Job
from traind.service.jobs.outcomes import after_loss, after_outcome
from traind.service.record.journal import Journal
from traind.service.recovery.checkpoint_files import (
    attempt_dirs,
    attempt_number,
    is_pinned,
    last_checkpoint,
    unreported_checkpoint,
)
from traind.service.settings import Layout, Settings, cache_dir
from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import AnyEvent, Checkpoint, State, Status
from traind.trainer.contract.liveness import Liveness
from traind.trainer.contract.spec import Assignment, Place

LOG = logging.getLogger(__name__)
BUILT_IN = "traind.trainer.tabular.train:train"
RETRY_S = 0.5  # between tries to write what workers said, while the disk is full
OUTCOMES = TERMINAL | {Status.PAUSED, Status.QUEUED}  # states with which a worker ends an attempt


@dataclass(slots=True, eq=False)
class Attempt:
    """One start of a job: what runs it and what was asked of it."""

    job_id: str
    number: int
    worker: Worker | None = None
    asked: Verb = Verb.NONE
    pause_reason: str = "user"
    killed_for: str | None = None  # grace, hang, max_seconds, loading: why we killed it
    timer: asyncio.TimerHandle | None = None
    life: Liveness = field(default_factory=lambda: Liveness(beat_at=time.monotonic()))
    over: asyncio.Event = field(default_factory=asyncio.Event)  # its worker is gone

    def ask(self, verb: Verb, grace_s: float) -> None:
        """Tell the worker, which then has to leave in time; a weaker verb is not told."""
        if verb <= self.asked:
            return
        self.asked = verb
        if self.worker is not None:
            self.worker.ask(verb)
        self.expect_end(grace_s)

    def expect_end(self, grace_s: float) -> None:
        """Kill the worker if it has not left after the grace period."""
        self.disarm()
        self.timer = asyncio.get_running_loop().call_later(grace_s, self.kill, "grace")

    async def look(self, hang_s: float) -> Beat:
        """Listen to the worker's heart; where it is silent, look whether it works."""
        assert self.worker is not None
        beat = self.worker.beat()
        self.life.saw_beat(beat.number, beat.heard_at)
        if self.life.is_suspicious(beat.heard_at, hang_s):
            self.life.saw_cpu(await self.worker.cpu_s(), beat.heard_at)
        return beat

    def kill(self, why: str) -> None:
        """End the worker at once."""
        self.killed_for = self.killed_for or why
        if self.worker is not None:
            self.worker.kill()

    def disarm(self) -> None:
        """Forget the grace period."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Attempts:
    """Every running attempt of one engine, and the queue before them."""

    def __init__(
        self, journal: Journal, executor: Executor, inbox: Inbox, settings: Settings, layout: Layout
    ) -> None:
        self.running: dict[str, Attempt] = {}
        self.problem: str | None = None  # why what workers say cannot be written now
        self.on_change: Callable[[], None] = lambda: None  # the queue or who runs changed
        self.is_closing = False
        self._journal = journal
        self._executor = executor
        self._inbox = inbox
        self._settings = settings
        self._layout = layout
        self._by_worker: dict[Worker, Attempt] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def queue(self) -> list[Job]:
        """Return the jobs that wait, in the order they will start."""
        waiting = [job for job in self._journal.live.values() if job.status is Status.QUEUED]
        return sorted(waiting, key=lambda job: -job.spec.priority)  # and those of one priority as they came

    def wake(self) -> None:
        """Look for jobs to start: one was queued, or a slot came free."""
        self._wake.set()
        self.on_change()

    def why_waits(self, job: Job) -> str | None:
        """Return why a queued job will never start as things stand; None for one that only has to wait."""
        wait = self._executor.why(need_of(job, self._executor))
        return wait.message if wait is not None and wait.is_hopeless else None

    def adopt(self, job: Job, worker: Worker) -> None:
        """Take up a worker of the last server, which goes on with its job."""
        self._running_on(worker, attempt := Attempt(job.job_id, job.attempt))
        if job.requested is not None:
            attempt.ask(Verb[job.requested.upper()], self._settings.grace_s)

    async def dispatch(self) -> None:
        """Start queued jobs as there is room for them, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while not self.is_closing and (job := self._next()) is not None:
                need = need_of(job, self._executor)
                worker = await self._executor.take(need)  # until a job has a worker it waits in line
                if worker is None:
                    break
                if (first := self._first_of(need)) is None or self.is_closing:
                    self._executor.give_back(worker)
                    break
                try:
                    await self._start(first, worker)
                except (DiskLow, StoreFailed, OSError) as error:
                    LOG.warning("job %s could not be started: %s", first.job_id, error)
                    asyncio.get_running_loop().call_later(RETRY_S, self._wake.set)
                    break

    async def drain(self) -> None:
        """Fold what workers say, in order, for ever; while it cannot be written it waits, and so do the workers."""
        while True:
            frames = [await self._inbox.get()]
            with contextlib.suppress(asyncio.QueueEmpty):
                while True:
                    frames.append(self._inbox.get_nowait())
            for part in _parts(frames):
                await self._fold_until_written(part)

    async def clean(self, job: Job) -> None:
        """Remove what the job's state makes superfluous: everything if cancelled, else attempts before the newest."""
        await asyncio.to_thread(self._clean, job)

    async def leave(self, shutdown_s: float) -> None:
        """Have every worker checkpoint and leave; kill those that have not after `shutdown_s`."""
        self.is_closing = True
        for attempt in self.running.values():
            attempt.ask(Verb.LEAVE, shutdown_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(shutdown_s + 2.0):
                await self._idle.wait()

    def _next(self) -> Job | None:
        """Return the first job in line if there is room for it; one that has to wait for room is not overtaken."""
        for job in self._waiting():
            wait = self._executor.why(need_of(job, self._executor))
            if wait is None or not wait.is_hopeless:
                return job if wait is None else None
        return None

    def _first_of(self, need: Need) -> Job | None:
        """Return the first job in line of this need: while its worker came, another one may have."""
        return next((job for job in self._waiting() if need_of(job, self._executor) == need), None)

    def _waiting(self) -> Iterator[Job]:
        return (job for job in self.queue() if job.job_id not in self.running)

    async def _start(self, job: Job, worker: Worker) -> None:
        """Give one job to a worker: who it is stands in the database before it hears of the job."""
        attempt = Attempt(job.job_id, job.attempt + 1)
        try:
            async with self._journal.turn:
                job = self._journal.live.get(job.job_id, job)
                if job.status is not Status.QUEUED:
                    self._executor.give_back(worker)
                    return
                assignment = await asyncio.to_thread(self._assignment, job, attempt.number)
                self.running[job.job_id] = attempt
                self._idle.clear()
                starting = State(status=Status.STARTING, attempt=attempt.number, node=worker.node)
                await self._journal.record(job, starting, ref=worker.ref)
        except BaseException:
            self._executor.give_back(worker)
            self._forget(attempt)
            raise
        self._running_on(worker, attempt)
        self._executor.begin(worker, assignment)
        if attempt.asked:
            worker.ask(attempt.asked)
        if attempt.killed_for is not None:
            worker.kill()
        self.on_change()

    def _running_on(self, worker: Worker, attempt: Attempt) -> None:
        attempt.worker = worker
        self.running[attempt.job_id] = attempt
        self._by_worker[worker] = attempt
        self._idle.clear()

    def _assignment(self, job: Job, number: int) -> Assignment:
        """Return what the attempt's worker is to do, and where."""
        folder = self._layout.attempt_dir(job.job_id, number)
        earlier = attempt_dirs(folder.parent)
        dataset = self._layout.located(job.dataset) if job.dataset else None
        trainers = {} if job.spec.trainer == "tabular" else self._settings.all_trainers()
        place = Place(
            job_id=job.job_id,
            attempt=number,
            attempt_dir=os.fspath(folder),
            earlier_dirs=tuple(os.fspath(path) for path in earlier if path != folder),
            dataset=dataset,
            cache_dir=cache_dir(dataset) if dataset else None,
            trainer=trainers.get(job.spec.trainer, BUILT_IN),
            keep_checkpoints=self._settings.keep_checkpoints,
            ran_s=job.timings.get("running_s", 0.0),
            finish=job.requested == "stop",
        )
        return Assignment(job.spec, place)

    async def _fold_until_written(self, frames: list[Frame]) -> None:
        while True:
            try:
                async with self._journal.turn:
                    await self._fold(frames)
            except (DiskLow, StoreFailed) as error:
                if self.problem is None:
                    LOG.warning("what workers say cannot be written: %s", error.message)
                self.problem = error.message
                await asyncio.sleep(RETRY_S)
            else:
                self.problem = None
                return

    async def _fold(self, frames: list[Frame]) -> None:
        """Fold a run of plain events, or one that ends an attempt."""
        worker, event, cursor = frames[0]
        attempt = self._by_worker.get(worker)
        if isinstance(event, Ended):
            await self._ended(attempt, event)
            if cursor is not None:
                worker.committed(cursor)
        elif attempt is not None and isinstance(event, State) and event.status in OUTCOMES:
            await self._outcome(attempt, event, cursor)
        else:
            await self._plain(frames)

    async def _plain(self, frames: list[Frame]) -> None:
        """Commit what several workers said in one transaction; the words of a fenced worker are dropped."""
        changes: dict[str, list[AnyEvent]] = {}
        cursors: dict[str, int] = {}
        for worker, event, cursor in frames:
            attempt = self._by_worker.get(worker)
            if attempt is None or isinstance(event, Ended):
                continue
            job = self._journal.live.get(attempt.job_id)
            if job is None or job.attempt != attempt.number or job.status not in ACTIVE:
                continue
            changes.setdefault(attempt.job_id, []).append(self._as_seen_outside(event, worker))
            if cursor is not None:
                cursors[attempt.job_id] = cursor
        if changes:
            pairs = [(self._journal.live[job_id], events) for job_id, events in changes.items()]
            await self._journal.record_many(pairs, is_synced=False, cursors=cursors)
        for job_id, cursor in cursors.items():
            if (attempt := self.running.get(job_id)) is not None and attempt.worker is not None:
                attempt.worker.committed(cursor)

    def _as_seen_outside(self, event: AnyEvent, worker: Worker) -> AnyEvent:
        """Return the event with paths relative to the root, and where the worker is that a state is of."""
        match event:
            case State():
                return msgspec.structs.replace(event, pid=worker.pid, node=worker.node)
            case Checkpoint():
                return msgspec.structs.replace(event, path=self._layout.relative(event.path))
            case _:
                return event

    async def _outcome(self, attempt: Attempt, event: State, cursor: int | None) -> None:
        """Record how an attempt says it ended; the model is published before anyone hears of it."""
        job = self._journal.live.get(attempt.job_id)
        if job is None or job.attempt != attempt.number or job.status not in ACTIVE:
            return
        state = after_outcome(job, event, attempt.pause_reason)
        if state.result is not None and state.result.model_path is not None:
            published = await asyncio.to_thread(self._publish, job.job_id, Path(state.result.model_path))
            state = msgspec.structs.replace(state, result=msgspec.structs.replace(state.result, model_path=published))
        await self._journal.record(job, state, cursor=cursor)
        if cursor is not None and attempt.worker is not None:
            attempt.worker.committed(cursor)
        if attempt.timer is None:
            attempt.expect_end(self._settings.grace_s)

    def _publish(self, job_id: str, made: Path) -> str:
        """Move a finished model to where users find it; return that path relative to the root."""
        target = self._layout.model_path(job_id)
        if made.exists():  # else this is a second try, after the move and before the commit
            rename_durably(made, target)
        return self._layout.relative(target)

    async def _ended(self, attempt: Attempt | None, ended: Ended) -> None:
        """A worker is gone: settle the job where it left that open, and have the next one start."""
        if attempt is None:
            return
        job = self._journal.live.get(attempt.job_id)
        if job is not None and job.attempt == attempt.number and job.status in ACTIVE:
            found = await asyncio.to_thread(last_checkpoint, self._layout, job.job_id)
            untold = unreported_checkpoint(job, found)
            settled = after_loss(job, ended, attempt, has_checkpoint=found is not None)
            await self._journal.record(job, *untold, settled)
        await self._journal.store.worker_ended(attempt.job_id, attempt.number)
        self._gone(attempt)
        await self.clean(await self._journal.job(attempt.job_id))

    def _gone(self, attempt: Attempt) -> None:
        self._forget(attempt)
        self.wake()

    def _forget(self, attempt: Attempt) -> None:
        attempt.disarm()
        attempt.over.set()
        self.running.pop(attempt.job_id, None)
        if attempt.worker is not None:
            self._by_worker.pop(attempt.worker, None)
        if not self.running:
            self._idle.set()

    def _clean(self, job: Job) -> None:
        folder = self._layout.job_dir(job.job_id)
        if job.status is Status.CANCELLED:
            shutil.rmtree(folder, ignore_errors=True)
            self._layout.model_path(job.job_id).unlink(missing_ok=True)
        elif job.checkpoint is not None:
            kept = (self._layout.root / job.checkpoint).parent
            for other in attempt_dirs(folder):
                if attempt_number(other) < attempt_number(kept) and not is_pinned(other):
                    shutil.rmtree(other, ignore_errors=True)


def _parts(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Split frames into runs of plain events and single ones that end an attempt, in order."""
    parts: list[list[Frame]] = []
    is_open = False
    for frame in frames:
        event = frame.event
        is_end = isinstance(event, Ended) or (isinstance(event, State) and event.status in OUTCOMES)
        if is_end or not is_open:
            parts.append([])
        parts[-1].append(frame)
        is_open = not is_end
    return parts
