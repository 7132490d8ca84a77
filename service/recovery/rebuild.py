"""A new database beside a lost one: filled from status files and readable records, a few jobs at a time.

Meanwhile others go on with the old one, where there is one. Here the memory of a job is its id and its date, and
nobody waits for more than a few jobs to be read. Nothing takes the file for a database until `Store.renew` has
completed it: who is killed begins again. Called at the start, and where damage is found later.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from traind.service.jobs.job import TERMINAL, Job
from traind.service.record.database import beside, lenient, remove
from traind.service.record.journal import Folded, Journal, changes_of
from traind.service.record.status_files import StatusFiles
from traind.service.record.store import Change, Store, put, readable
from traind.service.record.store_thread import failing_as_ours
from traind.service.record.tables import make_tables
from traind.trainer.contract.events import Log, encode_event

LOG = logging.getLogger(__name__)
LOST = Log(message="The database was lost; this job was rebuilt from its status file.", level="warning")
AT_ONCE = 50  # jobs read in a row, in some milliseconds: states of others wait for their status files
DAMAGE = (sqlite3.Error, UnicodeDecodeError)  # the latter is of words in a damaged file

T = TypeVar("T")
Event = tuple[int, bytes]
Kept = tuple[Job, bytes]  # a job, and its record as it stands


async def rebuild(journal: Journal, problem: str | None = None) -> list[Job]:
    """Fill a new database from status files and readable records; the events are gone, and the next one says so.

    Others go on with the old one meanwhile, and wait only while what they changed is brought over; it is set aside
    for the `problem` in it (None: what `open` found). What runs is known better than its status file. Return the
    unfinished jobs that were not known before.
    """
    began = time.monotonic()
    with journal.noting() as left:
        count, unfinished = await refill(
            journal.store, journal.status_files, dict(journal.live), lambda job: _last_event(journal, job)
        )
        async with journal.turn:
            known = journal.live.keys() | left.keys()
            hidden = {job.job_id: job for job in unfinished if job.job_id not in known}
            folded: list[Folded] = []
            for part in parts([*journal.live.values(), *hidden.values()]):
                folded += journal.fold((job, [LOST]) for job in part)
                await asyncio.sleep(0)
            await _bring_over(journal, folded, left, problem)
            for published in parts(folded):
                await journal.publish(published)
                await asyncio.sleep(0)
    if count:
        seconds = time.monotonic() - began
        LOG.warning(
            "there was no whole database; %d jobs were rebuilt from their status files in %.1f s", count, seconds
        )
    return [job for job, _ in folded if job.job_id in hidden]


async def _bring_over(
    journal: Journal, folded: list[Folded], left: Mapping[str, Job | None], problem: str | None
) -> None:
    """Write what happened meanwhile to the new database, and replace the lost one by it."""
    gone = {job_id: job for job_id, job in left.items() if job_id not in journal.live}
    ended = [Change(job, [_last_event(journal, job)]) for job in gone.values() if job is not None]
    forgotten = [job_id for job_id, job in gone.items() if job is None]
    oldest_first = sorted(changes_of(folded) + ended, key=lambda change: change.job.created_at)
    await journal.store.renew(problem, oldest_first, forgotten)


def _last_event(journal: Journal, job: Job) -> Event:
    """Return the event that replaces the last one of a job whose events are lost."""
    event = msgspec.structs.replace(LOST, seq=job.seq, job_id=job.job_id, ts=journal.clock.now())
    return job.seq, encode_event(event)


async def refill(
    store: Store, status_files: StatusFiles, known: Mapping[str, Job], last_event: Callable[[Job], Event]
) -> tuple[int, list[Job]]:
    """Fill the new file beside the store's; return how many jobs it has, and the unfinished ones.

    Args:
        store: has the database that is lost.
        status_files: the status files.
        known: jobs in memory, newer than anything on the disk; the caller writes the events of these and of all
            unfinished jobs.
        last_event: returns the event that replaces the last one of a finished job.
    """
    async with _filling(store.path) as (new, call):
        dates = {job.job_id: job.created_at for job in known.values()}
        for part in parts(await status_files.names()):
            dates |= {job.job_id: job.created_at for job, _ in await status_files.read_many(part)}
        for part in parts(await call(new.names)):
            dates |= await call(new.dates, [name for name in part if name not in dates])
        unfinished: list[Job] = []
        for part in parts(sorted(dates, key=dates.__getitem__)):
            kept = await status_files.read_many(name for name in part if name not in known)
            kept += [(known[name], msgspec.json.encode(known[name])) for name in part if name in known]
            unfinished += await call(new.put, part, {job.job_id: (job, record) for job, record in kept}, last_event)
    return len(dates), unfinished


def parts(all_of_them: Iterable[T], size: int = AT_ONCE) -> Iterator[list[T]]:
    """Yield lists of at most `size` items."""
    them = iter(all_of_them)
    while part := list(islice(them, size)):
        yield part


class _Filling:
    """The new file, and the lost one to read from; used on one thread."""

    def __init__(self, path: Path) -> None:
        self.path = beside(path)
        self._lost_path = path
        self._new: sqlite3.Connection
        self._lost: sqlite3.Connection
        self._numbers: dict[str, int] = {}
        self._opened = contextlib.ExitStack()

    def open(self) -> None:
        """Make the new file and open both."""
        remove(self.path)
        self._new = self._opened.enter_context(contextlib.closing(sqlite3.connect(self.path, isolation_level=None)))
        self._new.execute("PRAGMA journal_mode = OFF")  # nothing is rolled back: an unfinished file is removed
        self._new.execute("BEGIN")
        make_tables(self._new)
        self._new.execute("COMMIT")
        self._lost = self._opened.enter_context(contextlib.closing(lenient(self._lost_path)))

    def close(self) -> None:
        """Close what is open."""
        self._opened.close()

    def names(self) -> list[str]:
        """Return the jobs of the lost database."""
        with contextlib.suppress(*DAMAGE):
            self._numbers.update(self._lost.execute("SELECT job_id, number FROM jobs WHERE typeof(job_id) = 'text'"))
        return list(self._numbers)

    def dates(self, names: Iterable[str]) -> dict[str, float]:
        """Return when the jobs with readable records were created, by the id in the record."""
        dates = {}
        for name in names:
            if (found := self._record(name)) is not None:
                dates[found[0].job_id] = found[0].created_at
                self._numbers.setdefault(found[0].job_id, self._numbers[name])
        return dates

    def put(self, names: Iterable[str], kept: Mapping[str, Kept], last_event: Callable[[Job], Event]) -> list[Job]:
        """Write jobs, the newer of status file and lost record; return the unfinished ones."""
        unfinished = []
        self._new.execute("BEGIN")
        for name in names:
            found = [one for one in (kept.get(name), self._record(name)) if one is not None and one[0].job_id == name]
            if not found:  # deleted since
                continue
            job, record = max(found, key=lambda one: one[0].seq)
            is_over = job.status in TERMINAL
            put(self._new, job, record, [last_event(job)] if is_over else [])
            if not is_over:
                unfinished.append(job)
        self._new.execute("COMMIT")
        return unfinished

    def _record(self, name: str) -> Kept | None:
        if (number := self._numbers.get(name)) is None:
            return None
        rows: list[tuple[Any, ...]] = []
        with contextlib.suppress(*DAMAGE):
            rows = self._lost.execute("SELECT record, crc FROM records WHERE number = ?", (number,)).fetchall()
        for record, crc in rows:
            if (job := readable(name, record, crc)) is not None:
                return job, record
        return None


@contextlib.asynccontextmanager
async def _filling(path: Path) -> AsyncIterator[tuple[_Filling, Callable[..., Any]]]:
    """Yield a new file and a function that calls its methods on its thread; remove it again after an error."""
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, thread_name_prefix="traind-renewal")

    async def call(function: Callable[..., T], *args: object) -> T:
        with failing_as_ours(path):
            return await loop.run_in_executor(thread, function, *args)

    try:
        new = _Filling(path)
        try:
            await call(new.open)
            yield new, call
        except BaseException:
            await call(new.close)
            await call(remove, new.path)
            raise
        await call(new.close)
    finally:
        thread.shutdown(wait=False)
