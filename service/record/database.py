"""The SQLite file: opened, checked, set aside where it is damaged, written in transactions.

Called by `store` on its one thread; only `examine` uses another connection and another thread.
"""

import contextlib
import logging
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from traind.data.files import rename_durably
from traind.service.record.disk import Disk
from traind.service.record.tables import FATE, SALVAGED, make_tables, upgrade

LOG = logging.getLogger(__name__)
SMALL_BYTES = 32 * 1024 * 1024  # a file up to this size is checked whole in a tenth of a second
FILES = ("", "-wal", "-shm", "-journal")  # suffixes of the files of one database

AT_ONCE, PAUSE_S = 50, 0.002  # records checked in a row beside other work, and the pause after them


@dataclass(frozen=True, slots=True)
class Findings:
    """The damage that `examine` found.

    Attributes:
        problem: the damage of the file as a whole, in words; None: it has none.
        damaged: job ids with damaged records, each with the number of its last event.
    """

    problem: str | None
    damaged: dict[str, int]


class Database:
    """One open file. If it `is_new`, its owner calls `make`, or fills another file beside it and calls `renew`."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self.path = path
        self._disk = disk or Disk()
        self._beside = beside(path)
        self.is_new = False  # there was no database, or a damaged one
        self.is_checked = False  # the whole file was checked; else only the tables in `FATE`
        self._problem: str | None = None  # why it could not be opened
        self._db: sqlite3.Connection

    def open(self) -> None:
        """Open the file; a damaged one stays in place, closed, until it is renewed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            remove(self._beside)  # left by a server that was killed while it filled it
        elif self._beside.exists():  # filled: the server was killed after it had set the damaged one aside
            remove(self.path)
            self._beside.rename(self.path)
        try:
            self._connect()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if not is_damage(error):
                raise
            self._problem, self.is_new = str(error), True

    @property
    def is_lost(self) -> bool:
        """Whether the file is damaged."""
        return self._problem is not None

    def make(self) -> None:
        """Make the tables of a root that has no jobs."""
        with self.transaction(is_synced=True) as db:
            make_tables(db)
        self.is_checked = True

    @property
    def connection(self) -> sqlite3.Connection:
        """The open file, to read from."""
        return self._db

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def damaged(self, where: str) -> dict[str, int]:
        """Return the jobs with damaged records, each with its last event's number; `where` is an SQL condition."""
        return _damaged(self._db, where)

    def rows(self, sql: str, args: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self._db.execute(sql, args).fetchall()

    def change(self, sql: str, args: tuple[object, ...], is_synced: bool = True) -> None:
        """Run one statement in a transaction of its own."""
        with self.transaction(is_synced=is_synced):
            self._db.execute(sql, args)

    def renew(self, problem: str | None, write: Callable[[sqlite3.Connection], None]) -> None:
        """Replace this file by the one that was filled beside it, after `write` has written the rest into that.

        This file stays open until the new one is complete. After a kill at any point one of the two is found.
        """
        try:
            with contextlib.closing(sqlite3.connect(self._beside, isolation_level=None)) as db:
                db.execute("PRAGMA foreign_keys = ON")
                db.execute("BEGIN")
                self._salvage(db)
                write(db)
                db.execute("COMMIT")
        except BaseException:
            remove(self._beside)
            raise
        self.close()
        if problem := problem or self._problem:
            self._set_aside(problem)
        else:
            remove(self.path)  # it is empty
        rename_durably(self._beside, self.path)
        self._connect()
        self._problem, self.is_new, self.is_checked = None, True, True

    @contextlib.contextmanager
    def transaction(self, *, is_synced: bool) -> Iterator[sqlite3.Connection]:
        """Commit at the end, roll back on any error. The WAL is fsynced before a synced commit returns."""
        if is_synced:
            self._db.execute("PRAGMA synchronous = FULL")
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._disk.reach("commit", self.path)
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
        finally:
            if is_synced:
                self._db.execute("PRAGMA synchronous = NORMAL")

    def _connect(self) -> None:
        self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=True, cached_statements=64)
        self._db.text_factory = _text
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA journal_size_limit = 16777216")
            self.is_new = upgrade(self._db)
            self._db.execute("PRAGMA foreign_keys = ON")
            self.is_checked = self.path.stat().st_size <= SMALL_BYTES
            for table in () if self.is_new else (None,) if self.is_checked else FATE:
                _check(self._db, table)
        except BaseException:
            self._db.close()
            raise

    def _set_aside(self, problem: str) -> None:
        """Keep a damaged database for inspection, out of the way."""
        damaged_path = self.path.with_name(f"{self.path.name}.damaged-{int(time.time())}")
        LOG.error("the database is damaged (%s); it is set aside as %s", problem, damaged_path.name)
        for suffix in FILES:
            with contextlib.suppress(FileNotFoundError):
                self.path.with_name(self.path.name + suffix).rename(
                    damaged_path.with_name(damaged_path.name + suffix)
                )

    def _salvage(self, new: sqlite3.Connection) -> None:
        """Copy the tables that no status file holds, as far as they can be read."""
        for table, columns in SALVAGED.items():
            rows: list[tuple[Any, ...]] = []
            with (
                contextlib.suppress(sqlite3.Error, UnicodeDecodeError),
                contextlib.closing(lenient(self.path)) as damaged,
            ):
                for row in damaged.execute(f"SELECT {columns} FROM {table}"):  # noqa: S608 - constants
                    rows.append(row)  # noqa: PERF402 - those before the damage are kept
            places = ", ".join("?" * (columns.count(",") + 1))
            with contextlib.suppress(sqlite3.Error):
                new.executemany(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})", rows)  # noqa: S608


