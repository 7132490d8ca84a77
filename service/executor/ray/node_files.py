"""Files on a node: data sets by digest, which its seats share, and what one attempt reads and writes.

Whatever arrives is written beside its place and moved there when it is whole and its sha256 is right. What is to be
read is hard-linked first, or the worker's retention may remove it meanwhile. Blocking: called in threads.
"""

import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from traind.data.files import sync_dir, sync_file
from traind.service.executor.ray.protocol import MODEL, Held

UNUSED_S = 86_400.0  # a data set that no job has used for so long is removed when a seat begins
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_HELD = ".held"
SMALL_BYTES = 1_000_000  # up to this size content goes with the answer that names the file
_OURS = {"assignment.json", "output.log", "stacks.txt"}  # known to the server by other ways


class NodeFiles:
    """The folder of one service on one node, as one seat uses it."""

    def __init__(self, root: str, seat: str, folder: str | None) -> None:
        top = Path(folder or tempfile.gettempdir()) / f"{root}-{os.getuid()}"
        self._shared = top / "shared"
        self._seat = seat
        self.seat_dir = top / "seats" / f"{seat}.{os.getpid()}"
        for path in (self._shared, self.seat_dir):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def free_bytes(self) -> int:
        """Return how much room the disk has."""
        disk = os.statvfs(self.seat_dir)
        return disk.f_bavail * disk.f_frsize

    def attempt_dir(self, job_id: str, attempt: int) -> Path:
        """Return where an attempt reads and writes."""
        return self.seat_dir / _checked(job_id) / f"attempt-{int(attempt)}"

    def open_attempt(self, job_id: str, attempt: int) -> Path:
        """Make an attempt's folder, and forget those of others."""
        self.clear()
        folder = self.attempt_dir(job_id, attempt)
        folder.mkdir(parents=True)
        return folder

    def clear(self) -> None:
        """Forget the files of every attempt."""
        for folder in self.seat_dir.iterdir():
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove what this seat alone has."""
        shutil.rmtree(self.seat_dir, ignore_errors=True)

    def shared_path(self, digest: str, name: str) -> Path:
        """Return where the content of that sha256 is on this node, for all seats."""
        return self._shared / _checked(digest) / _checked(name)

    def has_shared(self, digest: str, name: str) -> bool:
        """Tell whether the node has that content already; it then counts as used now."""
        path = self.shared_path(digest, name)
        if path.exists():
            os.utime(path)
            return True
        return False

    def write_shared(self, digest: str, name: str, offset: int, data: bytes) -> None:
        """Write a piece of some content. Two seats of a node that bring the same do not meet."""
        part = self._part(digest, name)
        part.parent.mkdir(parents=True, exist_ok=True)
        _write_at(part, offset, data)

    def seal_shared(self, digest: str, name: str) -> None:
        """Have the content that was written count, if it is right; raises `ValueError`."""
        _seal(self._part(digest, name), self.shared_path(digest, name), digest)

    def write(self, folder: Path, name: str, offset: int, data: bytes) -> None:
        """Write a piece of a file that an attempt goes on from."""
        folder.mkdir(parents=True, exist_ok=True)
        _write_at(folder / f"{_checked(name)}.part", offset, data)

    def seal(self, folder: Path, name: str, digest: str) -> None:
        """Have a file that was written count, if it is right; raises `ValueError`."""
        _seal(folder / f"{_checked(name)}.part", folder / _checked(name), digest)

    def hold(self, folder: Path, known: Sequence[str]) -> list[Held]:
        """Return the attempt's checkpoints, oldest first, and set aside what is neither known nor small.

        `known` are the names of manifests.
        """
        held_dir = folder / _HELD
        shutil.rmtree(held_dir, ignore_errors=True)
        held_dir.mkdir()
        return _checkpoints(folder, known, held_dir)

    def left(self, folder: Path) -> tuple[list[tuple[str, int]], list[Held], tuple[int, str, bytes] | None]:
        """Return what a job that is over left: files as `others` does, checkpoints, and the model if it is small.

        Nothing is set aside: nobody removes anything any more.
        """
        model = folder / MODEL
        is_small = model.exists() and model.stat().st_size <= SMALL_BYTES
        return self.others(folder), _checkpoints(folder, (), None), self.look(folder, MODEL) if is_small else None

    def release(self, folder: Path) -> None:
        """Let go of what was set aside."""
        shutil.rmtree(folder / _HELD, ignore_errors=True)

    def others(self, folder: Path) -> list[tuple[str, int]]:
        """Return the files beside checkpoints that the job left, with their sizes; no links, no special files."""
        return [
            (path.name, path.stat().st_size)
            for path in sorted(folder.iterdir())
            if path.name not in _OURS and _NAME.fullmatch(path.name) and _is_plain(path)
        ]

    def look(self, folder: Path, name: str) -> tuple[int, str, bytes]:
        """Return a file's size and sha256, and its content where that is small."""
        path = folder / _checked(name)
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return size_bytes, digest, path.read_bytes() if size_bytes <= SMALL_BYTES else b""

    def read(self, folder: Path, name: str, offset: int, size: int) -> bytes:
        """Return a piece of a file; of a checkpoint as it was set aside."""
        held = folder / _HELD / _checked(name)
        path = held if held.exists() else folder / name
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def unpack(self, digest: str, name: str) -> Path:
        """Return the folder with the content of a shared archive, unpacked once."""
        target = self._shared / _checked(digest) / "unpacked"
        if not target.exists():
            part = target.with_name(f"unpacked-{self._seat}")
            with zipfile.ZipFile(self.shared_path(digest, name)) as archive:
                archive.extractall(part)
            try:
                part.rename(target)
            except OSError:  # another seat of this node was faster
                shutil.rmtree(part, ignore_errors=True)
        return target

    def sweep(self) -> None:
        """Remove content that nobody has used for long, and what seats left that were killed."""
        for folder in self.seat_dir.parent.iterdir():
            if not Path("/proc", folder.name.rpartition(".")[2]).exists():
                shutil.rmtree(folder, ignore_errors=True)
        before = time.time() - UNUSED_S
        for folder in self._shared.iterdir():
            if all(path.stat().st_mtime < before for path in _plain(folder)):
                shutil.rmtree(folder, ignore_errors=True)

    def _part(self, digest: str, name: str) -> Path:
        path = self.shared_path(digest, name)
        return path.with_name(f"{path.name}.{self._seat}.part")


