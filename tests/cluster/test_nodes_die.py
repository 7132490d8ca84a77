"""Nodes, and the head, of a cluster that die under running jobs: nothing is lost, and the model is the same.

Each test has a cluster of its own, whose health checks are quick. `CLUSTER_DEATHS` says how many nodes are killed.
"""

import asyncio
import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from traind import Checkpoint, Client, Progress, State, Status, TrainingService
from traind.service.jobs.job import Job

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
SPEC: dict[str, Any] = {"batch_size": 16, "synthetic": {"rows": 2000}, "checkpoint_every": 0.2, "epochs": 200}
DEATHS = int(os.environ.get("CLUSTER_DEATHS", "3"))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of what the job makes on this machine, undisturbed."""

    async def train() -> str:
        async with TrainingService(tmp_path_factory.mktemp("local"), slots=1) as service:
            done = await service.wait((await service.submit(SPEC)).job_id)
            assert done.weights_digest is not None
            return done.weights_digest

    return asyncio.run(train())


async def until(client: Client, job_id: str, kind: type[Any], attempt: int) -> Any:
    async for event in client.watch(job_id):
        if isinstance(event, kind) and (event.attempt or 0) >= attempt:
            return event
    raise AssertionError("the job ended first")


async def whole(client: Client, job: Job, expected: str) -> Job:
    done = await client.wait(job.job_id)
    assert (done.status, done.crashes, done.weights_digest) == (Status.COMPLETED, 0, expected), done.error
    events = [event async for event in client.watch(job.job_id)]
    assert [event.seq for event in events] == list(range(1, done.seq + 1))
    assert [e.status for e in events if isinstance(e, State)].count(Status.COMPLETED) == 1
    return done


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_job_whose_node_goes_goes_on_elsewhere(
    small_cluster: Any, serve: Callable[..., Any], expected: str, how: str
) -> None:
    seed = random.randrange(10**6)
    print(f"{how}: {DEATHS} deaths, seed {seed}")  # noqa: T201
    draw = random.Random(seed)
    nodes = [small_cluster.add()]
    server = serve("--executor", "ray", "--ray-address", small_cluster.address)
    async with Client(server.url) as client:
        job = await client.submit(SPEC)
        for death in range(1, DEATHS + 1 if how == "kill" else 2):
            reached = await until(client, job.job_id, Checkpoint, death)
            nodes.append(await asyncio.to_thread(small_cluster.add))  # where it will go on
            await asyncio.sleep(draw.random())
            if (await client.status(job.job_id)).status is not Status.RUNNING:
                break
            await asyncio.to_thread(small_cluster.do, how, node=nodes[-2])
            again = await until(client, job.job_id, Progress, death + 1)
            assert again.step > 0
            assert (await client.status(job.job_id)).resumed_from_step >= reached.step
        await whole(client, job, expected)


async def test_a_job_whose_cluster_goes_waits_for_the_next_one(
    small_cluster: Any, serve: Callable[..., Any], expected: str
) -> None:
    small_cluster.add()
    server = serve("--executor", "ray", "--ray-address", small_cluster.address)
    async with Client(server.url) as client:
        job = await client.submit(SPEC)
        await until(client, job.job_id, Checkpoint, 1)
        await asyncio.to_thread(small_cluster.do, "restart")
        await asyncio.to_thread(small_cluster.add)
        await whole(client, job, expected)
