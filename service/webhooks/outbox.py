"""The outbox: what is to be told, written in the transaction of the event that it is about, kept until it is.

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
_SHOWN = "webhook, job_id, seq, state, attempts, created_at, next_at, status, problem, ended_at"
# Of each job the oldest that waits: its later ones are told only after it.
_DUE = """SELECT id, webhook, job_id, seq, body, attempts, created_at FROM deliveries WHERE id IN
    (SELECT min(id) FROM deliveries WHERE webhook = ? AND state = 'waiting' GROUP BY job_id)
    AND next_at <= ? ORDER BY next_at, id LIMIT ?"""
_NEXT = """SELECT min(next_at) FROM deliveries WHERE id IN
    (SELECT min(id) FROM deliveries WHERE webhook = ? AND state = 'waiting' GROUP BY job_id)"""


class Entry(Struct, frozen=True):
    """Something to be told to one webhook."""

    webhook: str
    job_id: str
    seq: int
    body: bytes
    created_at: float


class Due(Struct, frozen=True):
    """A delivery whose time has come."""

    id: int
    webhook: str
    job_id: str
    seq: int
    body: bytes
    attempts: int
    created_at: float


class Delivery(Struct, frozen=True):
    """One delivery, as it is shown."""

    webhook: str
    """Webhook that is told."""
    job_id: str
    """Job that it is about."""
    seq: int
    """Event of the job that it is about; with the job's id it is the header webhook-id."""
    state: Literal["waiting", "delivered", "given_up"]
    """Whether it is still tried."""
    attempts: int
    """How often it was sent."""
    created_at: float
    """When its event was recorded, in seconds since 1970 (UTC)."""
    next_at: float
    """When it is sent next, in seconds since 1970 (UTC); of one that is over when it was due last."""
    status: int | None = None
    """HTTP status of the last answer; null: none came."""
    problem: str | None = None
    """Why the last try failed."""
    ended_at: float | None = None
    """When it was delivered or given up, in seconds since 1970 (UTC)."""


def put(db: "sqlite3.Connection", entries: Iterable[Entry]) -> None:
    """Write entries, as part of the transaction of what they tell of."""
    rows = [(one.webhook, one.job_id, one.seq, one.body, one.created_at, one.created_at) for one in entries]
    sql = """INSERT OR IGNORE INTO deliveries (webhook, job_id, seq, state, body, created_at, next_at)
        VALUES (?, ?, ?, 'waiting', ?, ?, ?)"""
    db.executemany(sql, rows)


def due(db: "sqlite3.Connection", webhook: str, now: float, limit: int) -> tuple[list[Due], float | None]:
    """Return what is to be sent now, of each job one at most, and when the next is due."""
    rows = [Due(*row) for row in db.execute(_DUE, (webhook, now, limit))]
    (next_at,) = db.execute(_NEXT, (webhook,)).fetchone()
    return rows, next_at


def settle(db: "sqlite3.Connection", id_: int, state: str, next_at: float, **told: Any) -> None:
    """Write down how a try went."""
    ended = None if state == "waiting" else told["now"]
    sql = """UPDATE deliveries SET state = ?, attempts = attempts + 1, next_at = ?, status = ?, problem = ?,
        ended_at = ? WHERE id = ?"""
    db.execute(sql, (state, next_at, told["status"], told["problem"], ended, id_))


def listed(db: "sqlite3.Connection", webhook: str, limit: int) -> list[Delivery]:
    """Return the newest deliveries of a webhook, newest first."""
    sql = f"SELECT {_SHOWN} FROM deliveries WHERE webhook = ? ORDER BY id DESC LIMIT ?"  # noqa: S608 - constants
    return [Delivery(*row) for row in db.execute(sql, (webhook, limit))]


def counts(db: "sqlite3.Connection") -> dict[str, dict[str, int]]:
    """Return how many deliveries each webhook has, by state."""
    found: dict[str, dict[str, int]] = {}
    for webhook, state, count in db.execute("SELECT webhook, state, count(*) FROM deliveries GROUP BY 1, 2"):
        found.setdefault(webhook, {})[state] = count
    return found


def forget(db: "sqlite3.Connection", before: float) -> None:
    """Remove what was delivered or given up before `before`."""
    db.execute("DELETE FROM deliveries WHERE state != 'waiting' AND ended_at < ?", (before,))
