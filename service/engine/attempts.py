"""The queue and the running attempts: which job starts next, and what its worker reports.

Two tasks of the engine: `dispatch` gives queued jobs to workers, `drain` records the workers' events. A job has one
attempt at a time: the next one starts only when the worker of the one before is gone. Knows no HTTP and no process.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path

import msgspec

from traind.service.engine.attempt import Attempt, is_outcome
from traind.service.engine.needs import need_of
from traind.service.engine.settling import Settling
from traind.service.errors import DiskLow, StoreFailed
from traind.service.executor.base import Ended, Executor, Frame, Inbox, Need, Worker
from traind.service.jobs.changes import is_answer
from traind.service.jobs.job import ACTIVE, Job
from traind.service.jobs.outcomes import store_failed
from traind.service.jobs.states import may_follow
from traind.service.record.journal import Journal
from traind.service.record.problems import GIVE_UP_S, RECORDING, RETRY_S, Problems
from traind.service.recovery.checkpoint_files import attempt_dirs
from traind.service.settings import Layout, Settings, cache_dir
from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import (
    AnyEvent,
    Checkpoint,
    ControlRequested,
    Epoch,
    Log,
    Metric,
    Progress,
    State,
    Status,
)
from traind.trainer.contract.spec import Assignment, EnsembleModel, Place, TrainSpec

INBOX_FRAMES = 1_000  # events of workers not recorded yet; beyond it their pipes fill, and progress is thinned
BUILT_IN = "traind.trainer.tabular.train:train"
STARTING = "jobs cannot be started"


class Attempts:
    """Every running attempt of one engine, and the queue before them."""

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        settings: Settings,
        layout: Layout,
        problems: Problems,
    ) -> None:
        self.running: dict[str, Attempt] = {}
        self.inbox: Inbox = asyncio.Queue(INBOX_FRAMES)
        self.on_change: Callable[[], None] = lambda: None  # the queue or the running jobs changed
        self.on_death: Callable[[asyncio.Task[None]], None] = lambda _: None  # a task of an attempt has ended
        self.is_closing = False
        self._journal = journal
        self._executor = executor
        self._settings = settings
        self._layout = layout
        self._problems = problems
        self._settling = Settling(journal, settings, layout, problems, self._gone)
        self._by_worker: dict[Worker, Attempt] = {}
        self._held: dict[str, tuple[float, float]] = {}  # jobs that could not start: since when, and until when
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def queue(self) -> list[Job]:
        """Return the jobs that wait, in the order they will start."""
        waiting = [job for job in self._journal.live.values() if job.status is Status.QUEUED]
        return sorted(
            waiting, key=lambda job: -job.spec.priority
        )  # the sort is stable: within a priority in order of submission

    def wake(self) -> None:
        """Look for jobs to start: one was queued, or a slot came free."""
        self._wake.set()
        self.on_change()

    def why_waits(self, job: Job) -> str | None:
        """Return why a queued job can never start as things are; None for one that only has to wait."""
        wait = self._executor.why(need_of(job, self._executor))
        return wait.message if wait is not None and wait.is_hopeless else None

    def adopt(self, job: Job, worker: Worker) -> None:
        """Take over a worker that outlived the last server and goes on with its job."""
        self._running_on(worker, attempt := Attempt(job.job_id, job.attempt))
        attempt.change(job)
        if job.requested is not None:
            attempt.ask(Verb[job.requested.upper()], self._settings.grace_s)

    async def dispatch(self) -> None:
        """Start queued jobs whenever there is room for them, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while not self.is_closing and (job := self._next()) is not None:
                need = need_of(job, self._executor)
                worker = await self._executor.take(need)  # a job stays queued until it has a worker
                if worker is None:
                    break
                if (first := self._first_of(need)) is None or self.is_closing:
                    self._executor.give_back(worker)
                    break
                if not await self._try_start(first, worker):
                    break

    async def _try_start(self, job: Job, worker: Worker) -> bool:
        """Start a job. Return False where the database cannot be written now: then no job can be started."""
        loop, what = asyncio.get_running_loop(), f"job {job.job_id} cannot be started"
        try:
            await self._start(job, worker)
        except (DiskLow, StoreFailed) as error:
            self._problems.arose(STARTING, error)
            loop.call_later(RETRY_S, self._wake.set)
            return False
        except OSError as error:
            self._problems.arose(what, error)
            await self._hold(job, error)
            loop.call_later(RETRY_S, self._wake.set)
            return True
        self._held.pop(job.job_id, None)
        self._problems.passed(what)
        self._problems.passed(STARTING)
        return True

    async def _hold(self, job: Job, error: OSError) -> None:
        """Put the job back for `RETRY_S`; fail it where it could not be started for `GIVE_UP_S`."""
        now = time.monotonic()
        since, _ = self._held.get(job.job_id, (now, now))
        self._held[job.job_id] = since, now + RETRY_S
        if now - since < GIVE_UP_S:
            return
        with contextlib.suppress(DiskLow, StoreFailed):
            async with self._journal.turn:
                if (queued := self._queued(job.job_id)) is not None:
                    await self._journal.record(queued, store_failed(f"The job's files cannot be read: {error}."))
            self._problems.passed(f"job {job.job_id} cannot be started")
            del self._held[job.job_id]

    async def drain(self) -> None:
        """Record the workers' events, in order, for ever; while that fails this waits, and so do the workers."""
        while True:
            frames = [await self.inbox.get()]
            with contextlib.suppress(asyncio.QueueEmpty):
                while True:
                    frames.append(self.inbox.get_nowait())
            await self._fold(frames)

    async def clean(self, job: Job) -> None:
        """Remove the job's files that its state makes superfluous."""
        await self._settling.clean(job)

    async def clean_again(self) -> None:
        """Remove what could not be removed before; raises `OSError`."""
        await self._settling.clean_again()

    async def close(self) -> None:
        """Cancel the tasks that settle attempts."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def leave(self, shutdown_s: float) -> None:
        """Have every worker checkpoint and leave; kill those that have not after `shutdown_s`."""
        self.is_closing = True
        for attempt in self.running.values():
            attempt.ask(Verb.LEAVE, shutdown_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(shutdown_s + 2.0):
                await self._idle.wait()

    async def abandon(self, shutdown_s: float) -> None:
        """Have every worker checkpoint and leave, and record nothing: the next server finds the checkpoints."""
        self.is_closing = True
        for attempt in self.running.values():
            attempt.ask(Verb.LEAVE, shutdown_s)
        left = {attempt.worker for attempt in self.running.values() if attempt.worker is not None}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(shutdown_s + 2.0):
                while left:
                    worker, event, _ = await self.inbox.get()
                    if isinstance(event, Ended):
                        left.discard(worker)

    def _next(self) -> Job | None:
        """Return the first job in line if there is room for it; no other job overtakes one that waits for room."""
        for job in self._waiting():
            wait = self._executor.why(need_of(job, self._executor))
            if wait is None or not wait.is_hopeless:
                return job if wait is None else None
        return None

    def _first_of(self, need: Need) -> Job | None:
        """Return the first job in line with this need: it may be another one than before the worker came."""
        return next((job for job in self._waiting() if need_of(job, self._executor) == need), None)

    def _waiting(self) -> Iterator[Job]:
        now = time.monotonic()
        waiting = (job for job in self.queue() if job.job_id not in self.running)
        return (job for job in waiting if self._held.get(job.job_id, (now, now))[1] <= now)

    def _queued(self, job_id: str) -> Job | None:
        """Return a job as it is now if it is still queued: it may have ended or been deleted meanwhile."""
        job = self._journal.live.get(job_id)
        return job if job is not None and job.status is Status.QUEUED else None

    async def _start(self, job: Job, worker: Worker) -> None:
        """Give one job to a worker, once the database says which worker it is."""
        attempt = Attempt(job.job_id, job.attempt + 1)
        try:
            earlier: list[Path] = []
            if job.attempt or job.parent is not None:
                earlier = await asyncio.to_thread(attempt_dirs, self._layout, job.job_id)  # others have their turn
            async with self._journal.turn:
                if (queued := self._queued(job.job_id)) is None:
                    self._executor.give_back(worker)
                    return
                job = queued
                assignment = self._assignment(job, attempt.number, earlier)
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
        if attempt.requested:
            worker.ask(attempt.requested)
        attempt.change(self._journal.live.get(job.job_id, job))
        if attempt.killed_for is not None:
            worker.kill()
        self.on_change()

    def _running_on(self, worker: Worker, attempt: Attempt) -> None:
        attempt.worker = worker
        self.running[attempt.job_id] = attempt
        self._by_worker[worker] = attempt
        self._idle.clear()

    def _assignment(self, job: Job, number: int, earlier: Iterable[Path]) -> Assignment:
        """Return what the attempt's worker is to do, and where; `earlier` are the attempts' folders so far."""
        folder = self._layout.attempt_dir(job.job_id, number)
        dataset = self._layout.located(job.dataset) if job.dataset else None
        trainers = {} if job.spec.trainer == "tabular" else self._settings.all_trainers()
        place = Place(
            job_id=job.job_id,
            attempt=number,
            attempt_dir=os.fspath(folder),
            files_dir=os.fspath(self._layout.files_dir(job.job_id)),
            earlier_dirs=tuple(os.fspath(path) for path in earlier if path != folder),
            dataset=dataset,
            cache_dir=cache_dir(dataset) if dataset else None,
            trainer=trainers.get(job.spec.trainer, BUILT_IN),
            members=self._members(job.spec),
            keep_checkpoints=self._settings.keep_checkpoints,
            ran_s=job.timings.get("running_s", 0.0),
            changes=tuple(job.changes),
            finish=job.requested == "stop",
        )
        return Assignment(job.spec, place)

    def _members(self, spec: TrainSpec) -> tuple[tuple[str, str], ...]:
        """Return the models that an ensemble is made of, and where they are."""
        jobs = spec.model.jobs if isinstance(spec.model, EnsembleModel) else ()
        return tuple((job_id, os.fspath(self._layout.model_path(job_id))) for job_id in jobs)

    async def _fold(self, frames: Iterable[Frame]) -> None:
        """Commit the events of several workers in one transaction; a task each settles the attempts that end."""
        plain: list[Frame] = []
        ends: list[tuple[Attempt, Frame]] = []
        ending: set[Attempt] = set()
        for frame in frames:
            attempt = self._by_worker.get(frame.worker)
            if attempt is None:  # it has ended: nothing from its worker counts any more
                continue
            event = frame.event
            if isinstance(event, Ended) or (isinstance(event, State) and is_outcome(event)) or attempt.backlog:
                ending.add(attempt)
            if attempt in ending:
                ends.append((attempt, frame))
            else:
                plain.append(frame)
        if plain:
            await self._until_written(plain)
        for attempt, frame in ends:
            attempt.backlog.append(frame)
            if len(attempt.backlog) == 1:
                self._spawn(self._settling.follow(attempt), f"settle {attempt.job_id}")

    async def _until_written(self, frames: Iterable[Frame]) -> None:
        while True:
            try:
                async with self._journal.turn:
                    await self._plain(frames)
            except (DiskLow, StoreFailed) as error:
                self._problems.arose(RECORDING, error)
                await asyncio.sleep(RETRY_S)
            else:
                self._problems.passed(RECORDING)
                return

    async def _plain(self, frames: Iterable[Frame]) -> None:
        """Commit events that end no attempt; drop those that the job's state does not allow."""
        changes: dict[str, list[AnyEvent]] = {}
        states: dict[str, Status] = {}
        cursors: dict[str, int] = {}
        for worker, event, cursor in frames:
            attempt = self._by_worker.get(worker)
            job = self._journal.live.get(attempt.job_id) if attempt is not None else None
            if attempt is None or job is None or job.attempt != attempt.number or job.status not in ACTIVE:
                continue
            if cursor is not None:
                cursors[job.job_id] = cursor
            if isinstance(event, State):
                if not may_follow(states.get(job.job_id, job.status), event.status):
                    continue
                states[job.job_id] = event.status
            if (seen := self._as_seen_outside(event, attempt, worker)) is not None:
                changes.setdefault(job.job_id, []).append(seen)
        if changes:
            pairs = [(self._journal.live[job_id], events) for job_id, events in changes.items()]
            is_synced = any(isinstance(event, ControlRequested) for _, events in pairs for event in events)
            await self._journal.record_many(pairs, is_synced=is_synced, cursors=cursors)
        for job_id, cursor in cursors.items():
            if (attempt := self.running.get(job_id)) is not None and attempt.worker is not None:
                attempt.worker.committed(cursor)

    def _as_seen_outside(self, event: AnyEvent | Ended, attempt: Attempt, worker: Worker) -> AnyEvent | None:
        """Return a worker's event as it is recorded: paths relative to the root, attempt, process and node filled in.

        None for a checkpoint outside the attempt's own folder and for kinds of events that no worker may send.
        """
        match event:
            case State():
                return msgspec.structs.replace(event, attempt=attempt.number, pid=worker.pid, node=worker.node)
            case Checkpoint():
                if os.path.dirname(event.path) != os.fspath(self._layout.attempt_dir(attempt.job_id, attempt.number)):  # noqa: PTH120 - of each event
                    return None
                return msgspec.structs.replace(event, attempt=attempt.number, path=self._layout.relative(event.path))
            case Progress() | Epoch() | Metric() | Log():
                return msgspec.structs.replace(event, attempt=attempt.number)
            case ControlRequested() if is_answer(self._journal.live[attempt.job_id].changes, event):
                return msgspec.structs.replace(event, attempt=attempt.number)
            case _:
                return None

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"traind-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self.on_death)

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
