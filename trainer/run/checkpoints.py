"""Checkpoints: everything an attempt needs to go on bit for bit, whole on disk or not there.

A checkpoint is one `torch.save` file and, written after it, a manifest with its sha256: a file without a matching
manifest was never finished. The last ones, the best and the pinned are kept. Only `weights_only` loads: a checkpoint
runs no code. Called by `Run` only.
"""

import errno
import hashlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec import Struct

from traind.data.files import sweep_temporaries, write_atomically
from traind.trainer.contract.errors import DiskFailed, DiskFull, UserCodeError

FORMAT = 1
_PLAIN = frozenset({torch.Tensor, int, float, bool, str, bytes, type(None)})
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Manifest(Struct, frozen=True):
    """What stands beside a checkpoint and makes it one."""

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
    seconds: float  # what writing it took


class _OtherFormat(ValueError):
    """Written by another version of traind: whole, and not ours to set aside."""


class Checkpoints:
    """The checkpoints of one attempt, numbered as they are written, and those of earlier ones to go on from."""

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
        """Make `content` durable, then forget the checkpoints that are no longer needed.

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
        """Return the newest whole checkpoint. Damaged ones are set aside as `.damaged` and told."""
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
                manifest_path(path).unlink(missing_ok=True)  # first: a file without a manifest is nothing
                path.unlink(missing_ok=True)


def packed(content: dict[str, Any]) -> bytes:
    """Return `content` as the bytes of a `torch.save` file that loads with `weights_only=True`.

    Raises `UserCodeError` where it does not: better now than when the job must go on.
    """
    buffer = io.BytesIO()
    try:
        torch.save(content, buffer)
        data = buffer.getvalue()
        if not _is_plain(content):
            unpacked(data)
    except Exception as error:
        raise UserCodeError(
            f"The state cannot be saved so that it can be loaded again: {_first_line(error)}",
            hint="Save tensors and plain values (numbers, strings, lists, dicts): state_dict() of what you have.",
        ) from error
    return data


def _is_plain(tree: Any) -> bool:
    """Whether there is nothing in a tree that is not known to load again; what else there is must be tried."""
    kind = type(tree)
    if kind in _PLAIN:
        return True
    if kind is dict:
        return all(type(key) in _PLAIN for key in tree) and all(map(_is_plain, tree.values()))
    return kind in (list, tuple) and all(map(_is_plain, tree))


def unpacked(data: bytes) -> dict[str, Any]:
    """Return what was packed. Raises `ValueError` where the bytes are not such a file."""
    if not data.startswith(b"PK"):  # torch reads older kinds too, which we never wrote
        raise ValueError("not a torch file")
    try:
        content = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"not a file of tensors and plain values: {_first_line(error)}") from error
    if not isinstance(content, dict):  # a foreign file
        raise ValueError(f"not a file of ours: it holds a {type(content).__name__}")  # noqa: TRY004
    return content


def write_file(path: Path, data: bytes) -> None:
    """Write durably. Raises `DiskFull` where there is no space, `DiskFailed` where the disk cannot be written."""
    try:
        write_atomically(path, data)
    except OSError as error:
        told = f"{path.name} could not be written: {error.strerror or error}"
        if error.errno in _NO_SPACE:
            raise DiskFull(told, hint="Make room on the disk; the job goes on from its last checkpoint.") from error
        raise DiskFailed(told, hint="Check the disk, then resume the job.") from error


def manifest_path(path: Path) -> Path:
    """Return where a checkpoint's manifest stands."""
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
    """Return a checkpoint's content. Raises `ValueError` or `OSError` where it is not what its manifest says."""
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
    """Rename a damaged checkpoint, so that nobody reads it again and somebody may look at it."""
    for one in (manifest_path(path), path):
        try:
            one.rename(one.with_name(one.name + ".damaged"))
        except OSError:  # absent, or a disk that cannot be written: it is not read again in this run either way
            continue


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
