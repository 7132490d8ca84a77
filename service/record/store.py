"""The store: one SQLite file with jobs, workers, events, aliases and deliveries.

Events and the job's record after them are written in one transaction. An `is_synced` transaction (a change of state,
a verb) is on the disk when `commit` returns; the others survive a kill of the process, but not a power cut. Each row
has a checksum, so that data damaged on the disk is never returned as good. SQLite runs on one thread; every method is
a coroutine that hands its work over to that. Called by the engine only.
"""

import asyncio
import logging
import sqlite3
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import msgspec

from traind.data.limits import PAGE_BYTES, how_many_fit
from traind.service.errors import StoreFailed
from traind.service.executor.base import Leftover
from traind.service.jobs.job import TERMINAL, Job
from traind.service.jobs.listing import Listing
from traind.service.record import index
from traind.service.record.database import Findings, examine, is_whole, outside
from traind.service.record.disk import Disk
from traind.service.record.store_thread import StoreThread
from traind.service.studies import tables as studies
from traind.service.threads import in_thread
from traind.service.webhooks import outbox
from traind.service.webhooks.outbox import Delivery, Due, Entry
from traind.trainer.contract.events import Log, encode_event

LOG = logging.getLogger(__name__)
_TERMINAL_SQL = ", ".join(f"'{status}'" for status in sorted(TERMINAL))
_JOBS = "SELECT job_id, record, crc FROM jobs LEFT JOIN records USING (number)"
_IS_OPEN = f"status NOT IN ({_TERMINAL_SQL})"
_UNFINISHED = f"{_JOBS} WHERE {_IS_OPEN} ORDER BY number"
_PUT_JOB = """INSERT INTO jobs (job_id, status, finished_at) VALUES (?, ?, ?)
    ON CONFLICT (job_id) DO UPDATE SET status = excluded.status, finished_at = excluded.finished_at
    RETURNING number"""
NEWEST_FIRST = Listing()
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Job)


@dataclass(frozen=True, slots=True)
class Change:
    """One job after its new events, which are `(seq, encoded event)` in order."""

    job: Job
    events: Sequence[tuple[int, bytes]]
    ref: str | None = None  # `Worker.ref` of a new attempt's worker, by which the next server finds it
    cursor: int | None = None  # how far that worker's events are recorded
    is_indexed: bool = True  # its labels or scores may have changed
    entries: Sequence[Entry] = ()  # new deliveries of the outbox


