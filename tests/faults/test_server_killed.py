"""SIGKILL of the server at random moments, also while it recovers: the same models come out."""

import random
import time
from pathlib import Path

import pytest
from fault_harness import Calm, Server, judge, workload

JOBS = 6


@pytest.fixture(scope="module")
def digests(calm: Calm) -> list[str]:
    """What the jobs' weights must be."""
    return calm(workload(JOBS, seed=1))


def killed_again_and_again(root: Path, digests: list[str], seed: int, kills: int, *, in_recovery: bool) -> None:
    """Kill the server `kills` times while the jobs run; then let them end, and judge."""
    chance = random.Random(seed)
    server = Server(root)
    work = workload(JOBS, seed=1)
    server.start()
    assert server.wait_up(), server.tail()
    work.submit(server, f"s{seed}")
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, 2.0))
        server.kill()
        server.start()
        if in_recovery:
            time.sleep(chance.uniform(0.1, 1.0))
            server.kill()
            server.start()
        assert server.wait_up(), server.tail()
    server.wait_over(list(work.accepted))
    breaches = judge(server, work, digests)
    server.kill()
    assert (breaches, server.left_behind()) == ([], []), f"seed {seed}\n{server.tail()}"


@pytest.mark.timeout(300)
def test_a_server_killed_at_random_moments_loses_nothing(tmp_path: Path, digests: list[str]) -> None:
    killed_again_and_again(tmp_path / "root", digests, seed=11, kills=5, in_recovery=False)


@pytest.mark.timeout(300)
def test_a_server_killed_while_it_recovers_loses_nothing(tmp_path: Path, digests: list[str]) -> None:
    killed_again_and_again(tmp_path / "root", digests, seed=12, kills=2, in_recovery=True)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(100, 130))
def test_three_hundred_kills(tmp_path: Path, digests: list[str], seed: int) -> None:
    killed_again_and_again(tmp_path / "root", digests, seed=seed, kills=10, in_recovery=False)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(200, 210))
def test_fifty_kills_during_recovery(tmp_path: Path, digests: list[str], seed: int) -> None:
    killed_again_and_again(tmp_path / "root", digests, seed=seed, kills=5, in_recovery=True)
