"""The processes below one: found through /proc, their processor time, and their end.

A job may start processes, and those others, in sessions of their own too; whoever watches or ends a job means all of
them. Linux only; imports nothing heavy.
"""

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
ROUNDS_S = 1.0  # processes that fork faster than they are ended are given up after that
ROUNDS = 8  # in which all processes of a tree are found, though they start more
_TICKS = os.sysconf("SC_CLK_TCK")


def adopt_orphans() -> None:
    """Have whatever this process's children leave behind become its own children: it stays in the tree."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid: int) -> list[int]:
    """Return the pids of a process's children; none where it is gone."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


def descendants(pid: int) -> list[int]:
    """Return the pids of all processes below one, parents first."""
    found = children(pid)
    for child in found:  # grows meanwhile
        found += children(child)
    return found


def cpu_s(pid: int) -> float:
    """Return the processor time that a process and those below it have used so far, in seconds."""
    return sum(map(_cpu_s, [pid, *descendants(pid)]))


def kill_tree(pid: int) -> None:
    """Kill a process and all below it, in whatever session; it is held first, so that it starts no more of them."""
    held: set[int] = set()
    for _ in range(ROUNDS):
        found = [one for one in (pid, *descendants(pid)) if one not in held]
        if not found:
            break
        for one in found:
            _signal(one, signal.SIGSTOP)
        held.update(found)
    for one in held:
        _signal(one, signal.SIGKILL)


def end_descendants(pid: int) -> int:
    """Kill all processes below one and wait until none runs; return how many there were. Blocks for a moment only."""
    ended: set[int] = set()
    deadline = time.monotonic() + ROUNDS_S
    while time.monotonic() < deadline:
        found = [child for child in descendants(pid) if not is_zombie(child)]
        if not found:
            break
        for child in found:
            _signal(child, signal.SIGKILL)
            ended.add(child)
        time.sleep(0.001)
    return len(ended)


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and waits to be reaped, or is gone."""
    return _stat(pid)[:1] in ([b"Z"], [b"X"], [])


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _cpu_s(pid: int) -> float:
    """Return the time of one process, and of those children of it that have ended."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / _TICKS if fields else 0.0


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/<pid>/stat after the name, which may hold anything: the first is the state."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return []
    return stat[stat.rindex(b")") + 2 :].split()
