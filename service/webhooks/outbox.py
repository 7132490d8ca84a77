"""The outbox: deliveries, written in the transaction of their event and kept until they are sent.

Its table, its statements and its rows. Called by `store` on its thread; the deliveries themselves by `deliver`.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

if TYPE_CHECKING:  # clients need `Delivery`, and no database
    import sqlite3

TABLE = """CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook TEXT NOT NULL,
    job_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    state TEXT NOT NULL,
    body BLOB NOT NULL,
    created_at REAL NOT NULL,
    next_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    status INTEGER,
    problem TEXT,
    ended_at REAL,
    UNIQUE (webhook, job_id, seq)
)"""
INDEX = "CREATE INDEX deliveries_waiting ON deliveries (webhook, job_id, id) WHERE state = 'waiting'"
TABLES = (TABLE, INDEX)
COLUMNS = "id, webhook, job_id, seq, state, body, created_at, next_at, attempts, status, problem, ended_at"
_SHOWN = "webhook, job_id, seq, state, attempts, created_at, next_at, status, problem, ended_at"
# Of each job the oldest waiting delivery: later ones are sent after it.
_DUE = """SELECT id, webhook, job_id, seq, body, attempts, created_at FROM deliveries WHERE id IN
    (SELECT min(id) FROM deliveries WHERE webhook = ? AND state = 'waiting' GROUP BY job_id)
    AND next_at <= ? ORDER BY next_at, id LIMIT ?"""
_NEXT = """SELECT min(next_at) FROM deliveries WHERE id IN
    (SELECT min(id) FROM deliveries WHERE webhook = ? AND state = 'waiting' GROUP BY job_id)"""


class Entry(Struct, frozen=True):
    """A new delivery to one webhook."""

    webhook: str
    job_id: str
    seq: int
    body: bytes
    created_at: float


class Due(Struct, frozen=True):
    """A delivery that is due."""

    id: int
    webhook: str
    job_id: str
    seq: int
    body: bytes
    attempts: int
    created_at: float


class Delivery(Struct, frozen=True):
    """One delivery, for the list."""

    webhook: str
    """Name of the webhook."""
    job_id: str
    """Job that it is about."""
    seq: int
    """Number of the job's event; with the job's id it makes the header webhook-id."""
    state: Literal["waiting", "delivered", "given_up"]
    """State: waiting, delivered or given_up."""
    attempts: int
    """Number of tries so far."""
    created_at: float
    """When its event was recorded, in seconds since 1970 (UTC)."""
    next_at: float
    """When it is due, or was due last, in seconds since 1970 (UTC)."""
    status: int | None = None
    """HTTP status of the last answer; null: no answer."""
    problem: str | None = None
    """Why the last try failed."""
    ended_at: float | None = None
    """When it was delivered or given up, in seconds since 1970 (UTC)."""


def put(db: "sqlite3.Connection", entries: Iterable[Entry]) -> None:
    """Write entries, within the transaction of their events."""
    rows = [(one.webhook, one.job_id, one.seq, one.body, one.created_at, one.created_at) for one in entries]
    sql = """INSERT OR IGNORE INTO deliveries (webhook, job_id, seq, state, body, created_at, next_at)
        VALUES (?, ?, ?, 'waiting', ?, ?, ?)"""
    db.executemany(sql, rows)


def due(db: "sqlite3.Connection", webhook: str, now: float, limit: int) -> tuple[list[Due], float | None]:
    """Return the deliveries to send now, at most one a job, and when the next one is due."""
    rows = [Due(*row) for row in db.execute(_DUE, (webhook, now, limit))]
    (next_at,) = db.execute(_NEXT, (webhook,)).fetchone()
    return rows, next_at


def settle(db: "sqlite3.Connection", id_: int, state: str, next_at: float, **told: Any) -> None:
    """Record the result of a try."""
    ended = None if state == "waiting" else told["now"]
    sql = """UPDATE deliveries SET state = ?, attempts = attempts + 1, next_at = ?, status = ?, problem = ?,
        ended_at = ? WHERE id = ?"""
    db.execute(sql, (state, next_at, told["status"], told["problem"], ended, id_))


def listed(db: "sqlite3.Connection", webhook: str, limit: int) -> list[Delivery]:
    """Return the newest deliveries of a webhook, newest first."""
    sql = f"SELECT {_SHOWN} FROM deliveries WHERE webhook = ? ORDER BY id DESC LIMIT ?"  # noqa: S608 - constants
    return [Delivery(*row) for row in db.execute(sql, (webhook, limit))]


def counts(db: "sqlite3.Connection") -> dict[str, dict[str, int]]:
    """Return the number of deliveries by webhook and state."""
    found: dict[str, dict[str, int]] = {}
    for webhook, state, count in db.execute("SELECT webhook, state, count(*) FROM deliveries GROUP BY 1, 2"):
        found.setdefault(webhook, {})[state] = count
    return found


def forget(db: "sqlite3.Connection", before: float) -> None:
    """Remove deliveries that succeeded or were given up before `before`, in seconds since 1970."""
    db.execute("DELETE FROM deliveries WHERE state != 'waiting' AND ended_at < ?", (before,))
