"""Worker processes seen from the program that holds them: one that dies, and one that has a life of its own."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from traind.service.processes.identity import Identity, is_alive


@pytest.fixture
def environment(repository: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(repository / "tests/service")}


def test_workers_leave_when_their_server_is_killed(
    repository: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """F10: jobs save their place, idle processes leave, and who is deaf, stopped or stuck in C is made to."""
    program = [sys.executable, str(repository / "tests/flow/dying_host.py"), str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as host:
        assert host.stdout is not None
        assert host.stderr is not None
        workers = msgspec.json.decode(host.stdout.readline(), type=dict[str, Identity])
        assert all(is_alive(worker) for worker in workers.values())
        os.kill(workers["frozen"].pid, signal.SIGSTOP)
        host.kill()
        host.wait()
        host.stdout.read()  # nothing holds the server's output any more
        assert host.stderr.read() == b""  # nor is anything said of leaked semaphores
    while [name for name, worker in workers.items() if is_alive(worker)]:
        time.sleep(0.02)  # the test's timeout bounds it
    assert (tmp_path / "obedient/checkpoint").read_text() == "LEAVE"


def test_a_program_that_embeds_workers_stays_as_it_was(
    repository: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """F11, F19, F20: its main module, its fork server, its handlers, and a quiet exit."""
    program = [sys.executable, str(repository / "tests/flow/embedding_host.py"), str(tmp_path)]
    host = subprocess.run(program, capture_output=True, env=environment, check=False, text=True)
    assert (host.returncode, host.stderr) == (0, "")
    seen: dict[str, Any] = json.loads(host.stdout)
    assert seen["kinds"] == ["done", "died", "died", "died"]
    assert seen["before"] == seen["after"]
    assert seen["before"]["main module ran"] == ["__main__", "__mp_main__"]  # the second by its own pool
    assert seen["before"]["heavy modules"] == []
    worker = ast.literal_eval((tmp_path / "facts/facts.txt").read_text())
    assert (worker["main"], worker["marked"]) == ("none", True)
    assert not seen["after"]["its own fork server is marked"]
