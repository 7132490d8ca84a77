"""Where the attempts of a job stand on the disk, for those who must not load torch: read, never written.

A worker that outlives its server writes one more checkpoint that nobody hears of; the next server finds it here.
"""

import zipfile
import zlib
from pathlib import Path

import msgspec
from msgspec import Struct

from traind.service.jobs.job import Job
from traind.service.settings import Layout
from traind.trainer.contract.events import Checkpoint


class _Manifest(Struct, frozen=True):
    """What is looked at of a checkpoint's manifest (`trainer.checkpoint.Manifest`)."""

    step: int
    epoch: int | None = None
    is_pinned: bool = False


def attempt_dirs(folder: Path) -> list[Path]:
    """Return a job's attempt folders, newest first."""
    return sorted(folder.glob("attempt-[0-9]*"), key=attempt_number, reverse=True)


def attempt_number(folder: Path) -> int:
    """Return which attempt a folder is of."""
    return int(folder.name.removeprefix("attempt-"))


def is_pinned(folder: Path) -> bool:
    """Tell whether an attempt has a checkpoint that its trainer asked to keep."""
    return any(manifest.is_pinned for path in _manifest_paths(folder) if (manifest := _read(path)) is not None)


def last_checkpoint(layout: Layout, job_id: str) -> Checkpoint | None:
    """Return the newest checkpoint that was finished, as its worker tells it; None where there is none."""
    for folder in attempt_dirs(layout.job_dir(job_id)):
        for path in reversed(_manifest_paths(folder)):
            data, manifest = path.with_suffix(".pt"), _read(path)
            if manifest is not None and data.exists():
                return Checkpoint(
                    attempt=attempt_number(folder),
                    step=manifest.step,
                    epoch=manifest.epoch,
                    path=layout.relative(data),
                )
    return None


def unreported_checkpoint(job: Job, found: Checkpoint | None) -> list[Checkpoint]:
    """Return what is to be told of a job's last checkpoint: it, where its attempt was cut off before it could."""
    return [found] if found is not None and found.attempt == job.attempt and found.path != job.checkpoint else []


def is_model_whole(path: Path) -> bool:
    """Tell whether a finished model's file is there and none of its parts is damaged; it is read for that."""
    try:
        with zipfile.ZipFile(path) as parts:
            return parts.testzip() is None
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error):  # as damaged headers ask
        return False


def _manifest_paths(folder: Path) -> list[Path]:
    """Return the manifests of an attempt, oldest first."""
    return sorted(folder.glob("checkpoint-[0-9]*.json"))


def _read(path: Path) -> _Manifest | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
