"""The lock of a root: one service at a time; the file names its owner.

The kernel releases the lock when the last copy of its descriptor is closed, and a process that inherited one may
outlive the owner. So the lock of an owner that is certainly dead, on this machine and in this container, is taken
over.
"""

import contextlib
import fcntl
import os
import socket
from pathlib import Path

import msgspec
from msgspec import Struct

from traind.service.errors import RootBusy
from traind.service.processes.descriptors import close, hold
from traind.service.processes.identity import Identity, identify, is_alive


class Owner(Struct, frozen=True):
    """The process that holds a root."""

    process: Identity
    host: str
    pid_namespace: int  # a pid means something only within it


class RootLock:
    """A root that this process holds, until `release`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def take(cls, path: Path) -> "RootLock":
        """Take the lock at `path`. Raises `RootBusy` where a living service holds it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # briefly, so that two services that start check one after the other
            fd, owner = _locked(path), _owner(path)
            if fd is None and _is_dead(owner):
                path.unlink(missing_ok=True)  # a lock on the removed file locks no root
                fd = _locked(path)
            if fd is None:
                raise _busy(path, owner)
            os.ftruncate(fd, 0)
            os.pwrite(fd, msgspec.json.encode(_this_process()), 0)
        finally:
            os.close(folder)
        return cls(hold(fd))

    def release(self) -> None:
        """Release the root."""
        close(self._fd)


def _locked(path: Path) -> int | None:
    """Return the file's descriptor, locked; None where another process holds the lock."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def _owner(path: Path) -> Owner | None:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(path.read_bytes(), type=Owner)
    return None


def _this_process() -> Owner:
    me = identify(os.getpid())
    return Owner(me or Identity(os.getpid(), 0, ""), socket.gethostname(), _pid_namespace())


def _pid_namespace() -> int:
    with contextlib.suppress(OSError):
        return Path("/proc/self/ns/pid").stat().st_ino
    return 0


def _is_dead(owner: Owner | None) -> bool:
    """Return whether an owner is certainly dead; of one of another boot, machine or container that is unknown."""
    here = _this_process()
    if owner is None or (owner.host, owner.pid_namespace) != (here.host, here.pid_namespace):
        return False
    return owner.process.boot_id == here.process.boot_id and not is_alive(owner.process)


def _busy(path: Path, owner: Owner | None) -> RootBusy:
    who = f" (process {owner.process.pid} on {owner.host})" if owner is not None else ""
    return RootBusy(
        f"Another traind{who} holds the root {path.parent.parent}.",
        hint="Use it with --server (or `traind.Client`), or choose another root.",
    )
