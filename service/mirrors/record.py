"""What a mirror's process reads of a root: the jobs to mirror and their events, from the database itself.

The database is only read, by a connection of its own, a short query at a time: the server neither waits nor knows.
A file of the mirror's own records how far each job was mirrored; one process has it at a time.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from traind.service.jobs.job import TERMINAL, Job
from traind.service.record.database import outside
from traind.trainer.contract.events import AnyEvent, decode_event

OTHERS_S = 10.0  # for the last server's process to end
_TERMINAL_SQL = ", ".join(f"'{status}'" for status in sorted(TERMINAL))
_CANDIDATES = f"""SELECT job_id, number, coalesce((SELECT max(seq) FROM events WHERE events.number = jobs.number), 0)
    FROM jobs WHERE status NOT IN ({_TERMINAL_SQL}) OR finished_at >= ? ORDER BY number"""  # noqa: S608 - constants


class Candidate(NamedTuple):
    """A job that may have to be written, and the number of its newest event."""

    job_id: str
    number: int
    last_seq: int


class Record:
    """A root's database, read by another process than the server."""

    def __init__(self, database: Path) -> None:
        self._path = database

    def candidates(self, since: float) -> list[Candidate]:
        """Return the jobs that are not over, or ended after `since`, in seconds since 1970."""
        with self._open() as db:
            return [Candidate(*row) for row in db.execute(_CANDIDATES, (since,))]

    def job(self, number: int) -> Job | None:
        """Return a job; None for one that was deleted, or whose record cannot be read."""
        with self._open() as db:
            row = db.execute("SELECT record FROM records WHERE number = ?", (number,)).fetchone()
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(row[0], type=Job) if row is not None else None
        return None

    def events(self, number: int, after: int, limit: int) -> list[AnyEvent]:
        """Return events of a job in order; one that cannot be read is left out."""
        sql = "SELECT body FROM events WHERE number = ? AND seq > ? ORDER BY seq LIMIT ?"
        with self._open() as db:
            rows = db.execute(sql, (number, after, limit)).fetchall()
        found = []
        for (body,) in rows:
            with contextlib.suppress(msgspec.DecodeError):
                found.append(decode_event(body))
        return found

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file anew: a database that was damaged is replaced by another."""
        with contextlib.closing(outside(self._path)) as db:
            yield db


class Told:
    """The finished jobs that are written completely, in the mirror's own file. Raises `sqlite3.OperationalError`.

    Of a target that is new, jobs that ended before `since` are not mirrored.
    """

    def __init__(self, path: Path, target: str, since: float) -> None:
        path.parent.mkdir(exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=OTHERS_S)
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")  # from the first transaction until the process ends
        self._db.execute("BEGIN EXCLUSIVE")
        self._db.execute("CREATE TABLE IF NOT EXISTS targets (target TEXT PRIMARY KEY, since REAL NOT NULL)")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS told (target TEXT, job_id TEXT, seq INTEGER, UNIQUE (target, job_id))"
        )
        self._db.execute("INSERT OR IGNORE INTO targets VALUES (?, ?)", (target, since))
        self._db.execute("COMMIT")
        self._target = target
        (self.since,) = self._db.execute("SELECT since FROM targets WHERE target = ?", (target,)).fetchone()
        self._seqs: dict[str, int] = dict(
            self._db.execute("SELECT job_id, seq FROM told WHERE target = ?", (target,))
        )

    def is_told(self, job: Candidate) -> bool:
        """Return whether a job is unchanged since it was written to its end."""
        return self._seqs.get(job.job_id) == job.last_seq

    def note(self, job_id: str, seq: int) -> None:
        """Record that a finished job is written up to its last event."""
        self._db.execute("INSERT OR REPLACE INTO told VALUES (?, ?, ?)", (self._target, job_id, seq))
        self._seqs[job_id] = seq
