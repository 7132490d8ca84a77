"""What tests of jobs on a cluster need: its address, and the processes that are to be killed."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def ray_address() -> str:
    """The head of the cluster that `make cluster` has started."""
    return os.environ["TRAIND_RAY_ADDRESS"]


class Cluster:
    """A cluster in a process of its own, on loopback."""

    def __init__(self) -> None:
        program = [sys.executable, str(Path(__file__).with_name("cluster_main.py"))]
        self._process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address: str = self.do("add", cpus=0)["address"]
        self.names: dict[str, int] = {}

    def do(self, what: str, **about: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": what, **about}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert answer["ok"], answer
        return answer

    def add(self) -> int:
        return int(self.do("add", cpus=1)["node"])

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture
def small_cluster() -> Iterator[Cluster]:
    """A cluster of a test's own, whose nodes have one core; the head has none."""
    made = Cluster()
    yield made
    made.close()


def processes() -> Iterator[tuple[int, str]]:
    """Yield the pid and the command line of each process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield int(path.parent.name), path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


@pytest.fixture
def gateway_of() -> Callable[[int], Awaitable[int]]:
    """Find the gateway of the server with that pid, once there is one."""

    async def find(server: int) -> int:
        while True:
            for pid, words in processes():
                if "ray.gateway" in words and parent(pid) == server:
                    return pid
            await asyncio.sleep(0.05)

    return find


@pytest.fixture
def seat_of(worker_of: Callable[[str], int]) -> Callable[[str], int]:
    """Find the seat, Ray's actor, that has a job: the parent of the fork server that its process is a child of."""

    def find(job_id: str) -> int:
        return parent(parent(worker_of(job_id)))

    return find