def _checkpoints(folder: Path, known: Sequence[str], held_dir: Path | None) -> list[Held]:
    """Return a folder's checkpoints, oldest first; what is neither known nor small is linked into `held_dir`."""
    held = []
    for manifest in sorted(folder.glob("checkpoint-[0-9]*.json")):
        data = manifest.with_suffix(".pt")
        if manifest.name in known:
            held.append(Held(data.name))
            continue
        try:
            words, size_bytes, content = manifest.read_bytes(), data.stat().st_size, b""
            if size_bytes <= SMALL_BYTES:
                content = data.read_bytes()
            elif held_dir is not None:
                os.link(data, held_dir / data.name)
        except FileNotFoundError:  # it has just been removed as superseded
            continue
        held.append(Held(data.name, size_bytes, words, content))
    return held


def _plain(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.is_file())


def _is_plain(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)


def _checked(name: str) -> str:
    """Return a name that is one component of a path; raises `ValueError` for anything else."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a file")
    return name


def _write_at(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b" if offset else "wb") as file:
        file.seek(offset)
        file.write(data)


def _seal(part: Path, target: Path, digest: str) -> None:
    with part.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            part.unlink()
            raise ValueError(f"{target.name} did not arrive whole")
    sync_file(part)
    part.replace(target)
    sync_dir(target.parent)
