"""The check of a root: every file is read once, nothing is changed. Also while a server runs on it.

Files that a running job replaces meanwhile are not reported. Called by the command line.
"""

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from traind.data.errors import DataError
from traind.data.files import check_digest
from traind.service.jobs.job import TERMINAL, Job
from traind.service.record.database import is_whole
from traind.service.record.store import readable
from traind.service.record.tables import FORMAT
from traind.service.recovery.checkpoint_files import is_model_whole
from traind.service.settings import Layout


class Flaw(Struct, frozen=True):
    """One thing that is damaged or missing."""

    path: str
    """The file, relative to the root."""
    message: str
    """What is wrong with it, and what that costs."""


class _Manifest(Struct, frozen=True):
    size_bytes: int
    sha256: str


def check_root(layout: Layout) -> Iterator[Flaw]:
    """Yield what is wrong with a root: its database, status files, models, checkpoints and data sets."""
    if not layout.database_path.exists():
        yield Flaw("artifacts/traind.db", "there is none; the next start rebuilds it from the status files")
        jobs: dict[str, Job] = {}
    else:
        jobs, flaws = _database(layout)
        yield from flaws
    for job in jobs.values():
        if job.status in TERMINAL:
            yield from _finished(layout, job)
    yield from _checkpoints(layout, jobs)
    yield from _datasets(layout)


def _database(layout: Layout) -> tuple[dict[str, Job], list[Flaw]]:
    """Return the jobs of the database, and its flaws."""
    path = layout.relative(layout.database_path)
    flaws: list[Flaw] = []
    jobs: dict[str, Job] = {}
    try:
        with contextlib.closing(sqlite3.connect(f"{layout.database_path.as_uri()}?mode=ro", uri=True)) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version != FORMAT:
                return {}, [Flaw(path, f"it has format {version}, this traind {FORMAT}: a start would bring it up")]
            flaws += [
                Flaw(path, verdict) for (verdict,) in db.execute("PRAGMA integrity_check(20)") if verdict != "ok"
            ]
            for job_id, record, crc in db.execute(
                "SELECT job_id, record, crc FROM jobs LEFT JOIN records USING (number)"
            ):
                if (job := readable(job_id, record, crc)) is None:
                    flaws.append(Flaw(path, f"the record of job {job_id} is damaged; a start takes its status file"))
                else:
                    jobs[job_id] = job
            lost = sum(not is_whole(body, crc) for body, crc in db.execute("SELECT body, crc FROM events"))
            if lost:
                flaws.append(Flaw(path, f"{lost} events are damaged; their jobs are not"))
    except sqlite3.Error as error:
        flaws.append(Flaw(path, f"{error}; the next start rebuilds it from the status files"))
    return jobs, flaws


def _finished(layout: Layout, job: Job) -> Iterator[Flaw]:
    """Yield the flaws of a finished job, whose files do not change any more."""
    status = layout.jobs_dir / f"{job.job_id}.json"
    try:
        if msgspec.json.decode(status.read_bytes(), type=Job) != job:
            yield Flaw(layout.relative(status), "it is not what the database says; a start writes it anew")
    except FileNotFoundError:
        yield Flaw(layout.relative(status), "it is missing; a start writes it anew")
    except (OSError, msgspec.DecodeError) as error:
        yield Flaw(layout.relative(status), f"it cannot be read ({error}); a start writes it anew")
    if job.model is not None and not is_model_whole(layout.root / job.model):
        yield Flaw(job.model, f"the model of job {job.job_id} is missing or damaged; `resume` makes it again")


def _checkpoints(layout: Layout, jobs: dict[str, Job]) -> Iterator[Flaw]:
    """Yield the checkpoints that are not what their manifests say."""
    for path in sorted(layout.checkpoints_dir.glob("*/attempt-*/checkpoint-*.json")):
        job_id = path.parent.parent.name
        is_running = job_id in jobs and jobs[job_id].status not in TERMINAL
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=_Manifest)
            with path.with_suffix(".pt").open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            if not is_running:  # else it was replaced by a newer one
                yield Flaw(layout.relative(path), "its checkpoint is missing; the one before it is taken")
        except (OSError, msgspec.DecodeError) as error:
            yield Flaw(layout.relative(path), f"it cannot be read ({error}); the one before it is taken")
        else:
            if digest != manifest.sha256:
                yield Flaw(layout.relative(path.with_suffix(".pt")), "it is damaged; the one before it is taken")


def _datasets(layout: Layout) -> Iterator[Flaw]:
    """Yield the data sets' files whose bytes are not those that were put."""
    for folder in sorted(layout.datasets_dir.glob("*/*/")):
        for path in _raw_files(folder):
            try:
                check_digest(path, folder.name)
            except (OSError, DataError) as error:
                yield Flaw(layout.relative(path), f"{error}; put it again: its jobs cannot go on without it")


def _raw_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and path.suffix != ".json"]