class Store(StoreThread):
    """One open database. Made by `Store.open`; `close` when done."""

    @property
    def is_new(self) -> bool:
        """Whether there was no database or a damaged one: it is to be made or renewed."""
        return self._database.is_new

    @property
    def is_lost(self) -> bool:
        """Whether the database is damaged."""
        return self._database.is_lost

    @property
    def is_checked(self) -> bool:
        """Whether the whole file was checked; of a large one only the tables in `FATE` are."""
        return self._database.is_checked

    @classmethod
    async def open(cls, path: Path, disk: Disk | None = None) -> Self:
        """Open the database; where it `is_new`, the caller calls `make`, or has it refilled (`recovery.rebuild`).

        Raises `RootTooNew` for a newer format, `StoreFailed` where it cannot be opened.
        """
        store = cls(path, disk)
        try:
            await store._run(store._database.open)
        except BaseException:
            store._thread.shutdown(wait=False)
            raise
        return store

    async def make(self) -> None:
        """Make the database of a root that has no jobs."""
        await self._run(self._database.make)

    async def renew(self, problem: str | None, changes: Sequence[Change], forgotten: Iterable[str]) -> None:
        """Replace the database by the one that was filled beside it (`recovery.rebuild`).

        Args:
            problem: the damage of the open database, which is set aside; None: the damage that `open` found.
            changes: jobs that changed since the new one was filled; their events there are replaced by these.
            forgotten: jobs that were deleted since.
        """
        await asyncio.shield(self._run(self._database.renew, problem, partial(_bring_over, changes, list(forgotten))))

    async def examine(self) -> Findings:
        """Check the whole file on another thread; if cancelled, it waits for that thread to end."""
        db = await self._run(outside, self.path)
        looking = asyncio.ensure_future(in_thread(examine, db))
        try:
            return await asyncio.shield(looking)
        except sqlite3.Error as error:
            raise StoreFailed(f"The database {self.path} could not be looked at: {error}.") from error
        except asyncio.CancelledError:
            db.interrupt()
            await asyncio.wait({looking})
            looking.exception()
            raise
        finally:
            db.close()

    async def commit(self, changes: Sequence[Change], *, is_synced: bool) -> None:
        """Write jobs and their new events in one transaction.

        The transaction is carried out even if the caller is cancelled. Raises `DiskLow` where the disk is full,
        `StoreFailed` otherwise; then nothing of it is written.
        """
        await asyncio.shield(self._run(self._commit, changes, is_synced))

    async def job(self, job_id: str) -> Job | None:
        """Return one job, or None."""
        rows = await self._run(self._database.rows, f"{_JOBS} WHERE job_id = ?", (job_id,))
        found = _readable(rows)
        if rows and not found:
            raise StoreFailed(f"The record of the job {job_id!r} is damaged.", hint="Its status file may be whole.")
        return found[0] if found else None

    async def damaged(self, *, of_all: bool = True) -> dict[str, int]:
        """Return the jobs (or only the unfinished ones) with damaged records, each with its last event's number."""
        return await self._run(self._database.damaged, "true" if of_all else _IS_OPEN)

    async def unfinished(self) -> list[Job]:
        """Return the jobs that are not terminal, oldest first."""
        return _readable(await self._run(self._database.rows, _UNFINISHED, ()))

    async def finished(self, limit: int, before: int | None) -> list[tuple[int, str, int | None]]:
        """Return up to `limit` finished jobs, newest first, as `(number, job_id, checksum of the record)`."""
        sql = f"""SELECT number, job_id, crc FROM jobs JOIN records USING (number)
            WHERE number < ? AND status IN ({_TERMINAL_SQL}) ORDER BY number DESC LIMIT ?"""  # noqa: S608 - constants
        return await self._run(self._database.rows, sql, (before or 2**62, limit))

    async def unknown(self, job_ids: Iterable[str]) -> set[str]:
        """Return the ids that no job has."""
        wanted = list(job_ids)
        known: set[str] = set()
        for first in range(0, len(wanted), 500):
            part = wanted[first : first + 500]
            sql = f"SELECT job_id FROM jobs WHERE job_id IN ({', '.join('?' * len(part))})"  # noqa: S608 - placeholders
            known.update(job_id for (job_id,) in await self._run(self._database.rows, sql, tuple(part)))
        return set(wanted) - known

    async def page(
        self, statuses: Iterable[str], limit: int, after: int | str | None, listing: Listing = NEWEST_FIRST
    ) -> tuple[list[Job], int | str | None]:
        """Return up to `limit` jobs, and the cursor of the next page (None: there is none).

        A page ends early where its jobs, without their reports, exceed `PAGE_BYTES`. Raises `ValueError` for a cursor
        of another sort order.
        """
        place = None if after is None else index.parse_cursor(listing, after)
        sql, args = index.page_query(list(statuses), listing, limit + 1, place)
        rows = await self._run(self._database.rows, sql, args)
        whole = rows[:limit]
        if sum(len(record or b"") for *_, record, _ in whole) > PAGE_BYTES:
            whole = whole[: how_many_fit(map(_listed_bytes, whole))]
        jobs = _readable([row[2:] for row in whole])
        return jobs, index.cursor_of(listing, *whole[-1][:2]) if len(rows) > len(whole) else None

    async def children(self) -> dict[str, list[str]]:
        """Return, by job, the jobs that started from its checkpoints, oldest first."""
        sql = "SELECT parent, job_id FROM jobs JOIN labels USING (number) WHERE parent IS NOT NULL ORDER BY number"
        found: dict[str, list[str]] = {}
        for parent, child in await self._run(self._database.rows, sql, ()):
            found.setdefault(parent, []).append(child)
        return found

    async def counts(self) -> dict[str, int]:
        """Return how many jobs there are in each state."""
        return dict(await self._run(self._database.rows, "SELECT status, count(*) FROM jobs GROUP BY status", ()))

    async def events(self, job_id: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` events with `seq` above `after`, in order, as `(seq, encoded event)`.

        There are fewer where they exceed `PAGE_BYTES`. In place of a damaged one stands a log event that says so.
        """
        sql = """SELECT seq, body, crc FROM events WHERE number = (SELECT number FROM jobs WHERE job_id = ?)
            AND seq > ? ORDER BY seq LIMIT ?"""
        rows = await self._run(self._database.rows, sql, (job_id, after, limit))
        rows = rows[: how_many_fit(len(body) for _, body, _ in rows)]
        return [(seq, body if is_whole(body, crc) else _damaged_event(job_id, seq)) for seq, body, crc in rows]

    async def delete(self, job_id: str) -> None:
        """Forget a job and its events, durably."""
        await self._run(self._database.change, "DELETE FROM jobs WHERE job_id = ?", (job_id,))

    async def finished_before(self, ts: float | None, keep: int | None) -> list[str]:
        """Return the finished jobs that ended before `ts`, or that are not among the `keep` newest ones.

        Trials of unfinished studies are left out.
        """
        sql = f"""SELECT job_id FROM (
                SELECT job_id, finished_at, row_number() OVER (ORDER BY number DESC) AS place
                FROM jobs WHERE status IN ({_TERMINAL_SQL}) AND number NOT IN ({studies.OPEN_JOBS})
            ) WHERE place > ? OR finished_at < ?"""  # noqa: S608 - constants
        rows = await self._run(
            self._database.rows, sql, (2**62 if keep is None else keep, -1.0 if ts is None else ts)
        )
        return [job_id for (job_id,) in rows]

    async def worker_ended(self, job_id: str, attempt: int) -> None:
        """Remove the record of an attempt's worker."""
        sql = "DELETE FROM workers WHERE job_id = ? AND attempt = ?"
        await self._run(self._database.change, sql, (job_id, attempt), False)

    async def workers(self) -> list[Leftover]:
        """Return the recorded workers."""
        sql = "SELECT job_id, attempt, identity, cursor FROM workers"
        return [Leftover(*row) for row in await self._run(self._database.rows, sql, ())]

    async def set_alias(
        self, name: str, job_id: str | None, reason: str | None = None, expected: tuple[str | None] | None = None
    ) -> bool:
        """Point a name at a job's model, or at nothing; the move and its reason are recorded.

        Returns False, with nothing changed, where it no longer points at the `expected` job.
        """
        return await self._run(self._set_alias, name, job_id, reason, expected)

    async def aliases(self) -> dict[str, tuple[str, float]]:
        """Return each alias with its job and since when it points there."""
        rows = await self._run(self._database.rows, "SELECT name, job_id, since FROM aliases ORDER BY name", ())
        return {name: (job_id, since) for name, job_id, since in rows}

    async def alias_moves(self, name: str) -> list[tuple[str | None, float, str | None]]:
        """Return every move of an alias, oldest first, as `(job_id, ts, reason)`."""
        sql = """SELECT job_id, ts, comparison FROM alias_moves LEFT JOIN alias_reasons USING (name, ts)
            WHERE name = ? ORDER BY alias_moves.rowid"""
        return await self._run(self._database.rows, sql, (name,))

    async def put_deliveries(self, entries: Sequence[Entry]) -> None:
        """Write deliveries of the outbox that belong to no event."""
        await self.writing(partial(outbox.put, entries=entries))

    async def due_deliveries(self, webhook: str, now: float, limit: int) -> tuple[list[Due], float | None]:
        """Return the deliveries to send now, at most one a job, and when the next one is due."""
        return await self.reading(lambda db: outbox.due(db, webhook, now, limit))

    async def settle_delivery(self, id_: int, state: str, next_at: float, **result: Any) -> None:
        """Record the result of a try."""
        await self.writing(partial(outbox.settle, id_=id_, state=state, next_at=next_at, **result))

    async def deliveries(self, webhook: str, limit: int) -> list[Delivery]:
        """Return the newest deliveries of a webhook, newest first."""
        return await self.reading(lambda db: outbox.listed(db, webhook, limit))

    async def delivery_counts(self) -> dict[str, dict[str, int]]:
        """Return how many deliveries each webhook has, by state."""
        return await self.reading(outbox.counts)

    async def forget_deliveries(self, before: float) -> None:
        """Remove deliveries that succeeded or were given up before that time."""
        await self.writing(partial(outbox.forget, before=before))

    def _set_alias(
        self, name: str, job_id: str | None, reason: str | None, expected: tuple[str | None] | None
    ) -> bool:
        now = time.time()
        with self._database.transaction(is_synced=True) as db:
            found = db.execute("SELECT job_id FROM aliases WHERE name = ?", (name,)).fetchone() or (None,)
            if expected is not None and found != expected:
                return False
            if job_id is None:
                db.execute("DELETE FROM aliases WHERE name = ?", (name,))
            else:
                db.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)", (name, job_id, now))
            db.execute("INSERT INTO alias_moves VALUES (?, ?, ?)", (name, job_id, now))
            if reason is not None:
                db.execute("INSERT INTO alias_reasons VALUES (?, ?, ?)", (name, now, reason))
            return True

    def _commit(self, changes: Sequence[Change], is_synced: bool) -> None:
        with self._database.transaction(is_synced=is_synced) as db:
            _write(changes, db)


def put(
    db: sqlite3.Connection, job: Job, record: bytes, events: Iterable[tuple[int, bytes]], *, is_indexed: bool = True
) -> None:
    """Write a job's row, its encoded record, its new events, and its labels and scores."""
    (number,) = db.execute(_PUT_JOB, (job.job_id, job.status, job.finished_at)).fetchone()
    db.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", (number, record, zlib.crc32(record)))
    if is_indexed:
        index.write(db, number, job)
    rows = [(number, seq, body, zlib.crc32(body)) for seq, body in events]
    db.executemany("INSERT INTO events (number, seq, body, crc) VALUES (?, ?, ?, ?)", rows)


def _write(changes: Iterable[Change], db: sqlite3.Connection) -> None:
    for change in changes:
        job = change.job
        put(db, job, _encoder.encode(job), change.events, is_indexed=change.is_indexed)
        outbox.put(db, change.entries)
        if change.ref is not None:
            db.execute("INSERT OR REPLACE INTO workers VALUES (?, ?, ?, 0)", (job.job_id, job.attempt, change.ref))
        if change.cursor is not None:
            heard = "UPDATE workers SET cursor = ? WHERE job_id = ? AND attempt = ?"
            db.execute(heard, (change.cursor, job.job_id, job.attempt))


def _bring_over(changes: Sequence[Change], forgotten: Iterable[str], db: sqlite3.Connection) -> None:
    db.executemany("DELETE FROM jobs WHERE job_id = ?", [(job_id,) for job_id in forgotten])
    written = "DELETE FROM events WHERE number = (SELECT number FROM jobs WHERE job_id = ?)"
    db.executemany(written, [(change.job.job_id,) for change in changes])
    _write(changes, db)


def _listed_bytes(row: tuple[Any, ...]) -> int:
    """Return the bytes of a row's job in a list."""
    job = readable(*row[2:])
    return 0 if job is None else len(_encoder.encode(msgspec.structs.replace(job, report={})))


def _readable(rows: Iterable[tuple[Any, ...]]) -> list[Job]:
    """Return the jobs of `(job_id, record, crc)` rows; a damaged record is left out and logged."""
    return [job for row in rows if (job := readable(*row)) is not None]


def readable(job_id: str, record: bytes, crc: int | None) -> Job | None:
    """Return the job of a record; None for a damaged one, which is logged."""
    try:
        if not is_whole(record, crc):
            raise msgspec.DecodeError("its checksum differs")  # noqa: TRY301 - as a record that is no JSON
        return _decoder.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        LOG.warning("the record of job %s in the database is damaged: %s", job_id, error)
        return None


def _damaged_event(job_id: str, seq: int) -> bytes:
    LOG.warning("event %d of job %s in the database is damaged", seq, job_id)
    message = "This event is damaged on the disk and cannot be shown."
    return encode_event(Log(seq=seq, job_id=job_id, message=message, level="error"))
