"""A job's checkpoints on the disk, found and linked without torch.

A worker that outlives its server may write one more checkpoint, which no event reports; the next server finds it
here.
"""

import os
import re
import shutil
import zipfile
import zlib
from itertools import dropwhile
from pathlib import Path

import msgspec
from msgspec import Struct

from traind.service.errors import StoreFailed
from traind.service.jobs.changes import waiting
from traind.service.jobs.job import Job, Parent
from traind.service.settings import Layout
from traind.service.validation.explain import Problem
from traind.service.validation.validate import refusal
from traind.trainer.contract.events import Checkpoint
from traind.trainer.contract.spec import StartFrom, TrainSpec

LOOKS = 5
FIRST = "checkpoint-000001.pt"

_ATTEMPT = re.compile(r"attempt-[0-9]+")
_MANIFEST = re.compile(r"checkpoint-[0-9][^/]*\.json")


class _Manifest(Struct, frozen=True):
    """The part of a checkpoint's manifest that is read here (`trainer.run.checkpoints.Manifest`)."""

    step: int
    epoch: int | None = None
    is_best: bool = False
    is_pinned: bool = False


def attempt_dirs(layout: Layout, job_id: str) -> list[Path]:
    """Return a job's attempt folders, newest first. Raises `OSError`."""
    folder = layout.job_dir(job_id)
    numbered = [name for name in layout.disk.names(folder) if _ATTEMPT.fullmatch(name)]
    return sorted((folder / name for name in numbered), key=attempt_number, reverse=True)


def attempt_number(folder: Path) -> int:
    """Return the number of a folder's attempt."""
    return int(folder.name.removeprefix("attempt-"))


def is_pinned(layout: Layout, folder: Path) -> bool:
    """Return whether an attempt has a checkpoint that its trainer asked to keep. Raises `OSError`."""
    manifests = (_read(layout, path) for path in _manifest_paths(layout, folder))
    return any(manifest.is_pinned for manifest in manifests if manifest is not None)


def last_checkpoint(layout: Layout, job_id: str) -> Checkpoint | None:
    """Return the event of the newest finished checkpoint; None without one. Damaged ones are passed over.

    Raises `OSError` where one cannot be read now.
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


def taken_over(layout: Layout, spec: TrainSpec, start: StartFrom, parent: Job, job_id: str) -> Parent:
    """Link the checkpoint that a new job starts from into the new job's folder; return which one it is.

    It is a hard link, or a copy where links are impossible, so that either job may be deleted. While changes of the
    parent's settings wait, only what it has reported counts: a newer checkpoint may hold changes that no record has.
    Raises `InvalidSpec` where there is no such checkpoint, or it is beyond the epochs of the spec.
    """
    folder = layout.attempt_dir(job_id, 0)
    for _ in range(LOOKS):  # a running parent replaces its checkpoints
        known = [(path, found) for path, found in _checkpoints(layout, start.job_id) if path.exists()]
        if waiting(parent.changes):
            known = list(dropwhile(lambda one: layout.relative(one[0]) != parent.checkpoint, known))
        wanted = _wanted(known, start)
        if wanted is None:
            break
        path, manifest = wanted
        passed = manifest.epoch or 0
        if start.keep == "all" and isinstance(spec.epochs, int) and spec.epochs < passed:
            raise refusal([Problem("epochs", f"must be {passed} or more: so many had ended there")], "The spec")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _share(path, folder / FIRST)
            _share(path.with_suffix(".json"), (folder / FIRST).with_suffix(".json"))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreFailed(f"The checkpoint cannot be kept for the new job: {error}.") from error
        return Parent(job_id=start.job_id, step=manifest.step, epoch=manifest.epoch, keep=start.keep)
    steps = ", ".join(str(manifest.step) for _, manifest in reversed(known))
    problem = f"the job {start.job_id!r} has no such checkpoint; there are those of the steps {steps}"
    if not known:
        problem = f"the job {start.job_id!r} has no checkpoint any more, or none yet"
        problem += ", while its settings are being changed: try again" if waiting(parent.changes) else ""
    elif start.checkpoint == "best":
        problem += '; of the best epoch the weights are there with keep: "weights"'
    raise refusal([Problem("start_from.checkpoint", problem)], "The spec")


def _checkpoints(layout: Layout, job_id: str) -> list[tuple[Path, _Manifest]]:
    """Return a job's finished checkpoints, newest first."""
    return [
        (path.with_suffix(".pt"), manifest)
        for folder in attempt_dirs(layout, job_id)
        for path in reversed(_manifest_paths(layout, folder))
        if (manifest := _read(layout, path)) is not None
    ]


def _wanted(known: list[tuple[Path, _Manifest]], start: StartFrom) -> tuple[Path, _Manifest] | None:
    if start.keep == "weights" and start.checkpoint == "best":
        return known[0] if known else None  # each checkpoint holds the best weights so far
    return next(
        (
            (path, manifest)
            for path, manifest in known
            if start.checkpoint == "last"
            or (start.checkpoint == "best" and manifest.is_best)
            or start.checkpoint == manifest.step
        ),
        None,
    )


def _share(path: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(path, target)


def unreported_checkpoint(job: Job, found: Checkpoint | None) -> list[Checkpoint]:
    """Return the checkpoint found on the disk if the job's newest attempt has not reported it."""
    return [found] if found is not None and found.attempt == job.attempt and found.path != job.checkpoint else []


def is_model_whole(path: Path) -> bool:
    """Return whether a model file is there and undamaged; reads the whole file."""
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
