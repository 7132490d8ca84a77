"""Whatever of a cluster is killed while jobs run, at random and again and again: they make what they would have made.

`TRAIND_CLUSTER_KILLS` says how often; `SEEDS` replays the moments of a run.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
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
) -> Callable[[str, Any, Job], Awaitable[None]]:
    """Kill what is named, of a job or of its server; a node has been replaced before."""
    draw = random.Random(SEED + 1)
    nodes = [small_cluster.add() for _ in range(4)]

    async def end(victim: str, server: Any, job: Job) -> None:
        match victim:
            case "worker":
                os.kill(draw.choice(workers_of(job.job_id)), signal.SIGKILL)
            case "seat":
                os.kill(seat_of(job.job_id), signal.SIGKILL)
            case "gateway":
                os.kill(await gateway_of(server.process.pid), signal.SIGKILL)
            case "server":
                server.kill()
                await asyncio.to_thread(server.start)
            case "node":
                nodes.append(await asyncio.to_thread(small_cluster.add))
                await asyncio.to_thread(small_cluster.do, "kill", node=nodes.pop(draw.randrange(4)))

    return end


@pytest.fixture
async def expected(tmp_path_factory: pytest.TempPathFactory) -> list[str | None]:
    """What each kind of job makes on this machine, undisturbed."""
    async with TrainingService(tmp_path_factory.mktemp("local"), slots=2) as local:
        return [(await local.wait((await local.submit(kind)).job_id)).weights_digest for kind in KINDS]


async def test_jobs_make_the_same_models_whatever_is_killed(
    kill: Callable[[str, Any, Job], Awaitable[None]],
    small_cluster: Any,
    serve: Callable[..., Any],
    expected: list[str | None],
) -> None:
    """A job of one process and one of two, on two nodes, run all the time; another follows where one ends."""
    draw, killed = random.Random(SEED), Counter[str]()
    server = serve("--executor", "ray", "--ray-address", small_cluster.address)
    started: list[tuple[str, int]] = []
    async with Client(server.url) as client:
        while killed.total() < KILLS:
            job = await next_job(client, started, draw.randrange(len(KINDS)))
            victim = VICTIMS[killed.total() % len(VICTIMS)]
            if not await moves(client, job.job_id):
                continue
            await asyncio.sleep(draw.uniform(0.0, LIFE_S))
            before = await client.status(job.job_id)
            if before.status is not Status.RUNNING:
                continue
            try:
                await kill(victim, server, job)
            except (LookupError, ProcessLookupError):  # the job has just ended
                continue
            killed[victim] += 1
            if victim in NOTICED:
                await goes_on(client, job.job_id, before.attempt)
            if await moves(client, job.job_id) and victim in UNNOTICED:
                assert (await client.status(job.job_id)).attempt == before.attempt, victim
        print(f"seed {SEED}: {dict(killed)}, {len(started)} jobs")  # noqa: T201
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


async def moves(client: Client, job_id: str) -> bool:
    """Wait until the job has taken a step from now on; False where it ended first."""
    before = (await client.status(job_id)).seq
    async for event in client.watch(job_id, before):
        if isinstance(event, Progress):
            return True
    return False


async def goes_on(client: Client, job_id: str, attempt: int) -> None:
    """Wait until the job is in a later attempt, or over."""
    async for event in client.watch(job_id):
        if isinstance(event, Progress) and event.attempt > attempt:
            return


async def whole(client: Client, done: Job, expected: str | None) -> None:
    """Check that the job ended well, once, with the model that was expected, and that no event is missing."""
    assert (done.status, done.weights_digest) == (Status.COMPLETED, expected), (done.job_id, done.error)
    events = [event async for event in client.watch(done.job_id)]
    assert [event.seq for event in events] == list(range(1, done.seq + 1))
    assert [event.status for event in events if isinstance(event, State)].count(Status.COMPLETED) == 1
