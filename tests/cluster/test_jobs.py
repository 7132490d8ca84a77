"""Jobs on a real Ray cluster of several nodes, as the users of a server see them, and what may die under them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from traind import Checkpoint, Client, Epoch, Progress, State, Status, TrainingService, load_model
from traind.service.executor.ray.connect import CannotJoin, check_guarded
from traind.service.jobs.job import TERMINAL, Job

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
SMALL: dict[str, Any] = {"batch_size": 16, "synthetic": {"rows": 2000}, "checkpoint_every": 0.2, "epochs": 200}
UNENDING = SMALL | {"epochs": 100_000}
UNFINISHED = [status for status in Status if status not in TERMINAL]


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, make_server: Callable[..., Any], ray_address: str
) -> Iterator[Any]:
    """A server whose jobs run on the cluster."""
    flags = ("--executor", "ray", "--ray-address", ray_address, "--slots", "2")
    server = make_server(tmp_path_factory.mktemp("cluster"), *flags).start()
    yield server
    assert server.stop() == 0
    server.check_nothing_is_left()


@pytest.fixture
async def client(shared: Any) -> AsyncIterator[Client]:
    async with Client(shared.url) as opened:
        yield opened
        for job in (await opened.jobs(UNFINISHED)).jobs:
            await opened.cancel(job.job_id)
            await opened.wait(job.job_id)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of what `SMALL` makes on this machine's own slots, undisturbed."""

    async def train() -> str:
        async with TrainingService(tmp_path_factory.mktemp("local"), slots=1) as service:
            done = await service.wait((await service.submit(SMALL)).job_id)
            assert done.weights_digest is not None
            return done.weights_digest

    return asyncio.run(train())


async def until(client: Client, job_id: str, kind: type[Any], *, attempt: int = 1, after: int = 0) -> Any:
    async for event in client.watch(job_id, after):
        if isinstance(event, kind) and event.attempt is not None and event.attempt >= attempt:
            return event
    raise AssertionError("the job ended first")


async def ended_whole(client: Client, job: Job) -> Job:
    """Wait for the job's end and look at all its events: none is missing, and each comes once."""
    done = await client.wait(job.job_id)
    events = [event async for event in client.watch(job.job_id)]
    assert [event.seq for event in events] == list(range(1, done.seq + 1))
    return done


def steps_of(events: list[Any], attempt: int) -> list[int]:
    return [event.step for event in events if isinstance(event, Progress) and event.attempt == attempt]


async def test_a_job_makes_the_same_model_as_on_this_machine(shared: Any, client: Client, expected: str) -> None:
    done = await ended_whole(client, await client.submit(SMALL))
    assert (done.status, done.attempt, done.weights_digest) == (Status.COMPLETED, 1, expected), done.error
    assert load_model(shared.root / f"models/{done.job_id}.pt").predict([{f"x{n}": 0.0 for n in range(1, 9)}])
    cluster = (await client.health())["cluster"]
    assert cluster["is_joined"]
    assert [node["cores"] for node in cluster["nodes"]].count(2.0) == 2
    states = [event async for event in client.watch(done.job_id) if isinstance(event, State)]
    assert states[1].node is not None


async def test_a_data_set_is_on_its_node_by_digest(client: Client, houses: Path) -> None:
    await client.put_dataset("houses", houses)
    for _ in range(2):
        job = await ended_whole(client, await client.submit(dataset="houses", target="price", epochs=2))
        assert job.status is Status.COMPLETED, job.error
        assert job.metrics["validation"]["rmse"] < job.metrics["baseline"]["rmse"]


async def test_pause_keeps_the_place_and_stop_the_model(client: Client, expected: str) -> None:
    job = await client.submit(SMALL)
    await until(client, job.job_id, Checkpoint)
    await client.pause(job.job_id)
    async for event in client.watch(job.job_id):
        if isinstance(event, State) and event.status is Status.PAUSED:
            break
    await client.resume(job.job_id)
    done = await ended_whole(client, job)
    assert (done.status, done.attempt, done.weights_digest) == (Status.COMPLETED, 2, expected)
    endless = await client.submit(UNENDING)
    epoch = await until(client, endless.job_id, Epoch)
    await until(client, endless.job_id, Checkpoint, after=epoch.seq)
    running = await client.predict(endless.job_id, [{f"x{n}": 0.0 for n in range(1, 9)}])
    assert len(running.predictions) == 1
    await client.stop(endless.job_id)
    stopped = await ended_whole(client, endless)
    assert stopped.status is Status.STOPPED
    assert stopped.model is not None