def examine(db: sqlite3.Connection) -> Findings:
    """Check everything in an open database and return its damage."""
    try:
        _check(db, None)
        return Findings(None, _damaged(db, "true", PAUSE_S))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if not is_damage(error):
            raise
        return Findings(str(error), {})


def outside(path: Path) -> sqlite3.Connection:
    """Return a read-only connection to an open database, for another thread."""
    db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    db.text_factory = _text
    return db


def _damaged(db: sqlite3.Connection, where: str, pause_s: float = 0.0) -> dict[str, int]:
    rows = db.execute(f"SELECT job_id, record, crc FROM jobs LEFT JOIN records USING (number) WHERE {where}")  # noqa: S608
    found = []
    while some := rows.fetchmany(AT_ONCE):
        found += [job_id for job_id, record, crc in some if not is_whole(record, crc)]
        time.sleep(pause_s)
    last = "SELECT coalesce(max(seq), 0) FROM events JOIN jobs USING (number) WHERE job_id = ?"
    return {job_id: db.execute(last, (job_id,)).fetchone()[0] for job_id in found}


def is_damage(error: BaseException | None) -> bool:
    """Return whether an error means a damaged file, rather than a locked one or a full disk."""
    if isinstance(error, sqlite3.OperationalError):  # the SQL is right, so a table or column is missing
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    return isinstance(error, sqlite3.DatabaseError | UnicodeDecodeError)


def is_whole(content: bytes, crc: int | None) -> bool:
    """Return whether a row has its checksum; rows older than checksums (None) count as whole."""
    return isinstance(content, bytes) and (crc is None or zlib.crc32(content) == crc)


def beside(path: Path) -> Path:
    """Return the path of the file that is filled to replace a database."""
    return path.with_name(f"{path.name}.new")


def lenient(path: Path) -> sqlite3.Connection:
    """Return a connection to a file that may be damaged; text that is no UTF-8 is replaced."""
    db = sqlite3.connect(path)
    db.text_factory = _text
    return db


def remove(path: Path) -> None:
    """Remove a database with its write-ahead log and journal."""
    for suffix in FILES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


_text = partial(str, encoding="utf-8", errors="replace")


def _check(db: sqlite3.Connection, table: str | None) -> None:
    """Raise `sqlite3.DatabaseError` where the structure of a table, or of the whole file, is damaged."""
    (verdict,) = db.execute(f"PRAGMA quick_check({table or 1})").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
