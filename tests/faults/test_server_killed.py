"""SIGKILL of the server at random moments, also while it recovers: the same models come out."""

import random
import time
from pathlib import Path

import pytest
from fault_harness import Calm, Server, Workload, workload
from judge import judge, left_behind
from tally import Case, Tally, seeds, side_by_side

JOBS = 3
LIFE_S = 6.0  # the longest life: a start takes half of it on a busy machine, and jobs run in the rest


@pytest.fixture(scope="module")
def digests(calm: Calm) -> list[str]:
    """What the jobs' weights must be."""
    return calm(workload(JOBS, seed=1))


def killed_again_and_again(case: Case, root: Path, digests: list[str], kills: int) -> None:
    """Kill the server `kills` times while six jobs are open, of three specs; then let them end, and judge."""
    chance = random.Random(case.seed)
    server, work = Server(root), workload(JOBS, seed=1)
    for _ in range(kills):
        server.start()
        server.kill_after(chance.uniform(0.05, LIFE_S), work, f"s{case.seed}")
        case.asked += 1
    ended_and_judged(case, server, work, digests)


def killed_in_recovery(case: Case, root: Path, digests: list[str], kills: int) -> None:
    """Kill the server while jobs run, and then `kills` times while it recovers from that."""
    chance = random.Random(case.seed)
    server, work = Server(root), workload(JOBS, seed=1)
    server.start()
    assert server.wait_up(), server.tail()
    work.keep_busy(server, f"r{case.seed}")
    while not server.worker_pids():
        time.sleep(0.05)
    server.kill_after(chance.uniform(0.1, 1.0), work, f"r{case.seed}")
    for _ in range(kills):
        server.start()
        server.kill_after(chance.uniform(0.2, 1.5), work, f"r{case.seed}")
        case.asked += 1
    ended_and_judged(case, server, work, digests)


def ended_and_judged(case: Case, server: Server, work: Workload, digests: list[str]) -> None:
    server.start()
    assert server.wait_up(), server.tail()
    assert work.accepted
    server.wait_over(list(work.accepted))
    case.breaches += judge(server, work, digests)
    server.kill()
    case.breaches += left_behind(server)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_server_killed_at_random_moments_loses_nothing(tmp_path: Path, digests: list[str], tally: Tally) -> None:
    with tally.case("server killed", 11) as case:
        killed_again_and_again(case, tmp_path / "root", digests, kills=5)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_server_killed_while_it_recovers_loses_nothing(tmp_path: Path, digests: list[str], tally: Tally) -> None:
    with tally.case("server killed in recovery", 12) as case:
        killed_in_recovery(case, tmp_path / "root", digests, kills=2)


@pytest.mark.faults
@pytest.mark.timeout(3_600)
def test_three_hundred_kills(tmp_path: Path, digests: list[str], tally: Tally) -> None:
    def one(seed: int) -> None:
        with tally.case("server killed", seed) as case:
            killed_again_and_again(case, tmp_path / str(seed), digests, kills=20)

    side_by_side(one, seeds(range(100, 115)))


@pytest.mark.faults
@pytest.mark.timeout(3_600)
def test_fifty_kills_during_recovery(tmp_path: Path, digests: list[str], tally: Tally) -> None:
    def one(seed: int) -> None:
        with tally.case("server killed in recovery", seed) as case:
            killed_in_recovery(case, tmp_path / str(seed), digests, kills=10)

    side_by_side(one, seeds(range(200, 205)))
