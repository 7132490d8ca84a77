"""Checkpoints: everything an attempt needs to go on bit for bit.

A checkpoint is one `torch.save` file and, written after it, a manifest with its sha256: a file without a matching
manifest is unfinished and not used. The last ones, the best and the pinned are kept. They are loaded with
`weights_only`, so that a checkpoint runs no code. Called by `Run` only.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from traind.data.files import sweep_temporaries
from traind.trainer.contract.spec import Place
from traind.trainer.model.tensor_file import packed, unpacked, write_file

FORMAT = 1


class Manifest(Struct, frozen=True):
    """The JSON file beside a checkpoint's data; without it the checkpoint is unfinished."""

    format: int
    step: int
    epoch: int | None
    is_best: bool
    size_bytes: int
    sha256: str
    is_pinned: bool = False  # kept as long as the job


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint that is whole on disk."""

    path: Path
    manifest: Manifest
    seconds: float  # that writing it took


class _OtherFormat(ValueError):
    """The checkpoint has the format of another version of traind: it is not damaged."""


class Checkpoints:
    """The checkpoints of one attempt, numbered in order, and those of earlier attempts to go on from."""

    def __init__(self, folder: Path, earlier: tuple[Path, ...] = (), kept: int = 2) -> None:
        self._folder = folder
        self._kept = kept
        self._searched = (folder, *earlier)
        sweep_temporaries(folder)
        self._number = max((_number(path) for path in _found(folder)), default=0)

    def write(
        self,
        content: dict[str, Any],
        *,
        step: int,
        epoch: int | None,
        is_best: bool = False,
        is_pinned: bool = False,
    ) -> Saved:
        """Write `content` durably, then remove the checkpoints that are no longer needed.

        Raises `UserCodeError` where the content could not be loaded again, `DiskFull`, `DiskFailed`.
        """
        started = time.perf_counter()
        data = packed(content)
        self._number += 1
        path = self._folder / f"checkpoint-{self._number:06d}.pt"
        digest = hashlib.sha256(data).hexdigest()
        manifest = Manifest(FORMAT, step, epoch, is_best, len(data), digest, is_pinned)
        write_file(path, data)
        write_file(manifest_path(path), msgspec.json.encode(manifest))
        self._prune()
        return Saved(path, manifest, time.perf_counter() - started)

    def newest(self, on_damaged: Callable[[Path, str], None]) -> tuple[Path, dict[str, Any]] | None:
        """Return the newest whole checkpoint. Damaged ones are renamed to `.damaged` and reported."""
        for folder in self._searched:
            for path in _found(folder):
                try:
                    return path, _read_whole(path)
                except _OtherFormat as error:
                    on_damaged(path, str(error))
                except (OSError, ValueError) as error:
                    _set_aside(path)
                    on_damaged(path, str(error))
        return None

    def _prune(self) -> None:
        """Remove all but the last checkpoints, the newest best one and the pinned."""
        found = {path: _marks(path) for path in _found(self._folder)}
        best = next((path for path, (is_best, _) in found.items() if is_best), None)
        for path, (_, is_pinned) in list(found.items())[self._kept :]:
            if path != best and not is_pinned:
                manifest_path(path).unlink(missing_ok=True)  # first: without a manifest the file is not used
                path.unlink(missing_ok=True)


def files_dir_of(place: Place) -> Path:
    """Return the folder of files that outlive the attempt; make it if it is missing."""
    folder = Path(place.files_dir or Path(place.attempt_dir) / "files")
    folder.mkdir(exist_ok=True)
    return folder


def manifest_path(path: Path) -> Path:
    """Return the path of a checkpoint's manifest."""
    return path.with_suffix(".json")


def _found(folder: Path) -> list[Path]:
    """Return the files of a folder's finished checkpoints, newest first, whole or not."""
    found = [manifest.with_suffix(".pt") for manifest in folder.glob("checkpoint-*.json")]
    return sorted(found, key=_number, reverse=True)


def _number(path: Path) -> int:
    digits = path.stem.removeprefix("checkpoint-")
    return int(digits) if digits.isdecimal() else 0


def _manifest(path: Path) -> Manifest:
    """Return a checkpoint's manifest. Raises `ValueError` or `OSError` where it cannot be read."""
    return msgspec.json.decode(manifest_path(path).read_bytes(), type=Manifest)


def _marks(path: Path) -> tuple[bool, bool]:
    """Return whether a checkpoint is a best one, and whether it is pinned."""
    try:
        manifest = _manifest(path)
    except (OSError, ValueError):
        return False, False
    return manifest.is_best, manifest.is_pinned


def _read_whole(path: Path) -> dict[str, Any]:
    """Return a checkpoint's content; raises `ValueError` or `OSError` where it does not match its manifest."""
    manifest = _manifest(path)
    if manifest.format != FORMAT:
        raise _OtherFormat(f"format {manifest.format}, this version reads {FORMAT}")
    data = path.read_bytes()
    if len(data) != manifest.size_bytes:
        raise ValueError(f"{len(data)} bytes, its manifest says {manifest.size_bytes}")
    if hashlib.sha256(data).hexdigest() != manifest.sha256:
        raise ValueError("its sha256 is not that of its manifest")
    return unpacked(data)


def _set_aside(path: Path) -> None:
    """Rename a damaged checkpoint, so that it is not read again and can be inspected."""
    for one in (manifest_path(path), path):
        try:
            one.rename(one.with_name(one.name + ".damaged"))
        except OSError:  # absent, or a disk that cannot be written: it is not read again in this run either way
            continue