async def test_cancel_keeps_nothing(shared: Any, client: Client) -> None:
    job = await client.submit(UNENDING)
    await until(client, job.job_id, Checkpoint)
    await client.cancel(job.job_id)
    assert (await ended_whole(client, job)).status is Status.CANCELLED
    while (shared.root / f"artifacts/checkpoints/{job.job_id}").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def test_a_job_that_no_node_can_take_says_so_and_holds_up_nobody(client: Client) -> None:
    wide = await client.submit(SMALL | {"threads": 64})
    other = await client.wait((await client.submit(SMALL | {"epochs": 1})).job_id)
    assert other.status is Status.COMPLETED
    waiting = await client.status(wide.job_id)
    assert waiting.status is Status.QUEUED
    assert "no node with 64 cores; largest: 2" in waiting.message


async def test_a_killed_worker_is_resumed(client: Client, worker_of: Callable[[str], int], expected: str) -> None:
    job = await client.submit(SMALL)
    await until(client, job.job_id, Checkpoint)
    os.kill(worker_of(job.job_id), signal.SIGKILL)
    done = await ended_whole(client, job)
    assert (done.status, done.attempt, done.crashes) == (Status.COMPLETED, 2, 1)
    assert done.weights_digest == expected


async def test_a_killed_seat_is_no_crash_of_the_job(
    client: Client, seat_of: Callable[[str], int], expected: str
) -> None:
    job = await client.submit(SMALL)
    await until(client, job.job_id, Checkpoint)
    os.kill(seat_of(job.job_id), signal.SIGKILL)
    done = await ended_whole(client, job)
    assert (done.status, done.attempt, done.crashes) == (Status.COMPLETED, 2, 0)
    assert done.weights_digest == expected
    reasons = [event.reason async for event in client.watch(job.job_id) if isinstance(event, State)]
    assert "node_lost" in reasons


async def test_a_killed_gateway_is_a_pause_for_watchers_and_nothing_for_the_job(
    shared: Any, client: Client, gateway_of: Callable[[int], Awaitable[int]], expected: str
) -> None:
    job = await client.submit(SMALL)
    for _ in range(2):
        event = await until(client, job.job_id, Checkpoint)
        os.kill(await gateway_of(shared.process.pid), signal.SIGKILL)
        await until(client, job.job_id, Progress, after=event.seq)
    done = await ended_whole(client, job)
    assert (done.status, done.attempt, done.weights_digest) == (Status.COMPLETED, 1, expected)
    steps = steps_of([event async for event in client.watch(job.job_id)], 1)
    assert steps == sorted(set(steps))


async def test_a_killed_server_takes_its_jobs_up_without_repeating_a_step(
    serve: Callable[..., Any], ray_address: str, expected: str
) -> None:
    server = serve("--executor", "ray", "--ray-address", ray_address)
    async with Client(server.url) as client:
        job = await client.submit(SMALL)
        await until(client, job.job_id, Checkpoint)
        server.kill()
        await asyncio.to_thread(server.start)
        done = await ended_whole(client, job)
        assert (done.status, done.attempt, done.weights_digest) == (Status.COMPLETED, 1, expected)
        steps = steps_of([event async for event in client.watch(job.job_id)], 1)
        assert steps == sorted(set(steps))


async def test_a_server_that_stays_away_finds_a_checkpoint_of_its_last_moment(
    serve: Callable[..., Any], ray_address: str, worker_of: Callable[[str], int]
) -> None:
    server = serve("--executor", "ray", "--ray-address", ray_address, "--ray-lease-s", "3")
    async with Client(server.url) as client:
        job = await client.submit(UNENDING)
        await until(client, job.job_id, Checkpoint)
        worker = worker_of(job.job_id)
        server.kill()
        while Path(f"/proc/{worker}").exists():  # its lease has run out: it leaves  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await asyncio.to_thread(server.start)
        resumed = await until(client, job.job_id, Progress, attempt=2)
        events = [event for event in (await events_so_far(client, job.job_id)) if isinstance(event, Progress)]
        before = max(event.step for event in events if event.attempt == 1)
        assert resumed.step > before
        assert (await client.status(job.job_id)).crashes == 0
        await client.cancel(job.job_id)
        await client.wait(job.job_id)


async def events_so_far(client: Client, job_id: str) -> list[Any]:
    last = (await client.status(job_id)).seq
    seen = []
    async for event in client.watch(job_id):
        seen.append(event)
        if event.seq == last:
            break
    return seen


def test_a_cluster_that_asks_nobody_for_a_token_is_refused(
    ray_address: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    check_guarded(ray_address)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    unguarded = request.getfixturevalue("small_cluster").address
    with pytest.raises(CannotJoin, match="asks nobody for a token") as refused:
        check_guarded(unguarded)
    assert refused.value.is_final


async def test_a_wrong_token_is_said_and_the_server_answers(
    serve: Callable[..., Any], ray_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    server = serve("--executor", "ray", "--ray-address", ray_address)
    async with Client(server.url) as client:
        waiting = await client.submit(SMALL)
        problems: list[str] = []
        while "token" not in " ".join(problems):
            await asyncio.sleep(0.1)
            problems = (await client.health())["problems"]
        assert "Set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" in problems[0]
        assert (await client.status(waiting.job_id)).status is Status.QUEUED
