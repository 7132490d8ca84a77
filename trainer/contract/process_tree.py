"""The descendants of a process, through /proc: finding them, their processor time, killing them.

A job may start processes, also in sessions of their own; watching or ending the job includes all of them. Linux only;
imports nothing heavy.
"""

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
PR_SET_PDEATHSIG = 1
RANK = "traind-rank"  # the name of a process beside the first of a job of several workers, as `top` shows it
CUT_OFF = 2  # exit code of a process of several that saw another one's end
ROUNDS_S = 1.0  # seconds after which processes that fork faster than they are killed are given up
ROUNDS = 8  # of stopping descendants, until no new ones are found
_TICKS = os.sysconf("SC_CLK_TCK")


def adopt_orphans() -> None:
    """Make this process the new parent of its descendants' orphans, so that they stay in the tree."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent() -> None:
    """Have this process killed when the thread that forked it ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


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
    """Kill a process and its descendants in any session; all are stopped first, so that they start no more."""
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
    """Kill all descendants and wait, at most `ROUNDS_S`, until none runs; return how many there were."""
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
    """Return whether a process is a zombie or gone."""
    return _stat(pid)[:1] in ([b"Z"], [b"X"], [])


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _cpu_s(pid: int) -> float:
    """Return the processor time of a process and of its reaped children, in seconds."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / _TICKS if fields else 0.0


def _stat(pid: int) -> list[bytes]:
    """Return the fields of /proc/<pid>/stat after the name, which may hold anything: the first is the state."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return []
    return stat[stat.rindex(b")") + 2 :].split()
