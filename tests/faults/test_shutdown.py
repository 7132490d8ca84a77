"""SIGTERM and Ctrl-C: every running job writes a checkpoint, the server leaves in time, the next one goes on."""

import signal
import time
from pathlib import Path

import pytest
from fault_harness import Calm, Server, Workload, workload
from judge import judge


def running(root: Path) -> tuple[Server, Workload]:
    server, work = Server(root), workload(3, seed=1)
    server.start()
    assert server.wait_up(), server.tail()
    work.submit(server, "t")
    while not any(job["step"] for job in server.jobs()):
        time.sleep(0.02)
    return server, work


@pytest.mark.faults
@pytest.mark.timeout(180)
@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGINT, signal.SIGINT]])
def test_a_server_that_is_told_to_leave_loses_nothing(tmp_path: Path, calm: Calm, numbers: list[int]) -> None:
    digests = calm(workload(3, seed=1))
    server, work = running(tmp_path / "root")
    for number in numbers:
        server.signal(number)
        time.sleep(0.05)
    code = server.wait_left(timeout_s=15)
    assert code == 0 if len(numbers) == 1 else code == 130
    assert server.left_behind() == []
    server.start()
    assert server.wait_up(), server.tail()
    if len(numbers) == 1:
        assert any((job["resumed_from_step"] or 0) > 0 or job["checkpoint"] for job in server.jobs())
    server.wait_over(list(work.accepted))
    assert judge(server, work, digests) == []
    server.kill()


@pytest.mark.timeout(60)
def test_a_checkpoint_that_an_orphan_wrote_is_found_and_gone_on_from(tmp_path: Path) -> None:
    server = Server(tmp_path / "root")
    server.start()
    assert server.wait_up(), server.tail()
    spec = {"epochs": 1_000, "patience": None, "checkpoint_every": 3_600, "job_id": "long"}
    assert server.call("POST", "/api/train", spec)[0] == 202
    while not server.status("long")["step"]:
        time.sleep(0.02)
    assert server.status("long")["checkpoint"] is None
    server.kill()
    assert server.left_behind() == []
    server.start()
    assert server.wait_up(), server.tail()
    while server.status("long")["resumed_from_step"] is None:
        time.sleep(0.02)
    told = [(event["type"], event.get("reason"), event.get("step")) for event in server.events("long")]
    requeued = told.index(("state", "server_restart", None))
    assert told[requeued - 1] == ("checkpoint", None, server.status("long")["resumed_from_step"])
    server.kill()
    assert server.left_behind() == []


@pytest.mark.timeout(60)
def test_a_second_server_on_the_same_root_is_refused_in_a_sentence(tmp_path: Path) -> None:
    server, second = Server(tmp_path / "root"), Server(tmp_path / "root")
    second.log = tmp_path / "second.log"
    server.start()
    assert server.wait_up(), server.tail()
    second.start()
    assert second.process is not None
    assert second.process.wait(30) != 0
    assert "holds the root" in second.tail()
    assert "Traceback" not in second.tail()
    second.process = None
    server.kill()
