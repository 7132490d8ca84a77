"""As process 1 of a container, whom all orphans are left to; and what a job starts ends with it, whatever it did."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from traind import Progress, SyncClient
from traind.trainer.contract.process_tree import children, descendants, is_zombie

CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
PATIENCE_S = 60.0
MARK = "86391.25"  # seconds that no other test sleeps


@pytest.fixture(scope="module")
def process_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """A server that is process 1 of a pid namespace: its pid out here, and its address."""
    if subprocess.run([*CONTAINER, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no pid namespace can be made here")
    trainers = json.dumps({"leaving": f"{Path(__file__).with_name('leaving_trainer.py')}:train"})
    root = str(tmp_path_factory.mktemp("container"))
    serve = [sys.executable, "-m", "traind", "serve", "--root", root, "--port", "0", "--trainers", trainers]
    with subprocess.Popen([*CONTAINER, *serve], stdout=subprocess.PIPE, text=True) as container:
        assert container.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", container.stdout.readline())
        assert found
        (pid,) = children(container.pid)
        yield pid, found[0]
        os.kill(pid, signal.SIGTERM)
        assert container.wait(PATIENCE_S) == 0


def test_orphans_of_other_programs_are_reaped(process_one: tuple[int, str]) -> None:
    pid, _ = process_one
    before = set(children(pid))
    orphans = "setsid sleep 0.2 & setsid sleep 0.3 & setsid true &"
    subprocess.run(["nsenter", "--target", str(pid), "--pid", "sh", "-c", orphans], check=True)
    wait_until(lambda: set(children(pid)) <= before)
    assert not any(is_zombie(one) for one in descendants(pid))


@pytest.mark.parametrize("verb", ["cancel", "stop"])
def test_what_a_job_started_ends_with_it_in_whatever_session(process_one: tuple[int, str], verb: str) -> None:
    pid, url = process_one
    client = SyncClient(url)
    job_id = client.submit(trainer="leaving", options={"mark": MARK}).job_id
    for event in client.watch(job_id):
        if isinstance(event, Progress):
            break
    sleeping = marked()
    assert len(sleeping) == 3
    getattr(client, verb)(job_id)
    assert client.wait(job_id).status == {"cancel": "CANCELLED", "stop": "STOPPED"}[verb]
    for one in sleeping:
        ended(one)
    assert marked() == []
    wait_until(lambda: not any(is_zombie(one) for one in descendants(pid)))


def marked() -> list[int]:
    """Return the pids of the sleeping processes that the trainer started."""
    wanted = f"sleep\0{MARK}\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == wanted:
                found.append(int(path.parent.name))
        except OSError:  # it has just ended
            continue
    return found


def ended(pid: int) -> None:
    """Return when a process has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ready, _, _ = select.select([descriptor], [], [], PATIENCE_S)
    os.close(descriptor)
    assert ready, f"{pid} lives on"


def wait_until(is_so: Callable[[], bool]) -> None:
    """Return when that is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
