"""The identity of a process, which a pid alone is not: pids are reused, soon in containers.

Recorded with each attempt, so that the next server can end what a dead one left behind. Linux's /proc only.
"""

import contextlib
import os
import select
import signal
from pathlib import Path

from msgspec import Struct

GONE_S = 5.0


class Identity(Struct, frozen=True):
    """One process of one boot of one machine."""

    pid: int
    started: int  # clock ticks from boot to its start
    boot_id: str


def identify(pid: int) -> Identity | None:
    """Return the identity of the process that has the pid now, or None."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    state, *_ = fields = stat[stat.rindex(b")") + 2 :].split()  # the name before it may hold anything
    return None if state in (b"Z", b"X") else Identity(pid, int(fields[19]), boot_id)


def is_alive(identity: Identity) -> bool:
    """Return whether exactly this process still runs."""
    return identify(identity.pid) == identity


def kill_leftover(identity: Identity) -> bool:
    """Kill exactly this process and its group, and wait until it is gone; return whether it was running.

    Blocks for at most `GONE_S`.
    """
    try:
        pidfd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(identity):
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        kill_group(identity.pid)
        gone = select.poll()
        gone.register(pidfd, select.POLLIN)
        gone.poll(GONE_S * 1_000)
        return True
    finally:
        os.close(pidfd)


def kill_group(pid: int) -> None:
    """Kill the process group of a worker by its pid: each worker leads its own group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if pid != os.getpgrp():
            os.killpg(pid, signal.SIGKILL)
