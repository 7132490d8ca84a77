"""Whatever of a cluster is killed while jobs run, at random and again and again: they make what they would have made.

`TRAIND_CLUSTER_KILLS` says how often; `SEEDS` replays the moments of a run.
"""

import asyncio
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from itertools import pairwise
from statistics import median
from typing import Any

import pytest

from traind import Client, Progress, State, Status, TrainingService
from traind.service.jobs.job import TERMINAL, Job

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7_200)]
KILLS = int(os.environ.get("TRAIND_CLUSTER_KILLS", "100"))
SEED = int(os.environ.get("SEEDS", "").split(",")[0] or time.time_ns() % 10**6)
LIFE_S = 1.5  # of what is killed next, at most, once a job has moved
VICTIMS = ("node", "worker", "seat", "gateway", "server")  # the effect of one that is noticed is waited for
UNNOTICED = {"gateway", "server"}  # a job goes on where it is
NOTICED = {"worker", "seat"}  # its attempt ends; of a node, if it was the job's
ALONE: dict[str, Any] = {
    "batch_size": 16,
    "synthetic": {"rows": 2_000},
    "checkpoint_every": 0.2,
    "epochs": 200,
    "patience": None,
    "max_attempts": 100,
}
KINDS = (ALONE, ALONE | {"workers": 2, "epochs": 20, "model": {"kind": "mlp", "hidden": [16]}})


@pytest.fixture
def kill(
    small_cluster: Any,
    seat_of: Callable[[str], int],
    workers_of: Callable[[str], list[int]],
    gateway_of: Callable[[int], Awaitable[int]],
) -> Callable[[str, Any, Job], Awaitable[float]]:
    """Kill what is named, of a job or of its server, and return when; a node has been replaced before."""
    draw = random.Random(SEED + 1)
    nodes = [small_cluster.add() for _ in range(4)]

    async def end(victim: str, server: Any, job: Job) -> float:
        if victim == "server":
            server.kill()
            killed_at = time.time()
            await asyncio.to_thread(server.start)
            return killed_at
        match victim:
            case "worker":
                os.kill(draw.choice(workers_of(job.job_id)), signal.SIGKILL)
            case "seat":
                os.kill(seat_of(job.job_id), signal.SIGKILL)
            case "gateway":
                os.kill(await gateway_of(server.process.pid), signal.SIGKILL)
            case "node":
                nodes.append(await asyncio.to_thread(small_cluster.add))
                await asyncio.to_thread(small_cluster.do, "kill", node=nodes.pop(draw.randrange(4)))
        return time.time()

    return end


@pytest.fixture
async def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str | None]:
    """What each kind of job makes on this machine, undisturbed."""
    async with TrainingService(tmp_path_factory.mktemp("local"), slots=2) as local:
        return [(await local.wait((await local.submit(kind)).job_id)).weights_digest for kind in KINDS]


async def test_jobs_make_the_same_models_whatever_is_killed(
    kill: Callable[[str, Any, Job], Awaitable[float]],
    small_cluster: Any,
    serve: Callable[..., Any],
    expected: list[str | None],
) -> None:
    """A job of one process and one of two, on two nodes, run all the time; another follows where one ends."""
    draw, killed = random.Random(SEED), 0
    pauses: defaultdict[str, list[float]] = defaultdict(list)
    server = serve("--executor", "ray", "--ray-address", small_cluster.address)
    started: list[tuple[str, int]] = []
    async with Client(server.url) as client:
        while killed < KILLS:
            job = await next_job(client, started, draw.randrange(len(KINDS)))
            victim = VICTIMS[killed % len(VICTIMS)]
            if await moves(client, job.job_id, time.time()) is None:
                continue
            await asyncio.sleep(draw.uniform(0.0, LIFE_S))
            before = await client.status(job.job_id)
            if before.status is not Status.RUNNING:
                continue
            try:
                killed_at = await kill(victim, server, job)
            except (LookupError, ProcessLookupError):  # the job has just ended
                continue
            killed += 1
            attempt = await moves(client, job.job_id, killed_at, before.attempt + (victim in NOTICED))
            if attempt is not None:
                assert attempt == before.attempt or victim not in UNNOTICED, victim
                is_hit = victim == "node" and attempt > before.attempt
                pauses[f"{victim} of the job" if is_hit else victim].append(time.time() - killed_at)
        print(f"seed {SEED}: {killed} kills, {len(started)} jobs; median (most) seconds to the next step:")  # noqa: T201
        for victim, seconds in sorted(pauses.items()):
            print(f"  {victim}, {len(seconds)} times: {median(seconds):.1f} ({max(seconds):.1f})")  # noqa: T201
        assert None not in expected
        for job_id, kind in started:
            await whole(client, await client.wait(job_id), expected[kind])


async def next_job(client: Client, started: list[tuple[str, int]], kind: int) -> Job:
    """Return the unfinished job of that kind, submitted where there is none."""
    for job_id, its_kind in started[-4:]:
        if its_kind == kind and (job := await client.status(job_id)).status not in TERMINAL:
            return job
    job = await client.submit(KINDS[kind])
    started.append((job.job_id, kind))
    return job


async def moves(client: Client, job_id: str, since: float, attempt: int = 1) -> int | None:
    """Wait until the job reports a step that it took later, in this attempt or a later one; return which.

    None where it ended first.
    """
    async for event in client.watch(job_id, (await client.status(job_id)).seq):
        if isinstance(event, Progress) and event.ts > since and event.attempt >= attempt:
            return event.attempt
    return None


async def whole(client: Client, done: Job, expected: str | None) -> None:
    """Check that the job ended well, once, with the expected model, without an event missing or a step repeated."""
    assert (done.status, done.weights_digest) == (Status.COMPLETED, expected), (done.job_id, done.error)
    events = [event async for event in client.watch(done.job_id)]
    assert [event.seq for event in events] == list(range(1, done.seq + 1))
    assert [event.status for event in events if isinstance(event, State)].count(Status.COMPLETED) == 1
    steps: defaultdict[int, list[int]] = defaultdict(list)
    for event in events:
        if isinstance(event, Progress):
            steps[event.attempt].append(event.step)
    for attempt, taken in steps.items():
        assert all(one < next_one for one, next_one in pairwise(taken)), (done.job_id, attempt, taken)
