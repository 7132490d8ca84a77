"""The disk as the engine sees it: every call that the service's own tasks make on files goes through here.

Any of them may fail at any time with any `OSError`, which is raised as it is: whoever calls decides whether it is
tried again. A test puts its faults into `reach`, which comes before each call. SQLite has a way of its own; of that
only the commits come by here.
"""

import contextlib
import os
import shutil
from pathlib import Path

from traind.data.files import move_durably, sweep_temporaries, sync_dir, write_atomically


class Disk:
    """The file system of this machine."""

    def reach(self, call: str, path: Path) -> None:
        """Come before each call: `call` is its name, `path` what it is about."""

    def make_dir(self, path: Path) -> None:
        """Make a folder and those above it, unless they are there."""
        self.reach("mkdir", path)
        path.mkdir(parents=True, exist_ok=True)

    def write(self, path: Path, content: bytes, *, is_durable: bool) -> None:
        """Replace a file's content as a whole; its folder is made where it was removed."""
        write_atomically(path, content, is_durable=is_durable, reach=self.reach)

    def move(self, source: Path, target: Path) -> None:
        """Move a file over `target`, from another file system too; its folder is made where it was removed."""
        self.make_dir(target.parent)
        move_durably(source, target, reach=self.reach)

    def read(self, path: Path) -> bytes:
        """Return a file's content."""
        self.reach("read", path)
        return path.read_bytes()

    def has(self, path: Path) -> bool:
        """Tell whether there is such a file or folder."""
        try:
            self.reach("stat", path)
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def names(self, folder: Path) -> list[str]:
        """Return what is in a folder; nothing where there is none."""
        try:
            self.reach("scandir", folder)
            return os.listdir(folder)  # noqa: PTH208 - of 100,000
        except FileNotFoundError:
            return []

    def remove_file(self, path: Path) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.reach("unlink", path)
            path.unlink()

    def remove_file_durably(self, path: Path) -> None:
        """Remove a file, if it is there, so that it does not come back after a power cut."""
        self.remove_file(path)
        with contextlib.suppress(FileNotFoundError):
            self.reach("fsync", path.parent)
            sync_dir(path.parent)

    def remove_tree(self, folder: Path) -> None:
        """Remove a folder with all that is in it, if it is there."""
        self.reach("rmtree", folder)
        shutil.rmtree(folder, onerror=_pass_over_what_is_gone)

    def sweep(self, folder: Path) -> None:
        """Make a folder, and remove what interrupted writes left in it."""
        self.make_dir(folder)
        self.reach("sweep", folder)
        sweep_temporaries(folder)

    def free_bytes(self, folder: Path) -> int:
        """Return the free space on the disk that a folder, or the nearest one above it, is on."""
        self.reach("statvfs", folder)
        there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
        disk = os.statvfs(there)
        return disk.f_bavail * disk.f_frsize


def _pass_over_what_is_gone(_: object, __: object, error: tuple[object, BaseException, object]) -> None:
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]
