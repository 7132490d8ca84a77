"""Files that are never seen half-written: atomic replace, durable rename. Used by all three rooms.

The order that holds against power loss: write a temporary file in the same folder, fsync it, rename it over the
target, fsync the folder. An fsync that failed is never retried: what the kernel dropped is gone.
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
Reach = Callable[[str, Path], None]  # comes before each call on the disk: its name, and what it is about


def _reach(call: str, path: Path) -> None:
    """Let a call pass."""


def write_atomically(path: Path, content: bytes, *, is_durable: bool = True, reach: Reach = _reach) -> None:
    """Replace `path` by `content`: a reader sees the old bytes or the new ones, whole.

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
        with contextlib.suppress(OSError):  # the first error is the one to tell; what is left is swept at the start
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
    """Move a file or folder that is already synced over `target`, so that the move survives a power cut."""
    source.replace(target)
    sync_dir(target.parent)
    if source.parent != target.parent:
        sync_dir(source.parent)


def move_durably(source: Path, target: Path, *, reach: Reach = _reach) -> None:
    """Move a file that is already synced over `target`, from whichever file system, so that it survives a power cut.

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
    """Copy a file over `target`, which is never seen half-written. Raises `OSError`; then `target` is as it was."""
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
    """Raise `BadTable` where a data set's file is gone or has another size than it was registered with."""
    try:
        found = path.stat().st_size
    except FileNotFoundError:
        raise BadTable(f"there is no file {str(path)!r}") from None
    if found != size_bytes:
        raise _changed(f"{found:,} bytes, not {size_bytes:,}")


def check_digest(path: Path, digest: str) -> None:
    """Raise `BadTable` where a data set's file is not, byte for byte, the one that was registered."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise _changed("other bytes")


def _changed(how: str) -> BadTable:
    return BadTable(
        f"the data set's file has changed since it was registered: it has {how}",
        hint="put the data set again and submit a new job, or put the file back as it was and resume this one",
    )


def sweep_temporaries(folder: Path) -> int:
    """Remove what interrupted writes left behind in a folder; return how many."""
    names = os.listdir(folder) if folder.exists() else []  # noqa: PTH208 - of 100,000
    leftovers = [folder / name for name in names if name.startswith(TEMPORARY_PREFIX)]
    for leftover in leftovers:
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
    return len(leftovers)
