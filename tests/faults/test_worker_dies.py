"""Every way a worker can go: the right code, the job's last words, and nobody else notices."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_harness import Calm, Server, Workload, workload
from judge import judge, left_behind
from tally import Case, Tally, seeds, side_by_side

HERE = Path(__file__).parent
WAYS = {  # how it goes wrong -> how the job ends, and with which code
    "exit": ("FAILED", "trainer_error"),
    "os_exit": ("FAILED", "crash_loop"),
    "os_exit_0": ("FAILED", "crash_loop"),
    "abort": ("FAILED", "crash_loop"),
    "segfault": ("FAILED", "crash_loop"),
    "kill": ("FAILED", "crash_loop"),
    "term": ("FAILED", "crash_loop"),
    "freeze": ("FAILED", "crash_loop"),
    "hang": ("FAILED", "crash_loop"),
    "interrupt": ("FAILED", "trainer_error"),
    "raise": ("FAILED", "trainer_error"),
    "unpicklable": ("FAILED", "trainer_error"),
    "unloadable": ("FAILED", "trainer_error"),
    "memory": ("FAILED", "out_of_memory"),
    "nothing": ("FAILED", "trainer_error"),
    "print": ("COMPLETED", None),
    "fork": ("COMPLETED", None),
    "thread": ("COMPLETED", None),
}
USUAL = {"exit", "segfault", "kill", "hang", "raise", "memory", "print", "fork"}  # the rest is of the long runs


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows the misbehaving trainer, sees hangs soon, and limits memory."""
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    os.environ["PYTHONPATH"] = path
    flags = ("--trainers", '{"bad": "misbehaving:train"}', "--hang-s", "2", "--grace-s", "2")
    server = Server(tmp_path_factory.mktemp("dies") / "root", *flags, "--worker-memory-bytes", str(300 * 2**20))
    server.start()
    assert server.wait_up(), server.tail()
    yield server
    server.kill()
    assert server.left_behind() == []


def submit(server: Server, spec: dict[str, Any]) -> str:
    code, answer = server.call("POST", "/api/train", spec)
    assert code == 202, answer
    return str(answer["job_id"])


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "how", [pytest.param(way, marks=[] if way in USUAL else [pytest.mark.faults]) for way in WAYS]
)
def test_a_trainer_that_goes_wrong_ends_its_own_job_only(server: Server, how: str) -> None:
    good = submit(server, {"epochs": 2, "synthetic": {"rows": 500, "columns": 2}})
    bad = submit(server, {"trainer": "bad", "options": {"how": how}, "max_attempts": 2})
    server.wait_over([good, bad], timeout_s=90)
    status, code = WAYS[how]
    job = server.status(bad)
    assert (job["status"], (job["error"] or {}).get("code")) == (status, code), job
    assert server.status(good)["status"] == "COMPLETED"
    assert server.call("GET", "/health")[1]["problems"] == []
    if how == "raise":
        assert "the trainer's own words" in job["error"]["output"]
    if how == "print":
        logs = server.root / "artifacts/checkpoints" / bad / "attempt-1/output.log"
        assert logs.stat().st_size < 64 * 2**20
    assert judge(server, Workload([], {bad: 0, good: 0}), None) == []


def test_a_trainer_that_ignores_stop_is_killed_and_its_model_made_from_the_last_checkpoint(server: Server) -> None:
    bad = submit(server, {"trainer": "bad", "options": {"how": "hang", "at": 35}, "max_attempts": 2})
    while server.status(bad)["checkpoint"] is None or server.status(bad)["step"] < 30:
        time.sleep(0.02)
    code, answer = server.call("POST", "/api/train/stop", {"job_id": bad})
    assert (code, answer["ok"]) == (200, True)
    server.wait_over([bad], timeout_s=60)
    job = server.status(bad)
    assert (job["status"], job["error"]) == ("STOPPED", None)
    assert (server.root / job["model"]).exists()


def killed_workers(case: Case, root: Path, calm: Calm, count: int, number: int) -> None:
    """Send running workers a deadly signal `count` times; the models must be those of an undisturbed run."""
    chance = random.Random(case.seed)
    work = workload(3, seed=1)
    digests = calm(work)
    server = Server(root, "--hang-s", "1", "--grace-s", "5")
    server.start()
    assert server.wait_up(), server.tail()
    for spec in work.specs:
        spec["max_attempts"] = 100
    while case.asked < count:
        work.keep_busy(server, f"w{case.seed}")
        time.sleep(chance.uniform(0.02, 0.4))
        if pids := server.worker_pids():
            with contextlib.suppress(ProcessLookupError):  # its job has ended meanwhile
                os.kill(chance.choice(pids), number)
                case.asked += 1
    server.wait_over(list(work.accepted))
    case.breaches += judge(server, work, digests)
    server.kill()
    case.breaches += left_behind(server)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_killed_workers_are_followed_by_ones_that_make_the_same_models(
    tmp_path: Path, calm: Calm, tally: Tally
) -> None:
    with tally.case("worker SIGKILL", 21) as case:
        killed_workers(case, tmp_path / "root", calm, count=6, number=signal.SIGKILL)


@pytest.mark.faults
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_hundred_workers_killed_and_a_hundred_frozen(
    tmp_path: Path, calm: Calm, tally: Tally, number: signal.Signals
) -> None:
    def one(seed: int) -> None:
        with tally.case(f"worker {number.name}", seed) as case:
            killed_workers(case, tmp_path / str(seed), calm, count=25, number=number)

    side_by_side(one, seeds(range(300, 304)))
