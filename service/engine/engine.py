"""The engine: submit, the verbs, and the events of jobs. It knows no HTTP.

`submit` records and queues a job; `attempts` runs it; every change goes through `journal`. A verb is recorded durably
before the worker gets it, and returns at once. Made and owned by `service.TrainingService`.
"""

import asyncio
import contextlib
import functools
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

import msgspec

from traind.service.engine.changing import TAKEN_UP_S, controlled, is_open, newest_change, requested
from traind.service.engine.edits import Edit, edited
from traind.service.engine.lifetime import Lifetime
from traind.service.engine.needs import need_of
from traind.service.errors import (
    CursorAhead,
    IdTaken,
    JobFinished,
    JobNotFinished,
    JobNotFound,
    NoSuchDevice,
    NotResumable,
    QueueFull,
    SlowWatcher,
    StoreFailed,
)
from traind.service.jobs.changes import taken_up
from traind.service.jobs.job import ACTIVE, TERMINAL, Job, Parent, submitted
from traind.service.jobs.listing import Listing
from traind.service.record.store import NEWEST_FIRST
from traind.service.recovery.checkpoint_files import is_model_whole, taken_over
from traind.service.results import Controlled, EventPage, JobPage
from traind.service.validation.explain import Problem
from traind.service.validation.validate import refusal
from traind.trainer.contract.change import Change, RequestedChange
from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import AnyEvent, ControlRequested, State, Status, decode_event
from traind.trainer.contract.spec import DatasetFile, StartFrom, TrainSpec

P = ParamSpec("P")
T = TypeVar("T")

PAST_EVENTS = 40  # read at a time for a watcher who comes late: a slow one holds them in memory
_VERBS = {"stop": Verb.STOP, "pause": Verb.PAUSE, "cancel": Verb.CANCEL}
_ENDS = {"stop": Status.STOPPED, "pause": Status.PAUSED, "cancel": Status.CANCELLED}


class Origin(NamedTuple):
    """The study that a job belongs to, and the number of its trial; no number: it makes the study's ensemble."""

    study_id: str | None = None
    trial: int | None = None
    seen: tuple[RequestedChange, ...] = ()
    """Changes that the job which it starts from had taken up when its spec was filled in."""


class ParentChanged(Exception):
    """The job that a spec starts from has taken up changes since the spec was filled in: fill it in again."""


ALONE = Origin()


