"""Where the attempts of a job stand on the disk, for those who must not load torch: read, never written.

A worker that outlives its server writes one more checkpoint that nobody hears of; the next server finds it here.
"""

import re
import zipfile
import zlib
from pathlib import Path

import msgspec
from msgspec import Struct

from traind.service.jobs.job import Job
from traind.service.settings import Layout
from traind.trainer.contract.events import Checkpoint

_ATTEMPT = re.compile(r"attempt-[0-9]+")
_MANIFEST = re.compile(r"checkpoint-[0-9][^/]*\.json")


class _Manifest(Struct, frozen=True):
    """What is looked at of a checkpoint's manifest (`trainer.checkpoint.Manifest`)."""

    step: int
    epoch: int | None = None
    is_pinned: bool = False


def attempt_dirs(layout: Layout, job_id: str) -> list[Path]:
    """Return a job's attempt folders, newest first. Raises `OSError`."""
    folder = layout.job_dir(job_id)
    numbered = [name for name in layout.disk.names(folder) if _ATTEMPT.fullmatch(name)]
    return sorted((folder / name for name in numbered), key=attempt_number, reverse=True)


def attempt_number(folder: Path) -> int:
    """Return which attempt a folder is of."""
    return int(folder.name.removeprefix("attempt-"))


def is_pinned(layout: Layout, folder: Path) -> bool:
    """Tell whether an attempt has a checkpoint that its trainer asked to keep. Raises `OSError`."""
    manifests = (_read(layout, path) for path in _manifest_paths(layout, folder))
    return any(manifest.is_pinned for manifest in manifests if manifest is not None)


def last_checkpoint(layout: Layout, job_id: str) -> Checkpoint | None:
    """Return the newest checkpoint that was finished, as its worker tells it; None where there is none.

    Raises `OSError` where that cannot be seen now: a damaged one is passed over, one that cannot be read is not.
    """
    for folder in attempt_dirs(layout, job_id):
        for path in reversed(_manifest_paths(layout, folder)):
            data, manifest = path.with_suffix(".pt"), _read(layout, path)
            if manifest is not None and layout.disk.has(data):
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


def _manifest_paths(layout: Layout, folder: Path) -> list[Path]:
    """Return the manifests of an attempt, oldest first."""
    return sorted(folder / name for name in layout.disk.names(folder) if _MANIFEST.fullmatch(name))


def _read(layout: Layout, path: Path) -> _Manifest | None:
    try:
        return msgspec.json.decode(layout.disk.read(path), type=_Manifest)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
