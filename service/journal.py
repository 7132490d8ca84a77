"""The one writer of every job's state: fold, commit, then tell.

Holds the unfinished jobs in memory. A change is one or more contract events: they are numbered, folded into the
job, written in one transaction, and only then shown to watchers and status files. Whoever changes a job holds
`turn` from reading it to recording it. Knows no worker and no verb's meaning.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

import msgspec

from traind.service.clock import Clock
from traind.service.errors import JobNotFound
from traind.service.feed import Feed, Item
from traind.service.jobs import TERMINAL, Job, apply
from traind.service.snapshots import Snapshots
from traind.service.store import Change, Store
from traind.trainer.contract import AnyEvent, Log, Progress, State, encode_event

AT_ONCE = 200  # of a hundred thousand jobs that are rebuilt; then others have their turn
RECENT = 256  # finished jobs kept in memory, for those who ask again and again

T = TypeVar("T")
Told = tuple[AnyEvent, Item]


class Journal:
    """Live jobs and the way they change."""

    def __init__(self, store: Store, feed: Feed, snapshots: Snapshots, clock: Clock | None = None) -> None:
        self.store = store
        self.feed = feed
        self.snapshots = snapshots
        self.clock = clock or Clock()
        self.turn = asyncio.Lock()
        self.live: dict[str, Job] = {}
        self.observers: list[Callable[[Job, AnyEvent], None]] = []  # told of each committed event; for figures
        self._recent: OrderedDict[str, Job] = OrderedDict()

    async def job(self, job_id: str) -> Job:
        """Return a job; raises `JobNotFound`."""
        job = self.live.get(job_id) or self._recent.get(job_id)
        if job is None:
            job = await self.store.job(job_id)
            if job is None:
                raise JobNotFound(f"There is no job {job_id!r}.")
            self._remember(job)
        return job

    async def record(self, job: Job, *events: AnyEvent, worker: str | None = None) -> Job:
        """Return the job after these events, committed and told, and whose worker it is. The caller holds `turn`."""
        return (await self.record_many([(job, events)], is_synced=True, worker=worker))[0]

    async def record_many(
        self, changes: Iterable[tuple[Job, Iterable[AnyEvent]]], *, is_synced: bool, worker: str | None = None
    ) -> list[Job]:
        """Return the jobs after their events, all in one transaction. The caller holds `turn`."""
        folded = self._folded(changes)
        await self.store.commit(_changes(folded, worker), is_synced=is_synced)
        return await self._tell_all(folded)

    async def rebuild(
        self, changes: Iterable[tuple[Job, Iterable[AnyEvent]]], problem: str | None = None
    ) -> list[Job]:
        """Return the jobs after their events, which are all that a new database has. The caller holds `turn`.

        Args:
            changes: every job there is.
            problem: what is wrong with the database that is open, which is set aside; None: it is new.
        """
        folded = []
        for part in _parts(changes):
            folded += self._folded(part)
            await asyncio.sleep(0)
        if problem is None:
            await self.store.fill(_changes(folded))
        else:
            await self.store.renew(problem, _changes(folded))
        rebuilt = []
        for told in _parts(folded):
            rebuilt += await self._tell_all(told)
            await asyncio.sleep(0)
        return rebuilt

    async def forget(self, job_id: str) -> None:
        """Remove a job that is over: record, events, status file. The caller holds `turn`."""
        await self.store.delete(job_id)
        await self.snapshots.remove(job_id)
        self._recent.pop(job_id, None)
        self.feed.notify_all({"type": "deleted", "job_id": job_id})

    def _folded(self, changes: Iterable[tuple[Job, Iterable[AnyEvent]]]) -> list[tuple[Job, list[Told]]]:
        if not self.live:
            self.clock.take_up()
        return [self._fold(job, events) for job, events in changes]

    async def _tell_all(self, folded: Iterable[tuple[Job, list[Told]]]) -> list[Job]:
        for job, told in folded:
            await self._tell(job, told)
        return [job for job, _ in folded]

    def _fold(self, job: Job, events: Iterable[AnyEvent]) -> tuple[Job, list[Told]]:
        """Number and date the events, fold them into the job, encode each once."""
        told: list[Told] = []
        for event in events:
            ts = self.clock.of(event.ts, job.entered_at or 0.0) if event.ts else self.clock.now()
            numbered = msgspec.structs.replace(event, seq=job.seq + 1, job_id=job.job_id, ts=ts)
            job = apply(job, numbered)
            is_last = isinstance(numbered, State | Log) and job.status in TERMINAL
            told.append((numbered, Item(numbered.seq, encode_event(numbered), is_last)))
        return job, told

    async def _tell(self, job: Job, told: list[Told]) -> None:
        """Show a committed change to everyone; the end of a job stands in its status file before it is told."""
        is_over = job.status in TERMINAL
        if any(isinstance(event, State) for event, _ in told):
            written = self.snapshots.entered(job)
            if is_over:
                await written
        else:
            self.snapshots.progressed(job)
        if is_over:
            self.live.pop(job.job_id, None)
            self._remember(job)
        else:
            self._recent.pop(job.job_id, None)
            self.live[job.job_id] = job
        for event, item in told:
            for observe in self.observers:
                observe(job, event)
            self.feed.publish(job.job_id, item)
            if isinstance(event, State | Progress):
                self.feed.publish_to_all(job.job_id, item, now=event.ts if isinstance(event, Progress) else None)

    def _remember(self, job: Job) -> None:
        self._recent[job.job_id] = job
        self._recent.move_to_end(job.job_id)
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)


def _parts(all_of_them: Iterable[T]) -> Iterator[list[T]]:
    them = iter(all_of_them)
    while part := list(islice(them, AT_ONCE)):
        yield part


def _changes(folded: Iterable[tuple[Job, list[Told]]], worker: str | None = None) -> list[Change]:
    return [Change(job, [(item.seq, item.body) for _, item in told], worker) for job, told in folded]
