"""The truth on disk: one SQLite file with jobs, attempts and events.

An event and the job it leads to are written in one transaction. `is_synced` transactions (the ones that decide a
fate) are on the disk when `commit` returns; the others survive any kill of the process, but not a power cut. Each
row has a checksum: what a disk has changed is never told as if it were true.
SQLite runs on one thread of its own; every method here is a coroutine that hands over to it. Called by the engine
only.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

import msgspec

from traind.service.errors import DiskLow, StoreFailed
from traind.service.jobs import TERMINAL, Job
from traind.service.tables import make_tables
from traind.trainer.contract import Log, encode_event

P = ParamSpec("P")
T = TypeVar("T")

LOG = logging.getLogger(__name__)
_TERMINAL_SQL = ", ".join(f"'{status}'" for status in sorted(TERMINAL))
_UNFINISHED = f"SELECT job_id, record, crc FROM jobs WHERE status NOT IN ({_TERMINAL_SQL}) ORDER BY number"  # noqa: S608 - constants
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Job)


@dataclass(frozen=True, slots=True)
class Change:
    """One job after its new events, which are `(seq, encoded event)` in order; and who carries its attempt out."""

    job: Job
    events: Sequence[tuple[int, bytes]]
    worker: str | None = None  # an identity, so that the next server can find the process


class Store:
    """One open database. Made by `Store.open`; `close` when done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_new = False  # this start found no database, or a damaged one that it set aside
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="traind-store")
        self._db: sqlite3.Connection

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the database, making it where there is none.

        A damaged one is set aside as `traind.db.damaged-<time>` and an empty one made: the caller rebuilds the jobs
        from the status files. Raises `RootTooNew` for a newer format, `StoreFailed` where it cannot be opened.
        """
        store = cls(path)
        try:
            await store._run(store._open)
        except BaseException:
            store._thread.shutdown(wait=False)
            raise
        return store

    async def close(self) -> None:
        """Close the database after what was handed over before."""
        await self._run(self._close)
        self._thread.shutdown(wait=True)

    async def commit(self, changes: Sequence[Change], *, is_synced: bool) -> None:
        """Write jobs and their new events in one transaction.

        Once handed over the transaction is carried out even if the caller is cancelled. Raises `DiskLow` where the
        disk is full, `StoreFailed` otherwise; then nothing of it is written.
        """
        await asyncio.shield(self._run(self._commit, changes, is_synced))

    async def job(self, job_id: str) -> Job | None:
        """Return one job, or None."""
        rows = await self._run(self._rows, "SELECT job_id, record, crc FROM jobs WHERE job_id = ?", (job_id,))
        found = _readable(rows)
        if rows and not found:
            raise StoreFailed(f"The record of the job {job_id!r} is damaged.", hint="Its status file may be whole.")
        return found[0] if found else None

    async def damaged(self) -> dict[str, int]:
        """Return the jobs whose records cannot be read, each with the number of its last event."""
        return await self._run(self._damaged)

    async def unfinished(self) -> list[Job]:
        """Return the jobs that are not terminal, oldest first."""
        return _readable(await self._run(self._rows, _UNFINISHED, ()))

    async def unknown(self, job_ids: Iterable[str]) -> set[str]:
        """Return those of the ids that no job has."""
        asked = list(job_ids)
        known: set[str] = set()
        for first in range(0, len(asked), 500):
            part = asked[first : first + 500]
            sql = f"SELECT job_id FROM jobs WHERE job_id IN ({', '.join('?' * len(part))})"  # noqa: S608 - placeholders
            known.update(job_id for (job_id,) in await self._run(self._rows, sql, tuple(part)))
        return set(asked) - known

    async def page(self, statuses: Iterable[str], limit: int, before: int | None) -> tuple[list[Job], int | None]:
        """Return up to `limit` jobs, newest first, and the cursor of the next page (None: there is none)."""
        wanted = list(statuses)
        sql = f"""SELECT number, job_id, record, crc FROM jobs WHERE number < ?
            {f"AND status IN ({', '.join('?' * len(wanted))})" if wanted else ""}
            ORDER BY number DESC LIMIT ?"""  # noqa: S608 - placeholders only
        rows = await self._run(self._rows, sql, (before or 2**62, *wanted, limit + 1))
        jobs = _readable([row[1:] for row in rows[:limit]])
        return jobs, rows[limit - 1][0] if len(rows) > limit else None

    async def counts(self) -> dict[str, int]:
        """Return how many jobs there are in each state."""
        return dict(await self._run(self._rows, "SELECT status, count(*) FROM jobs GROUP BY status", ()))

    async def events(self, job_id: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` events with `seq` above `after`, in order, as `(seq, encoded event)`.

        A damaged one is replaced by a word about it.
        """
        sql = """SELECT seq, body, crc FROM events WHERE number = (SELECT number FROM jobs WHERE job_id = ?)
            AND seq > ? ORDER BY seq LIMIT ?"""
        rows = await self._run(self._rows, sql, (job_id, after, limit))
        return [(seq, body if _is_whole(body, crc) else _damaged_event(job_id, seq)) for seq, body, crc in rows]

    async def delete(self, job_id: str) -> None:
        """Forget a job and its events, durably."""
        await self._run(self._change, "DELETE FROM jobs WHERE job_id = ?", (job_id,))

    async def finished_before(self, ts: float | None, keep: int | None) -> list[str]:
        """Return the terminal jobs that ended before `ts`, or that are not among the `keep` newest ones."""
        sql = f"""SELECT job_id FROM (
                SELECT job_id, finished_at, row_number() OVER (ORDER BY number DESC) AS place
                FROM jobs WHERE status IN ({_TERMINAL_SQL})
            ) WHERE place > ? OR finished_at < ?"""  # noqa: S608 - constants
        rows = await self._run(self._rows, sql, (2**62 if keep is None else keep, -1.0 if ts is None else ts))
        return [job_id for (job_id,) in rows]

    async def worker_ended(self, job_id: str, attempt: int) -> None:
        """Forget the process of an attempt."""
        sql = "DELETE FROM workers WHERE job_id = ? AND attempt = ?"
        await self._run(self._change, sql, (job_id, attempt), False)

    async def workers(self) -> list[tuple[str, int, str]]:
        """Return the recorded processes as `(job_id, attempt, identity)`."""
        return await self._run(self._rows, "SELECT job_id, attempt, identity FROM workers", ())

    async def set_alias(self, name: str, job_id: str | None) -> None:
        """Point a name at a job's model, or at nothing; the move is recorded."""
        await self._run(self._set_alias, name, job_id)

    async def aliases(self) -> dict[str, tuple[str, float]]:
        """Return each alias with its job and since when it points there."""
        rows = await self._run(self._rows, "SELECT name, job_id, since FROM aliases ORDER BY name", ())
        return {name: (job_id, since) for name, job_id, since in rows}

    async def alias_moves(self, name: str) -> list[tuple[str | None, float]]:
        """Return every move of an alias, oldest first, as `(job_id, ts)`."""
        sql = "SELECT job_id, ts FROM alias_moves WHERE name = ? ORDER BY rowid"
        return await self._run(self._rows, sql, (name,))

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call on the store's thread; sqlite's errors become ours here."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter is of words in a damaged file
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
                raise DiskLow(f"The database cannot be written: {error}.", hint="Free some disk space.") from error
            raise StoreFailed(f"The database {self.path} failed: {error}.") from error

    def _close(self) -> None:
        self._db.close()

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connect()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            aside = self._set_aside(error)
            self._connect()
            self._salvage(aside)

    def _connect(self) -> None:
        self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=True, cached_statements=64)
        self._db.text_factory = partial(str, encoding="utf-8", errors="replace")
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA journal_size_limit = 16777216")
            self._check()
        except BaseException:
            self._db.close()
            raise

    def _check(self) -> None:
        self.is_new = make_tables(self._db)
        (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)

    def _damaged(self) -> dict[str, int]:
        rows = self._db.execute("SELECT job_id, record, crc FROM jobs")
        damaged = [job_id for job_id, record, crc in rows if not _is_whole(record, crc)]
        last = "SELECT coalesce(max(seq), 0) FROM events JOIN jobs USING (number) WHERE job_id = ?"
        return {job_id: self._db.execute(last, (job_id,)).fetchone()[0] for job_id in damaged}

    def _set_aside(self, error: Exception) -> Path:
        """Keep a damaged database for inspection, out of the way; return where it is."""
        aside = self.path.with_name(f"{self.path.name}.damaged-{int(time.time())}")
        LOG.error("the database is damaged (%s); it is set aside as %s", error, aside.name)
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self.path.with_name(self.path.name + suffix).rename(aside.with_name(aside.name + suffix))
        return aside

    def _salvage(self, aside: Path) -> None:
        """Take over what stands nowhere else, as far as it can be read: jobs have status files, aliases do not."""
        for table in ("aliases", "alias_moves"):
            with (
                contextlib.suppress(sqlite3.Error, UnicodeDecodeError),
                contextlib.closing(sqlite3.connect(aside)) as damaged,
            ):
                rows = damaged.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - a constant
                self._db.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)  # noqa: S608

    def _rows(self, sql: str, args: tuple[object, ...]) -> list[tuple[Any, ...]]:
        return self._db.execute(sql, args).fetchall()

    def _change(self, sql: str, args: tuple[object, ...], is_synced: bool = True) -> None:
        with self._transaction(is_synced=is_synced):
            self._db.execute(sql, args)

    def _set_alias(self, name: str, job_id: str | None) -> None:
        now = time.time()
        with self._transaction(is_synced=True):
            if job_id is None:
                self._db.execute("DELETE FROM aliases WHERE name = ?", (name,))
            else:
                self._db.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)", (name, job_id, now))
            self._db.execute("INSERT INTO alias_moves VALUES (?, ?, ?)", (name, job_id, now))

    def _commit(self, changes: Sequence[Change], is_synced: bool) -> None:
        with self._transaction(is_synced=is_synced):
            for change in changes:
                job = change.job
                record = _encoder.encode(job)
                (number,) = self._db.execute(
                    """INSERT INTO jobs (job_id, status, finished_at, record, crc) VALUES (?, ?, ?, ?, ?)
                    ON CONFLICT (job_id) DO UPDATE SET status = excluded.status, finished_at = excluded.finished_at,
                    record = excluded.record, crc = excluded.crc RETURNING number""",
                    (job.job_id, job.status, job.finished_at, record, zlib.crc32(record)),
                ).fetchone()
                events = [(number, seq, body, zlib.crc32(body)) for seq, body in change.events]
                self._db.executemany("INSERT INTO events (number, seq, body, crc) VALUES (?, ?, ?, ?)", events)
                if change.worker is not None:
                    sql = "INSERT OR REPLACE INTO workers VALUES (?, ?, ?)"
                    self._db.execute(sql, (job.job_id, job.attempt, change.worker))

    @contextlib.contextmanager
    def _transaction(self, *, is_synced: bool) -> Iterator[None]:
        """Commit at the end, roll back on any error. The WAL is fsynced before a synced commit returns."""
        if is_synced:
            self._db.execute("PRAGMA synchronous = FULL")
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
        finally:
            if is_synced:
                self._db.execute("PRAGMA synchronous = NORMAL")


def _readable(rows: Iterable[tuple[Any, ...]]) -> list[Job]:
    """Return the jobs of `(job_id, record, crc)` rows; a damaged record is left out, and said."""
    jobs = []
    for job_id, record, crc in rows:
        try:
            if not _is_whole(record, crc):
                raise msgspec.DecodeError("its checksum is another one")  # noqa: TRY301 - as a record that is no JSON
            jobs.append(_decoder.decode(record))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            LOG.warning("the record of job %s in the database is damaged: %s", job_id, error)
    return jobs


def _is_whole(content: bytes, crc: int | None) -> bool:
    """Tell whether a row is what was written; rows from before there were checksums are taken as they are."""
    return crc is None or (isinstance(content, bytes) and zlib.crc32(content) == crc)


def _damaged_event(job_id: str, seq: int) -> bytes:
    LOG.warning("event %d of job %s in the database is damaged", seq, job_id)
    message = "This event is damaged on the disk and cannot be shown."
    return encode_event(Log(seq=seq, job_id=job_id, message=message, level="error"))
