"""The disk, as the engine uses it: every file operation of the service's own tasks is a method here.

Each may raise any `OSError`; the caller decides whether to try again. Tests override `reach`, which runs before each
operation, to raise faults. SQLite writes its files itself; only its commits call `reach`.
"""

import contextlib
import os
import shutil
from pathlib import Path

from traind.data.files import move_durably, sweep_temporaries, sync_dir, write_atomically


class Disk:
    """The file system of this machine."""

    def reach(self, call: str, path: Path) -> None:
        """Run before each operation, `call` by name, on `path`; does nothing here."""

    def make_dir(self, path: Path) -> None:
        """Make a folder and those above it, unless they are there."""
        self.reach("mkdir", path)
        path.mkdir(parents=True, exist_ok=True)

    def write(self, path: Path, content: bytes, *, is_durable: bool) -> None:
        """Replace a file's content by rename; make its folder if it was removed."""
        write_atomically(path, content, is_durable=is_durable, reach=self.reach)

    def move(self, source: Path, target: Path) -> None:
        """Move a file to `target`, also to another file system; make its folder if it was removed."""
        self.make_dir(target.parent)
        move_durably(source, target, reach=self.reach)

    def read(self, path: Path) -> bytes:
        """Return a file's content."""
        self.reach("read", path)
        return path.read_bytes()

    def has(self, path: Path) -> bool:
        """Return whether there is such a file or folder."""
        try:
            self.reach("stat", path)
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder; none if the folder does not exist."""
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
        """Remove a folder with its content, if it is there."""
        self.reach("rmtree", folder)
        shutil.rmtree(folder, onerror=_pass_over_what_is_gone)

    def sweep(self, folder: Path) -> None:
        """Make a folder, and remove what interrupted writes left in it."""
        self.make_dir(folder)
        self.reach("sweep", folder)
        sweep_temporaries(folder)

    def free_bytes(self, folder: Path) -> int:
        """Return the free bytes of the file system of a folder, or of the nearest one above that exists."""
        self.reach("statvfs", folder)
        there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
        disk = os.statvfs(there)
        return disk.f_bavail * disk.f_frsize


def _pass_over_what_is_gone(_: object, __: object, error: tuple[object, BaseException, object]) -> None:
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]
