"""SIGKILL at the N-th call that writes to the disk, of whichever process makes it first: before or after, never torn.

`strace` counts the calls of each thread and kills its process at the N-th. Without strace these are skipped.
"""

import contextlib
import http.client
import os
import shutil
import time
from pathlib import Path

import pytest
from fault_harness import TERMINAL, Calm, Server, Workload, workload
from judge import judge, left_behind
from tally import Case, Tally, seeds, side_by_side

CALLS = "rename,renameat,renameat2,fsync,fdatasync,unlink,unlinkat,pwrite64,ftruncate"
AT_ONCE = 8
LAST = 400  # no thread makes as many such calls in this workload
FAULT = "killed at a call that writes"

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture(scope="module")
def digests(calm: Calm) -> list[str]:
    """What the jobs' weights must be."""
    return calm(workload(2, seed=1, epochs=4))


def killed_at(case: Case, root: Path, number: int, digests: list[str]) -> bool:
    """Run two jobs under a kill at call `number`, then again without; judge. Return whether anyone was killed."""
    case.asked = 1
    trace = root.with_name("trace")
    server = Server(root)
    work = workload(2, seed=1, epochs=4)
    server.start()
    assert server.wait_up(), server.tail()
    server.wait_ready()
    tracer = server.trace(trace, f"trace={CALLS}", f"inject={CALLS}:signal=SIGKILL:when={number}")
    with contextlib.suppress(OSError, http.client.HTTPException):
        work.submit(server, "n")
        _until_over_or_dead(server, work)
    has_fired = _has_fired(server, trace)
    server.kill()
    tracer.wait(20)
    case.breaches += left_behind(server)
    server.start()
    assert server.wait_up(), server.tail()
    work.submit(server, "n")
    server.wait_over(list(work.accepted))
    case.breaches += judge(server, work, digests)
    server.kill()
    case.breaches += left_behind(server)
    return has_fired


def _has_fired(server: Server, trace: Path) -> bool:
    """Tell whether the server is dead, or any process that it started was killed."""
    try:
        server.jobs()
    except (OSError, http.client.HTTPException):
        return True
    return "killed by SIGKILL" in trace.read_text()


def _until_over_or_dead(server: Server, work: Workload) -> None:
    deadline = time.monotonic() + 60
    while not server.has_left() and time.monotonic() < deadline:
        if all(server.status(job_id)["status"] in TERMINAL for job_id in work.accepted):
            return
        time.sleep(0.05)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "number", [9, *(pytest.param(number, marks=pytest.mark.faults) for number in (1, 4, 20, 45))]
)
def test_a_kill_at_a_call_that_writes_leaves_before_or_after(
    tmp_path: Path, number: int, digests: list[str], tally: Tally
) -> None:
    with tally.case(FAULT, number) as case:
        assert killed_at(case, tmp_path / "root", number, digests), "nobody was killed: the test tests nothing"


@pytest.mark.faults
@pytest.mark.timeout(7_200)
def test_a_kill_at_every_call_that_writes(tmp_path: Path, digests: list[str], tally: Tally) -> None:
    fired: dict[int, bool] = {}

    def one(number: int) -> None:
        root = tmp_path / str(number) / "root"
        root.parent.mkdir()
        with tally.case(FAULT, number) as case:
            fired[number] = killed_at(case, root, number, digests)
        shutil.rmtree(root.parent)

    calls = seeds(range(1, AT_ONCE + 1))
    while not fired or ("SEEDS" not in os.environ and all(fired.values())):  # until none fires
        assert calls[0] < LAST
        side_by_side(one, calls)
        calls = [call + AT_ONCE for call in calls]
