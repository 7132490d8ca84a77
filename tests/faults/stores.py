"""An open store to test with, and damage to it."""

import contextlib
import sqlite3
from pathlib import Path

from traind.service.jobs.job import Job
from traind.service.record.database import SMALL_BYTES
from traind.service.record.status_files import StatusFiles
from traind.service.record.store import Store
from traind.service.recovery.rebuild import refill


async def opened(path: Path) -> Store:
    """Open a database; a new one is made of the status files in `jobs` beside it."""
    store = await Store.open(path)
    if store.is_new:
        await filled(store)
        await store.renew(None, [], [])
    return store


async def filled(store: Store) -> list[Job]:
    """Fill the file beside a database; return who is not over."""
    status_files = StatusFiles(store.path.with_name("jobs"))
    await status_files.open()
    try:
        return (await refill(store, status_files, {}, lambda job: (job.seq, b"{}")))[1]
    finally:
        await status_files.close()


def grow(path: Path, job_id: str) -> None:
    """Make a database a large one, by events of a job."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            "INSERT INTO events (number, seq, body) SELECT number, ?, zeroblob(?) FROM jobs WHERE job_id = ?",
            [(10_000 + part, SMALL_BYTES // 8, job_id) for part in range(9)],
        )


def break_events(path: Path, *, at_root: bool) -> None:
    """Damage a database's table of events: all of it, or one page in the middle of a large one."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        ((root,),) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'events'").fetchall()
        ((size,),) = database.execute("PRAGMA page_size").fetchall()
        ((count,),) = database.execute("PRAGMA page_count").fetchall()
    with path.open("r+b") as file:
        file.seek(((root if at_root else count // 2) - 1) * size)
        file.write(b"\7" * size)
