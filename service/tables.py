"""The tables of the database, their format, and the way from one format to the next. Called by `store` only."""

import sqlite3

from traind.service.errors import RootTooNew
from traind.service.jobs import TERMINAL

FORMAT = 2  # `user_version` of the database: the root's format
_TERMINAL_SQL = ", ".join(f"'{status}'" for status in sorted(TERMINAL))
_TABLES = f"""
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    finished_at REAL,
    record BLOB NOT NULL,
    crc INTEGER
);
CREATE INDEX jobs_unfinished ON jobs (number) WHERE status NOT IN ({_TERMINAL_SQL});
CREATE INDEX jobs_by_status ON jobs (status, number);
CREATE TABLE events (
    number INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    crc INTEGER,
    PRIMARY KEY (number, seq)
) WITHOUT ROWID;
CREATE TABLE workers (
    job_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    identity TEXT NOT NULL,
    PRIMARY KEY (job_id, attempt)
) WITHOUT ROWID;
CREATE TABLE aliases (
    name TEXT PRIMARY KEY,
    job_id TEXT NOT NULL,
    since REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE alias_moves (
    name TEXT NOT NULL,
    job_id TEXT,
    ts REAL NOT NULL
);
"""
_UPGRADES = {  # from a format to the next
    1: "ALTER TABLE jobs ADD COLUMN crc INTEGER; ALTER TABLE events ADD COLUMN crc INTEGER;",
}


def make_tables(db: sqlite3.Connection) -> bool:
    """Bring the database to this format, whole or not at all; return whether it was empty. Raises `RootTooNew`."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise RootTooNew(
            f"The root was written in format {version}; this traind reads up to {FORMAT}.",
            hint="Run the newer traind, or use another root.",
        )
    steps = [_TABLES] if version == 0 else [_UPGRADES[one] for one in range(version, FORMAT)]
    if steps:
        db.executescript(f"BEGIN IMMEDIATE; {' '.join(steps)} PRAGMA user_version = {FORMAT}; COMMIT;")
    return bool(version == 0)
