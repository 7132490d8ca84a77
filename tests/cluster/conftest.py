"""What tests of jobs on a cluster need: its address, and the processes that are to be killed."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def ray_address() -> str:
    """The head of the cluster that `make cluster` has started."""
    return os.environ["TRAIND_RAY_ADDRESS"]


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
