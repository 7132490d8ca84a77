"""The tables of the database, their format, and the upgrade from one format to the next. Called by `database` only.

The tables in `FATE` decide what happens to jobs at a start. Their rows are small: those of a hundred thousand jobs
take some ten megabytes, and are checked before the server answers.
"""

import contextlib
import sqlite3

from traind.service.errors import RootTooNew
from traind.service.jobs.job import TERMINAL
from traind.service.record import index
from traind.service.studies import tables as studies
from traind.service.webhooks import outbox

FORMAT = 9  # `user_version` of the database: the root's format
FATE = ("jobs", "workers")
SALVAGED = {  # tables that no status file holds, and their columns
    "aliases": "name, job_id, since",
    "alias_moves": "name, job_id, ts",
    "alias_reasons": "name, ts, comparison",
    "workers": "job_id, attempt, identity",
    "deliveries": outbox.COLUMNS,
    **studies.SALVAGED,
}
_TERMINAL_SQL = ", ".join(f"'{status}'" for status in sorted(TERMINAL))
_JOBS = """CREATE TABLE {name} (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    finished_at REAL
)"""
_JOBS_INDEXES = (
    f"CREATE INDEX jobs_unfinished ON jobs (number) WHERE status NOT IN ({_TERMINAL_SQL})",
    "CREATE INDEX jobs_by_status ON jobs (status, number)",
)
_RECORDS = """CREATE TABLE records (
    number INTEGER PRIMARY KEY REFERENCES jobs (number) ON DELETE CASCADE,
    record BLOB NOT NULL,
    crc INTEGER
)"""
_REASONS = """CREATE TABLE alias_reasons (
    name TEXT NOT NULL,
    ts REAL NOT NULL,
    comparison TEXT NOT NULL
)"""
_TABLES = (
    _JOBS.format(name="jobs"),
    *_JOBS_INDEXES,
    _RECORDS,
    """CREATE TABLE events (
    number INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    crc INTEGER,
    PRIMARY KEY (number, seq)
) WITHOUT ROWID""",
    """CREATE TABLE workers (
    job_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    identity TEXT NOT NULL,
    cursor INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, attempt)
) WITHOUT ROWID""",
    """CREATE TABLE aliases (
    name TEXT PRIMARY KEY,
    job_id TEXT NOT NULL,
    since REAL NOT NULL
) WITHOUT ROWID""",
    """CREATE TABLE alias_moves (
    name TEXT NOT NULL,
    job_id TEXT,
    ts REAL NOT NULL
)""",
    _REASONS,
    *index.TABLES,
    *outbox.TABLES,
    *studies.TABLES,
)
_UPGRADES = {  # from a format to the next
    1: ("ALTER TABLE jobs ADD COLUMN crc INTEGER", "ALTER TABLE events ADD COLUMN crc INTEGER"),
    2: (
        _RECORDS,
        "INSERT INTO records SELECT number, record, crc FROM jobs",
        _JOBS.format(name="fates"),  # a table that is only narrowed keeps its pages, nearly empty and far apart
        "INSERT INTO fates SELECT number, job_id, status, finished_at FROM jobs",
        "DELETE FROM sqlite_sequence WHERE name = 'fates'",
        "UPDATE sqlite_sequence SET name = 'fates' WHERE name = 'jobs'",  # no number is given twice
        "DROP TABLE jobs",
        "ALTER TABLE fates RENAME TO jobs",
        *_JOBS_INDEXES,
    ),
    3: (*index.FIRST_TABLES, *index.FILL),
    4: ("ALTER TABLE workers ADD COLUMN cursor INTEGER NOT NULL DEFAULT 0",),
    5: (_REASONS,),
    6: (index.ADD_PARENT,),
    7: outbox.TABLES,
    8: studies.TABLES,
}


def make_tables(db: sqlite3.Connection) -> None:
    """Make the tables in an empty database, as part of a transaction."""
    for statement in _TABLES:
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {FORMAT}")


def upgrade(db: sqlite3.Connection) -> bool:
    """Upgrade the database to this format in one transaction; return whether it is empty.

    Foreign keys must be off: tables are replaced. Raises `RootTooNew`, and `sqlite3.DatabaseError` where the file's
    format is unknown or its tables are not those of its format.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise RootTooNew(
            f"The root was written in format {version}; this traind reads up to {FORMAT}.",
            hint="Run the newer traind, or use another root.",
        )
    if version <= 0 and db.execute("SELECT count(*) FROM sqlite_schema").fetchone() != (0,):
        raise sqlite3.DatabaseError("its format is lost")
    if 0 < version < FORMAT:
        steps = [statement for one in range(version, FORMAT) for statement in _UPGRADES[one]]
        db.executescript(f"BEGIN IMMEDIATE; {'; '.join(steps)}; PRAGMA user_version = {FORMAT}; COMMIT;")
    if version > 0 and not _shape_of_new() <= _shape(db):
        raise sqlite3.DatabaseError("its tables are not those of its format")
    return bool(version == 0)


def _shape(db: sqlite3.Connection) -> set[tuple[object, ...]]:
    """Return what tables, columns, references and indexes there are."""
    columns = """SELECT it.type, it.name, part.name, part.type, part."notnull", part.pk
        FROM sqlite_schema it LEFT JOIN pragma_table_xinfo(it.name) part"""
    references = """SELECT it.name, key."table", key."from", key."to", key.on_delete
        FROM sqlite_schema it JOIN pragma_foreign_key_list(it.name) key"""
    indexes = "SELECT name, sql FROM sqlite_schema WHERE type = 'index'"
    return {*db.execute(columns), *db.execute(references), *db.execute(indexes)}


def _shape_of_new() -> set[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        make_tables(db)
        return _shape(db)
