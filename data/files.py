"""Atomic and durable writing of files. Used by all three packages.

The order that holds against power loss: write a temporary file in the same folder, fsync it, rename it over the
target, fsync the folder. A failed fsync is never retried: the kernel has dropped the data.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from traind.data.errors import BadTable

TEMPORARY_PREFIX = ".tmp-"
Reach = Callable[[str, Path], None]  # called before each disk operation with its name and path


def _reach(call: str, path: Path) -> None:
    """Do nothing before a disk operation."""


def write_atomically(path: Path, content: bytes, *, is_durable: bool = True, reach: Reach = _reach) -> None:
    """Replace `path` by `content`: readers see either the old or the new bytes.

    With `is_durable` the new bytes survive a power cut once this returns. A folder that was removed is made again. On
    any error the temporary file is removed and `path` is as it was. Raises `OSError`.
    """
    temporary = _temporary(path)
    try:
        descriptor = _made(temporary, reach)
    except FileNotFoundError:
        reach("mkdir", path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _made(temporary, reach)
    try:
        try:
            reach("write", temporary)
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            if is_durable:
                reach("fsync", temporary)
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        reach("rename", path)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error matters; leftovers are removed at the next start
            temporary.unlink(missing_ok=True)
        raise
    if is_durable:
        reach("fsync", path.parent)
        sync_dir(path.parent)


def _made(path: Path, reach: Reach) -> int:
    """Return the descriptor of a new file."""
    reach("open", path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)


def rename_durably(source: Path, target: Path) -> None:
    """Move a synced file or folder to `target`, so that the move survives a power cut."""
    source.replace(target)
    sync_dir(target.parent)
    if source.parent != target.parent:
        sync_dir(source.parent)


def move_durably(source: Path, target: Path, *, reach: Reach = _reach) -> None:
    """Move a synced file to `target`, also from another file system, so that it survives a power cut.

    Where that cannot be a rename it is copied beside the target, synced, and renamed there: `target` is never seen
    half-written. Raises `OSError`; then the source is still there, or the target is whole, or both.
    """
    try:
        reach("rename", target)
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy_whole(source, target, reach=reach)
    reach("fsync", target.parent)
    sync_dir(target.parent)
    with contextlib.suppress(FileNotFoundError):  # after a copy the source is still there
        reach("unlink", source)
        source.unlink()


def copy_whole(source: Path, target: Path, *, reach: Reach = _reach) -> None:
    """Copy a file to `target` atomically. Raises `OSError`; then `target` is unchanged."""
    temporary = _temporary(target)
    try:
        reach("copy", temporary)
        shutil.copyfile(source, temporary)
        reach("fsync", temporary)
        sync_file(temporary)
        reach("replace", target)
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _temporary(path: Path) -> Path:
    """Return a new name beside a file."""
    return path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}-{path.name}")


def sync_dir(folder: Path) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the bytes of a closed file durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_size(path: Path, size_bytes: int) -> None:
    """Raise `BadTable` where a data set's file is missing or differs in size from the registered one."""
    try:
        found = path.stat().st_size
    except FileNotFoundError:
        raise BadTable(f"there is no file {str(path)!r}") from None
    if found != size_bytes:
        raise _changed(f"{found:,} bytes, not {size_bytes:,}")


def check_digest(path: Path, digest: str) -> None:
    """Raise `BadTable` where a data set's file differs from the registered one."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise _changed("other bytes")


def _changed(how: str) -> BadTable:
    return BadTable(
        f"the data set's file has changed since it was registered: it has {how}",
        hint="put the data set again and submit a new job, or put the file back as it was and resume this one",
    )


def sweep_temporaries(folder: Path) -> int:
    """Remove temporary files of interrupted writes from a folder; return how many."""
    names = os.listdir(folder) if folder.exists() else []  # noqa: PTH208 - of 100,000
    leftovers = [folder / name for name in names if name.startswith(TEMPORARY_PREFIX)]
    for leftover in leftovers:
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
    return len(leftovers)
