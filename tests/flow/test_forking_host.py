"""A host that forks keeps neither its root's lock nor its workers alive when it is gone."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from traind import RootBusy, Status, TrainingService
from traind.service.processes.identity import identify
from traind.service.root_lock import RootLock

HOST = Path(__file__).with_name("forking_host.py")
PROMISED_S = 5.0


async def test_children_of_a_dead_host_hold_neither_lock_nor_workers(tmp_path: Path) -> None:
    """F23."""
    command = [sys.executable, str(HOST), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as host:  # noqa: ASYNC220
        assert host.stdout is not None
        said = json.loads(await asyncio.to_thread(host.stdout.readline))
        host.kill()
        killed_at = time.monotonic()
    try:
        assert all(identify(pid) for pid in said["own"])
        await asyncio.to_thread(wait_gone, said["worker"])
        assert time.monotonic() - killed_at < 2 * PROMISED_S  # and what a busy machine adds
        async with TrainingService(root=tmp_path, slots=1) as service:
            await service.stop("long")
            assert (await service.wait("long")).status is Status.STOPPED
        assert all(identify(pid) for pid in said["own"])  # they are the host's, not ours to end
    finally:
        for pid in said["own"]:
            os.kill(pid, signal.SIGKILL)


def wait_gone(pid: int) -> None:
    while identify(pid):
        time.sleep(0.02)


def holder(path: Path, then: str) -> "subprocess.Popen[str]":
    """Have another process take a lock, and do something."""
    code = (
        "import os, sys, time; from pathlib import Path; from traind.service.root_lock import RootLock\n"
        f"lock = RootLock.take(Path({os.fspath(path)!r}))\n{then}\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_lock_says_whose_it_is_and_goes_with_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "artifacts" / "traind.lock"
    with holder(path, "print('held', flush=True); time.sleep(600)") as living:
        with pytest.raises(RootBusy, match=f"process {living.pid} on"):
            RootLock.take(path)
        living.kill()
    RootLock.take(path).release()


def test_a_copy_of_its_descriptor_elsewhere_does_not_keep_a_dead_owners_lock(tmp_path: Path) -> None:
    """A child by other means than Python's fork: the descriptor is handed on by hand."""
    path = tmp_path / "artifacts" / "traind.lock"
    said = tmp_path / "child"
    hand_on = (
        "import subprocess; os.set_inheritable(lock._fd, True)\n"
        "child = subprocess.Popen(['sleep', '600'], close_fds=False)\n"
        f"Path({os.fspath(said)!r}).write_text(str(child.pid)); print('held', flush=True); os._exit(0)"
    )
    with holder(path, hand_on) as dead:
        dead.wait()
    child = int(said.read_text())
    try:
        assert identify(child)
        lock = RootLock.take(path)
        with pytest.raises(RootBusy):
            RootLock.take(path)
        lock.release()
    finally:
        os.kill(child, signal.SIGKILL)
