"""The identity of a root, which tells it from a copy of it.

The database names the workers that the last server left. In a copy, a restored backup or a snapshot these belong to
the original, which may still use them: they are left alone.
"""

import contextlib
import secrets
from pathlib import Path

import msgspec
from msgspec import Struct

from traind.data.files import write_atomically


class RootIdentity(Struct, frozen=True):
    """The recorded identity of a root."""

    id: str
    """32 hex digits, made when the root was first opened, and again in each copy of it."""
    path: str
    """Where the root was opened last."""
    device: int
    """Number of the file system that its folder is on."""
    inode: int
    """Number of its folder there: a copy has another one."""


class Root:
    """The identity of one root, as it is recorded and as it is."""

    def __init__(self, folder: Path, record: Path) -> None:
        stat = folder.stat()
        self._record = record
        self.recorded = _read(record)
        self.is_own = self.recorded is not None and (self.recorded.device, self.recorded.inode) == (
            stat.st_dev,
            stat.st_ino,
        )
        name = self.recorded.id if self.recorded is not None and self.is_own else secrets.token_hex(16)
        self.identity = RootIdentity(name, str(folder), stat.st_dev, stat.st_ino)

    def story(self) -> str | None:
        """Return, as a sentence, that the root was moved or copied since it was last opened; else None."""
        if self.recorded is None or self.recorded == self.identity:
            return None
        if self.is_own:
            return f"this root was moved: it was {self.recorded.path}"
        return f"this root is a copy of {self.recorded.path}: its jobs go on here, and the original is left alone"

    def note(self) -> None:
        """Record the identity as it is now. Called when no worker of the original is left in the record."""
        if self.recorded != self.identity:
            write_atomically(self._record, msgspec.json.encode(self.identity))
            self.recorded = self.identity


def _read(record: Path) -> RootIdentity | None:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(record.read_bytes(), type=RootIdentity)
    return None
