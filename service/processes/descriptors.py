"""Descriptors that mean something by being open, and so must not live on in a child that the host forks.

A root's lock holds as long as any copy of it is open, and a worker trains on as long as a copy of its life line is:
in a forked child, which knows nothing of either, both would outlive the host. So they are closed in such children.
"""

import contextlib
import os
import threading

_held: set[int] = set()
_turn = threading.RLock()


def hold(fd: int) -> int:
    """Register a descriptor to be closed in every child forked from now on; return it."""
    with _turn:
        _held.add(fd)
    return fd


def close(fd: int) -> None:
    """Close a registered descriptor; in a forked child, where it is closed already, do nothing."""
    with _turn:
        if fd in _held:
            _held.discard(fd)
            os.close(fd)


def _close_all() -> None:
    """Close what is held, in a child; its own forks, and objects that it inherited, find nothing left to close."""
    for fd in _held:
        with contextlib.suppress(OSError):
            os.close(fd)
    _held.clear()
    _turn.release()


os.register_at_fork(before=_turn.acquire, after_in_parent=_turn.release, after_in_child=_close_all)
