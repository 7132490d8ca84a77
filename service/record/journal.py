"""The only writer of every job's state: number the events, apply them, commit, then publish.

Holds the unfinished jobs in memory. A change is one or more events of `trainer.contract.events`: they are numbered,
applied to the job, written in one transaction, and only then sent to watchers and status files. Whoever changes a job
holds `turn` from reading it to recording it. Knows no worker and not what a verb means.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec

from traind.service.errors import JobNotFound
from traind.service.jobs.job import TERMINAL, Job, apply
from traind.service.record.clock import Clock
from traind.service.record.feed import Feed, Item
from traind.service.record.status_files import StatusFiles
from traind.service.record.store import Change, Store
from traind.service.webhooks.outbox import Entry
from traind.trainer.contract.events import AnyEvent, Edited, Epoch, Log, Progress, State, encode_event

Outbox = Callable[[Job, AnyEvent], Sequence[Entry]]
RECENT = 256  # finished jobs kept in memory for repeated reads

Recorded = tuple[AnyEvent, Item]
Folded = tuple[Job, list[Recorded]]  # a job after its new events, and the events
_NO_CURSORS: Mapping[str, int] = MappingProxyType({})


class Journal:
    """The unfinished jobs in memory, and the recording of their changes."""

    def __init__(self, store: Store, feed: Feed, status_files: StatusFiles, clock: Clock | None = None) -> None:
        self.store = store
        self.feed = feed
        self.status_files = status_files
        self.clock = clock or Clock()
        self.turn = asyncio.Lock()
        self.live: dict[str, Job] = {}
        self.outbox: Outbox = nothing  # the webhook deliveries of an event
        self.observers: list[
            Callable[[Job, AnyEvent], None]
        ] = []  # called with each committed event; for metrics and logs
        self._recent: OrderedDict[str, Job] = OrderedDict()
        self._left: dict[str, Job | None] | None = None

    async def job(self, job_id: str) -> Job:
        """Return a job; raises `JobNotFound`."""
        job = self.live.get(job_id) or self._recent.get(job_id)
        if job is None:
            job = await self.store.job(job_id)
            if job is None:
                raise JobNotFound(f"There is no job {job_id!r}.")
            self._remember(job)
        return job

    async def record(self, job: Job, *events: AnyEvent, ref: str | None = None, cursor: int | None = None) -> Job:
        """Commit and publish events of a job and return it as it is then. The caller holds `turn`.

        `ref` is the `Worker.ref` of a new attempt, `cursor` how far its worker's events are recorded; both are
        committed with the events.
        """
        cursors = {} if cursor is None else {job.job_id: cursor}
        return (await self.record_many([(job, events)], is_synced=True, ref=ref, cursors=cursors))[0]

    async def record_many(
        self,
        changes: Iterable[tuple[Job, Iterable[AnyEvent]]],
        *,
        is_synced: bool,
        ref: str | None = None,
        cursors: Mapping[str, int] = _NO_CURSORS,
    ) -> list[Job]:
        """Return the jobs after their events, all in one transaction. The caller holds `turn`."""
        folded = self.fold(changes)
        await self.store.commit(changes_of(folded, ref, cursors, self.outbox), is_synced=is_synced)
        return await self.publish(folded)

    @contextlib.contextmanager
    def noting(self) -> Iterator[dict[str, Job | None]]:
        """Yield a dict that fills with the jobs that end meanwhile, and with None for those that are deleted."""
        self._left = {}
        try:
            yield self._left
        finally:
            self._left = None

    async def forget(self, job_id: str) -> None:
        """Remove a job that is over: status file, record, events. The caller holds `turn`.

        In this order: a file without a record would bring the job back if the database were ever lost; a record
        without a file gets one at the next start.
        """
        kept = await self.status_files.read(job_id)
        await self.status_files.remove(job_id)
        try:
            await self.store.delete(job_id)
        except BaseException:
            if kept is not None:
                self.status_files.entered(kept)
            raise
        self._recent.pop(job_id, None)
        self._note(job_id, None)
        self.feed.notify_all({"type": "deleted", "job_id": job_id})

    def fold(self, changes: Iterable[tuple[Job, Iterable[AnyEvent]]]) -> list[Folded]:
        """Return the jobs after their events, and the numbered events; nothing is written or changed yet."""
        if not self.live:
            self.clock.take_up()
        return [self._fold(job, events) for job, events in changes]

    async def publish(self, folded: Iterable[Folded]) -> list[Job]:
        """Publish what is committed; return the jobs."""
        for job, recorded in folded:
            await self._publish(job, recorded)
        return [job for job, _ in folded]

    def _fold(self, job: Job, events: Iterable[AnyEvent]) -> tuple[Job, list[Recorded]]:
        """Number and date the events, apply them to the job, encode each once."""
        recorded: list[Recorded] = []
        for event in events:
            ts = self.clock.of(event.ts, job.entered_at or 0.0) if event.ts else self.clock.now()
            numbered = msgspec.structs.replace(event, seq=job.seq + 1, job_id=job.job_id, ts=ts)
            job = apply(job, numbered)
            is_last = isinstance(numbered, State | Log) and job.status in TERMINAL
            recorded.append((numbered, Item(numbered.seq, encode_event(numbered), is_last)))
        return job, recorded

    async def _publish(self, job: Job, recorded: list[Recorded]) -> None:
        """Publish a committed change; the end of a job is in its status file before watchers hear of it."""
        is_over = job.status in TERMINAL
        if any(isinstance(event, State | Edited) for event, _ in recorded):
            written = self.status_files.entered(job)
            if is_over:
                await written
        else:
            self.status_files.progressed(job)
        if is_over:
            self.live.pop(job.job_id, None)
            self._remember(job)
            self._note(job.job_id, job)
        else:
            self._recent.pop(job.job_id, None)
            self.live[job.job_id] = job
        for event, item in recorded:
            for observe in self.observers:
                observe(job, event)
            self.feed.publish(job.job_id, item)
            if job.study_id is None and isinstance(
                event, State | Progress | Edited
            ):  # else the study's events say it
                self.feed.publish_to_all(job.job_id, item, now=event.ts if isinstance(event, Progress) else None)

    def _note(self, job_id: str, job: Job | None) -> None:
        if self._left is not None:
            self._left[job_id] = job

    def _remember(self, job: Job) -> None:
        self._recent[job.job_id] = job
        self._recent.move_to_end(job.job_id)
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)


def nothing(_job: Job, _event: AnyEvent) -> Sequence[Entry]:
    """Return no deliveries: there are no webhooks."""
    return ()


def changes_of(
    folded: Iterable[Folded],
    ref: str | None = None,
    cursors: Mapping[str, int] = _NO_CURSORS,
    outbox: Outbox = nothing,
) -> list[Change]:
    """Return what the store writes of folded jobs."""
    return [
        Change(
            job,
            [(item.seq, item.body) for _, item in recorded],
            ref,
            cursors.get(job.job_id),
            any(map(_is_indexed, recorded)),
            [entry for event, _ in recorded for entry in outbox(job, event)],
        )
        for job, recorded in folded
    ]


def _is_indexed(recorded: Recorded) -> bool:
    """Return whether an event may change a job's labels or scores."""
    return isinstance(recorded[0], State | Epoch | Edited)
