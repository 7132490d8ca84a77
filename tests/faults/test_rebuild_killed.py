"""SIGKILL of a server that rebuilds its database, before it answers and after: no job is lost, it begins again."""

import asyncio
import contextlib
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fault_harness import Server, workload
from judge import left_behind
from stores import break_events, grow, opened
from tally import Case, Tally, seeds, side_by_side

from traind.service.jobs.job import Job
from traind.service.record.store import Change
from traind.trainer.contract.events import Status
from traind.trainer.contract.spec import TrainSpec

JOBS = 1_000
LATER_S = 0.2  # how much longer each server may live than the one before
FAULT = "killed while it rebuilds"


async def made(root: Path, *, is_large: bool) -> None:
    """Make a root with many finished jobs and a damaged database; half of the status files are old.

    Of a large one the damage is found while the server answers.
    """
    (root / "artifacts/jobs").mkdir(parents=True)
    store = await opened(root / "artifacts/traind.db")
    changes = []
    for number in range(JOBS):
        job = Job(job_id=f"past_{number}", created_at=1e9 + number, status=Status.COMPLETED, seq=9, spec=TrainSpec())
        changes.append(Change(job, [(9, b"{}")]))
        old = msgspec.structs.replace(job, status=Status.RUNNING, seq=8) if number % 2 else job
        (root / f"artifacts/jobs/{job.job_id}.json").write_bytes(msgspec.json.encode(old))
    await store.commit(changes, is_synced=True)
    await store.set_alias("best", "past_3")
    await store.close()
    if is_large:
        grow(root / "artifacts/traind.db", "past_0")
    break_events(root / "artifacts/traind.db", at_root=not is_large)


def killed_in_rebuilds(case: Case, root: Path, *, is_large: bool) -> None:
    """Kill the server as soon as it rebuilds, and then at random moments until it has; judge."""
    asyncio.run(made(root, is_large=is_large))
    chance, server, work = random.Random(case.seed), Server(root), workload(2, seed=1, epochs=2)
    kept = root / "artifacts"
    while not list(kept.glob("*.damaged-*")):
        server.start()
        until(lambda: (kept / "traind.db.new").exists() or list(kept.glob("*.damaged-*")), server)
        if case.asked:
            server.kill_after(chance.uniform(0.0, LATER_S * case.asked), work, f"r{case.seed}")
        else:
            server.signal(signal.SIGKILL)  # at once: to look for all its processes takes longer than a rebuild
        server.kill()
        case.asked += 1
    server.start()
    assert server.wait_up(), server.tail()
    until(lambda: not list(kept.glob("*.new")), server)
    work.submit(server, f"r{case.seed}")
    server.wait_over(list(work.accepted))
    judge_rebuilt(server, list(work.accepted))
    server.kill()
    case.breaches += left_behind(server)
    (aside,) = kept.glob("*.damaged-*[0-9]")
    assert aside.stat().st_size > 0
    with contextlib.closing(sqlite3.connect(kept / "traind.db")) as database:
        assert database.execute("PRAGMA quick_check").fetchone() == ("ok",)


def judge_rebuilt(server: Server, accepted: list[str]) -> None:
    """See that every job is there, in order and as it was at last."""
    seen: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        page = server.call("GET", f"/api/train/jobs?limit=500{cursor and f'&after={cursor}'}")[1]
        seen, cursor = seen + page["jobs"], page["next"]
    past = [job["job_id"] for job in reversed(seen) if job["job_id"] not in accepted]
    assert past == [f"past_{number}" for number in range(JOBS)]
    assert {job["status"] for job in seen} == {"COMPLETED"}
    assert {job["job_id"] for job in seen} >= set(accepted)
    assert server.call("GET", "/api/models/aliases")[1]["aliases"]["best"]["job_id"] == "past_3"
    for job_id in ("past_0", "past_1"):
        (event,) = server.events(job_id)
        assert (event["seq"], "was lost" in event["message"]) == (9, True)


def until(is_so: Callable[[], object], server: Server) -> None:
    """Wait until something is so that nobody tells."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, server.tail()
        time.sleep(0.001)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("is_large", [False, pytest.param(True, marks=pytest.mark.faults)])
def test_a_server_killed_while_it_rebuilds_its_database_loses_nothing(
    tmp_path: Path, tally: Tally, *, is_large: bool
) -> None:
    with tally.case(FAULT, 1) as case:
        killed_in_rebuilds(case, tmp_path / "root", is_large=is_large)
        assert case.asked > 1, "it was rebuilt before the first kill: the test tests nothing"


@pytest.mark.faults
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("is_large", [False, True])
def test_twenty_rebuilds_killed(tmp_path: Path, tally: Tally, *, is_large: bool) -> None:
    def one(seed: int) -> None:
        with tally.case(FAULT, seed) as case:
            killed_in_rebuilds(case, tmp_path / f"{seed}", is_large=is_large)
        shutil.rmtree(tmp_path / f"{seed}")

    side_by_side(one, seeds(range(2, 12)))
