"""A root as one archive, consistent even while a server runs on it.

The database is copied first, by SQLite's own backup; the files it names are then held by hard links, so that none is
removed while the archive is written. A checkpoint written after the copy is found at the next start, as after a
crash. To restore, unpack the archive into an empty folder. Called by the command line.
"""

import contextlib
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from traind.data.catalog import ENCODED
from traind.data.files import TEMPORARY_PREFIX, sync_dir, sync_file
from traind.service.errors import StoreFailed
from traind.service.settings import Layout

_LEFT_OUT = (TEMPORARY_PREFIX, ".lock", ".sock")


class Backup(Struct, frozen=True):
    """What an archive holds."""

    path: str
    """The archive."""
    jobs: int
    """How many jobs are in its database."""
    files: int
    """How many files are in it, the database included."""
    size_bytes: int
    """Its size, in bytes."""


def back_up(layout: Layout, target: Path) -> Backup:
    """Write a root to a tar archive, compressed if its name ends in `.gz`; it appears whole or not at all.

    Raises `StoreFailed` where there is no root or its database cannot be read, `OSError` where the disk fails.
    """
    if not layout.database_path.exists():
        raise StoreFailed(f"There is no root of traind in {layout.root}.", hint="Say which one with --root.")
    staging = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=layout.artifacts_dir))
    try:
        jobs = _copy_database(layout, staging)
        records = (layout.jobs_dir, layout.studies_dir)
        for folder in (layout.models_dir, *records, layout.checkpoints_dir, layout.datasets_dir):
            _hold(folder, staging / folder.relative_to(layout.root))
        files = _write(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Backup(os.fspath(target), jobs, files, target.stat().st_size)


def _copy_database(layout: Layout, staging: Path) -> int:
    """Copy the database as it is between two transactions; return how many jobs it has."""
    copy = staging / layout.database_path.relative_to(layout.root)
    copy.parent.mkdir(parents=True)
    uri = f"{layout.database_path.as_uri()}?mode=ro"
    try:
        with (
            contextlib.closing(sqlite3.connect(uri, uri=True)) as database,
            contextlib.closing(sqlite3.connect(copy)) as copied,
        ):
            database.backup(copied)
            copied.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
            (jobs,) = copied.execute("SELECT count(*) FROM jobs").fetchone()
    except sqlite3.Error as error:
        raise StoreFailed(f"The database cannot be copied: {error}.", hint="`traind check` says more.") from error
    return int(jobs)


def _hold(folder: Path, held: Path) -> None:
    """Link every file below a folder into the staging folder; files removed meanwhile were superfluous."""
    for path in _files(folder):
        place = held / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            _link(path, place)


def _link(path: Path, place: Path) -> None:
    """Link a file, or copy it where links are impossible: across filesystems, or on one without them."""
    try:
        place.hardlink_to(path)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(path, place)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files to keep, manifests before their checkpoints: a checkpoint without a manifest is not used."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != ENCODED and not name.startswith(TEMPORARY_PREFIX)]
        for name in sorted(names, key=lambda name: (not name.endswith(".json"), name)):
            if not name.startswith(_LEFT_OUT[0]) and not name.endswith(_LEFT_OUT[1:]):
                yield Path(parent, name)


def _write(staging: Path, target: Path) -> int:
    """Write the archive beside `target`, sync it, rename it; return the number of its files."""
    partial = target.with_name(f"{TEMPORARY_PREFIX}{target.name}")
    count = 0
    try:
        with tarfile.open(partial, "w:gz" if target.suffix == ".gz" else "w") as archive:
            for path in sorted(staging.rglob("*")):
                archive.add(path, path.relative_to(staging), recursive=False)
                count += path.is_file()
        sync_file(partial)
        partial.rename(target)
        sync_dir(target.parent)
    finally:
        partial.unlink(missing_ok=True)
    return count