def uninterrupted(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Run a method to its end even if its caller is cancelled: what is committed must also be published."""

    @functools.wraps(method)
    async def whole(*args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.ensure_future(method(*args, **kwargs))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    return whole


class Engine(Lifetime):
    """One root's jobs. `open` starts it, `close` ends it."""

    @uninterrupted
    async def submit(
        self,
        spec: TrainSpec,
        dataset: DatasetFile | None,
        job_id: str | None = None,
        changes: Sequence[RequestedChange] = (),
        origin: Origin = ALONE,
    ) -> Job:
        """Record a job and queue it. The same `job_id` with the same spec again returns the same job.

        `changes` are those of the job that it starts from, repeated at their steps. Raises `IdTaken` for the same id
        with another spec, `NoSuchDevice`, `QueueFull`, `DiskLow`, `StoreFailed`.
        """
        self._check_open()
        self.watchdog.check_disk()
        async with self.journal.turn:
            if job_id is not None and (known := await self.submitted_before(job_id, spec)) is not None:
                return known
            if job_id is not None and job_id in await self.journal.store.aliases():
                raise IdTaken(f"{job_id!r} is an alias.", hint="Choose another job_id.")
            if len(self.journal.live) - len(self.attempts.running) >= self.settings.max_queued:
                raise QueueFull(f"{self.settings.max_queued} jobs wait already.", hint="Try again later.")
            now = self.journal.clock.now()
            job_id = job_id or f"job_{int(now * 1000)}_{secrets.token_hex(3)}"
            parent = None
            if spec.start_from is not None:
                parent = await self._take_over(spec, spec.start_from, job_id, origin.seen)
            job = Job(
                job_id=job_id,
                created_at=now,
                name=spec.name,
                spec=spec,
                dataset=dataset,
                epochs=None if spec.epochs == "auto" else spec.epochs,
                parent=parent,
                changes=list(changes),
                study_id=origin.study_id,
                trial=origin.trial,
            )
            self.check_room(job)
            job = await self.journal.record(job, State(status=Status.QUEUED))
        self.attempts.wake()
        await self.journal.status_files.settled()  # the status file is there before the caller learns of the job
        return job

    async def _take_over(
        self, spec: TrainSpec, start: StartFrom, job_id: str, seen: Sequence[RequestedChange]
    ) -> Parent:
        """Give a new job the checkpoint that it starts from; the caller holds the turn. Raises `ParentChanged`."""
        known = await self.journal.job(start.job_id)
        if taken_up(known.changes) != tuple(seen):
            raise ParentChanged
        parent = await asyncio.to_thread(taken_over, self.layout, spec, start, known, job_id)
        self.children.setdefault(parent.job_id, []).append(job_id)
        return msgspec.structs.replace(parent, changes=newest_change(known))

    def check_room(self, job: Job) -> None:
        """Raise `NoSuchDevice` or `InvalidSpec`, by field, where a job needs what this server will never have."""
        wait = self.executor.why(need_of(job, self.executor))
        if wait is not None and wait.is_final:
            if wait.field != "device":
                raise refusal([Problem(wait.field, f"cannot be had: {wait.message.removesuffix('.')}")], "The spec")
            is_of_count = job.spec.gpus and not job.spec.device.startswith("cuda:")
            field = "gpus" if is_of_count else wait.field
            raise NoSuchDevice(wait.message, details=[{"loc": field, "msg": wait.message}])

    async def submitted_before(self, job_id: str, spec: TrainSpec) -> Job | None:
        """Return the job of that id, if there is one; raises `IdTaken` where it was submitted with another spec."""
        try:
            known = await self.journal.job(job_id)
        except JobNotFound:
            return None
        if submitted(known) != spec:
            raise IdTaken(f"The job {job_id!r} exists and has another spec.", hint="Choose another job_id.")
        return known

    async def job(self, job_id: str) -> Job:
        """Return a job as it is now, its place in the queue filled in; raises `JobNotFound`."""
        job = await self.journal.job(job_id)
        if children := self.children.get(job_id):
            job = msgspec.structs.replace(job, children=children)
        if job.status is not Status.QUEUED:
            return job
        place = 1 + [waiting.job_id for waiting in self.attempts.queue()].index(job_id)
        message = self.attempts.why_waits(job) or job.message
        return msgspec.structs.replace(job, queue_position=place, message=message)

    async def jobs(
        self,
        statuses: Iterable[str] = (),
        limit: int = 100,
        after: int | str | None = None,
        listing: Listing = NEWEST_FIRST,
    ) -> JobPage:
        """Return jobs of these states (none: of all), without reports; `ValueError` for another order's cursor."""
        jobs, cursor = await self.journal.store.page(statuses, limit, after, listing)
        places = {job.job_id: place for place, job in enumerate(self.attempts.queue(), 1)}
        newest = [self.journal.live.get(job.job_id, job) for job in jobs]
        shown = [msgspec.structs.replace(job, queue_position=places.get(job.job_id), report={}) for job in newest]
        return JobPage(shown, cursor)

    async def events(self, job_id: str, after: int = 0, limit: int = 1_000) -> EventPage:
        """Return up to `limit` events after `after`; raises `JobNotFound`, `CursorAhead`."""
        job = await self._at_cursor(job_id, after)
        rows = await self.journal.store.events(job_id, after, limit)
        return EventPage([body for seq, body in rows if seq <= job.seq], job.seq)

    async def watch_bytes(self, job_id: str, after: int = 0) -> AsyncIterator[tuple[int, bytes]]:
        """Yield `(seq, encoded event)` for each event after `after` once, in order, until the job is over.

        Past events come from the store, live ones from the feed. Raises `JobNotFound`, `CursorAhead`, `SlowWatcher`
        for a reader who does not keep up, `NotRunning` when the service closes first.
        """
        seq = after
        with self.feed.watch(job_id) as watcher:
            job = await self._at_cursor(job_id, after)
            while seq < job.seq:
                rows = await self.journal.store.events(job_id, seq, PAST_EVENTS)
                if not rows:
                    raise JobNotFound(f"The job {job_id!r} was deleted.")
                if rows[0][0] > job.seq:  # the database was rebuilt meanwhile: the events before are lost
                    async with self.journal.turn:
                        job = await self.journal.job(job_id)
                    continue
                for row in rows:
                    if row[0] > job.seq:  # written but not published yet: it comes live
                        break
                    yield row
                    seq = row[0]
            if job.status in TERMINAL and (await self.journal.job(job_id)).seq == seq:
                return
            while (item := await watcher.next_item()) is not None:
                if item.seq > seq:
                    yield item.seq, item.body
                    seq = item.seq
                    if item.is_last:
                        return
        raise self._closing("Connect again with `after`.")

    async def watch(self, job_id: str, after: int = 0) -> AsyncIterator[AnyEvent]:
        """Yield each event after `after` once, in order, until the job is over; raises as `watch_bytes` does."""
        async for _, body in self.watch_bytes(job_id, after):
            yield decode_event(body)

    async def wait(self, job_id: str) -> Job:
        """Return the job once it is over; raises `JobNotFound`, `NotRunning`."""
        while True:
            with self.feed.watch(job_id) as watcher:
                job = await self.journal.job(job_id)
                try:
                    while job.status not in TERMINAL:
                        if await watcher.next_item() is None:
                            raise self._closing()
                        job = await self.journal.job(job_id)
                except SlowWatcher:
                    continue
                return job

    async def stop(self, job_id: str, reason: str | None = None) -> Job:
        """End a job and keep its best model so far; a job without a step is cancelled. Raises `JobFinished`."""
        return await self._carry_out(job_id, "stop", reason)

    async def pause(self, job_id: str) -> Job:
        """Free the job's slot and keep its place. Raises `JobFinished`."""
        return await self._carry_out(job_id, "pause")

    async def cancel(self, job_id: str) -> Job:
        """End a job and keep nothing but the record. Raises `JobFinished`."""
        return await self._carry_out(job_id, "cancel")

    @uninterrupted
    async def resume(self, job_id: str, epochs: int | None = None) -> Job:
        """Queue a job again from its last checkpoint, with more epochs where given. Raises `NotResumable`."""
        self._check_open()
        async with self.journal.turn:
            job = await self.journal.job(job_id)
            await self._check_resumable(job, epochs)
            request = ControlRequested(verb="resume", epochs=epochs)
            if job.status in ACTIVE or job.status is Status.QUEUED:
                if epochs is not None:
                    raise JobNotFinished(f"The job {job_id} is not over; its epochs cannot be changed now.")
                return job if job.requested is None else await self.journal.record(job, request)
            job = await self.journal.record(job, request, State(status=Status.QUEUED, reason="resumed"))
        self.attempts.wake()
        return job

    async def _check_resumable(self, job: Job, epochs: int | None) -> None:
        """Raise `NotResumable` where nothing was kept, or neither an epoch nor the model is left to make."""
        if job.status is Status.CANCELLED:
            raise NotResumable(f"The job {job.job_id} is cancelled: nothing of it was kept.")
        hint = "`epochs` is the number of all its epochs: give a larger one."
        if epochs is not None and epochs < job.epoch:
            details = [{"loc": "epochs", "msg": f"must be {job.epoch} at least: that many epochs have begun"}]
            problem = f"The job {job.job_id} has trained {job.epoch} epochs already."
            raise NotResumable(problem, hint=hint, details=details)
        if job.status is not Status.COMPLETED or (epochs is not None and epochs > job.epoch):
            return
        if epochs is not None or await asyncio.to_thread(is_model_whole, self.layout.model_path(job.job_id)):
            raise NotResumable(f"The job {job.job_id} is completed after {job.epoch} epochs.", hint=hint)

    async def control(self, job_id: str, change: Change, within_s: float = TAKEN_UP_S) -> Controlled:
        """Have a running job change its settings at its next step; return that step.

        Where that takes longer than `within_s` seconds, the returned step is None and an event names it later.
        Raises `JobNotRunning`, `JobFinished`, `ChangeRefused`, `TooMany`.
        """
        number = await self._request(job_id, change)
        job = await self._settled(job_id, number, within_s)
        return controlled(job, number)

    @uninterrupted
    async def _request(self, job_id: str, change: Change) -> int:
        """Record a change, pass it on to the worker and return its number."""
        self._check_open()
        async with self.journal.turn:
            job = await self.journal.job(job_id)
            number, event = requested(job, change)
            if event is not None:
                job = await self.journal.record(job, event)
                if (attempt := self.attempts.running.get(job_id)) is not None:
                    attempt.change(job)
        return number

    async def _settled(self, job_id: str, number: int, within_s: float) -> Job:
        """Return the job once its change is taken up or refused, or after `within_s`; raises `JobNotFound`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while True:
                    with self.feed.watch(job_id) as watcher, contextlib.suppress(SlowWatcher):
                        while is_open(job := await self.journal.job(job_id), number):
                            if await watcher.next_item() is None:
                                raise self._closing()
                        return job
        return await self.journal.job(job_id)

    @uninterrupted
    async def edit(self, job_id: str, edit: Edit) -> Job:
        """Change a job's name, tags, notes or priority. Raises `NotWaiting`."""
        self._check_open()
        async with self.journal.turn:
            job = await self.journal.job(job_id)
            if (event := edited(job, edit)) is not None:
                job = await self.journal.record(job, event)
        self.attempts.wake()
        return job

    @uninterrupted
    async def delete(self, job_id: str) -> None:
        """Remove a job that is over, with its files, once its process has left; raises `JobNotFinished`."""
        self._check_open()
        while True:
            async with self.journal.turn:
                job = await self.journal.job(job_id)
                if job.status not in TERMINAL:
                    raise JobNotFinished(f"The job {job_id} is not over.", hint="Cancel or stop it first.")
                if (attempt := self.attempts.running.get(job_id)) is None:
                    try:
                        await self.watchdog.remove(job_id)
                    except OSError as error:
                        raise StoreFailed(f"The files of the job {job_id} cannot be removed: {error}.") from error
                    self.children.get(job.parent.job_id if job.parent else "", [job_id]).remove(job_id)
                    return
            await attempt.over.wait()

    @uninterrupted
    async def _carry_out(self, job_id: str, verb: str, reason: str | None = None) -> Job:
        """Record a verb, then pass it on to the worker, or apply it where the job has none."""
        self._check_open()
        async with self.journal.turn:
            job = await self.journal.job(job_id)
            if job.status is _ENDS[verb] or job.requested == verb:
                return job
            if job.status in TERMINAL:
                raise JobFinished(f"The job {job_id} is {job.status.lower()}; it cannot be {_PAST[verb]}.")
            if job.requested is not None and _VERBS[verb] < _VERBS[job.requested]:
                raise JobFinished(f"The job {job_id} is being {_PAST[job.requested]}; it cannot be {_PAST[verb]}.")
            request = ControlRequested(verb=verb, reason=reason)  # type: ignore[arg-type]
            if job.status in ACTIVE:
                job = await self.journal.record(job, request)
                if (attempt := self.attempts.running.get(job_id)) is not None:
                    attempt.ask(_VERBS[verb], self.settings.grace_s)
                return job
            job = await self.journal.record(job, request, _without_worker(job, verb))
            if job.status is Status.CANCELLED:
                await self.attempts.clean(job)
        self.attempts.wake()
        return job

    async def _at_cursor(self, job_id: str, after: int) -> Job:
        job = await self.journal.job(job_id)
        if after > job.seq:
            raise CursorAhead(f"The job {job_id} has {job.seq} events; there is none after {after}.")
        return job


_PAST = {"stop": "stopped", "pause": "paused", "cancel": "cancelled"}


def _without_worker(job: Job, verb: str) -> State:
    """Return the next state of a queued or paused job after a verb."""
    if verb == "pause":
        return State(status=Status.PAUSED, reason="user")
    if verb == "stop" and job.checkpoint is not None:
        return State(status=Status.QUEUED, reason="finishing", message="Making the model of the stopped job")
    return State(status=Status.CANCELLED)
