"""What the service is for, as its users would try it: real server, real workers, real kills."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from traind import Checkpoint, Client, Epoch, Progress, State, Status, load_model
from traind.service.jobs.job import TERMINAL

SMALL: dict[str, Any] = {"batch_size": 16, "synthetic": {"rows": 2000}, "checkpoint_every": 0.2}
UNFINISHED = [status for status in Status if status not in TERMINAL]
UNENDING: dict[str, Any] = SMALL | {"epochs": 100_000}


async def until_progress(client: Client, job_id: str, *, step: int = 1, attempt: int = 1) -> Progress:
    """Wait until a job has taken `step` steps in its `attempt`."""
    async for event in client.watch(job_id):
        if isinstance(event, Progress) and event.step >= step and event.attempt >= attempt:
            return event
    raise AssertionError("the job ended first")


async def until_checkpoint(client: Client, job_id: str, *, after_epochs: int = 0) -> None:
    """Wait until a checkpoint is written that has seen so many epochs."""
    epochs = 0
    async for event in client.watch(job_id):
        epochs += isinstance(event, Epoch)
        if isinstance(event, Checkpoint) and epochs >= after_epochs:
            return
    raise AssertionError("the job ended first")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, make_server: Callable[..., Any]) -> Iterator[Any]:
    """A server with two slots."""
    server = make_server(tmp_path_factory.mktemp("story"), "--slots", "2").start()
    yield server
    assert server.stop() == 0
    server.check_nothing_is_left()


@pytest.fixture
async def client(shared: Any) -> AsyncIterator[Client]:
    """A client of it. The jobs that a test leaves unfinished are cancelled."""
    async with Client(shared.url) as opened:
        yield opened
        for job in (await opened.jobs(UNFINISHED)).jobs:
            await opened.cancel(job.job_id)
            await opened.wait(job.job_id)


@pytest.mark.anywhere
async def test_the_promised_files_are_whole_and_true(shared: Any, client: Client, houses: Path) -> None:
    await client.put_dataset("houses", houses)
    job = await client.wait((await client.submit(dataset="houses", target="price", epochs=2)).job_id)
    told = json.loads((shared.root / f"artifacts/jobs/{job.job_id}.json").read_bytes())
    assert (told["status"], told["progress"], told["epoch"]) == ("COMPLETED", 100.0, 2)
    model = load_model(shared.root / f"models/{job.job_id}.pt")
    rows = [
        {name: value for name, value in zip(header, row, strict=True) if name != "price"}
        for preview in [await client.preview("houses", rows=5)]
        for header in [[column["name"] for column in preview["columns"]]]
        for row in preview["rows"]
    ]
    here, there = model.predict(rows), (await client.predict(job.job_id, rows)).predictions
    assert list(here) == pytest.approx(there)
    assert job.metrics["validation"]["rmse"] < job.metrics["baseline"]["rmse"]


@pytest.mark.anywhere_long
async def test_a_killed_worker_is_resumed_and_another_job_does_not_notice(
    client: Client, worker_of: Callable[[str], int]
) -> None:
    killed, other = [await client.submit(UNENDING) for _ in range(2)]
    await until_progress(client, other.job_id)
    await until_checkpoint(client, killed.job_id)
    pid = worker_of(killed.job_id)
    os.kill(pid, signal.SIGKILL)
    again = await until_progress(client, killed.job_id, attempt=2)
    after = await client.status(killed.job_id)
    assert (after.attempt, after.crashes) == (2, 1)
    assert worker_of(killed.job_id) != pid
    assert again.step > 0
    unmoved = await client.status(other.job_id)
    assert (unmoved.attempt, unmoved.crashes, unmoved.status) == (1, 0, Status.RUNNING)


@pytest.mark.anywhere
async def test_a_third_job_waits_for_one_of_two_slots(client: Client) -> None:
    first, second, third = [await client.submit(UNENDING) for _ in range(3)]
    await asyncio.gather(until_progress(client, first.job_id), until_progress(client, second.job_id))
    waiting = await client.status(third.job_id)
    assert (waiting.status, waiting.queue_position, waiting.attempt) == (Status.QUEUED, 1, 0)
    health = await client.health()
    assert (health["slots"], health["queued"]) == ({"busy": 2, "total": 2}, 1)
    await client.stop(first.job_id)
    assert (await client.wait(first.job_id)).status is Status.STOPPED
    await until_progress(client, third.job_id)


@pytest.mark.anywhere
async def test_predictions_are_answered_while_every_slot_trains(client: Client) -> None:
    model = await client.wait((await client.submit(SMALL | {"epochs": 1})).job_id)
    busy = [await client.submit(UNENDING) for _ in range(2)]
    for job in busy:
        await until_checkpoint(client, job.job_id, after_epochs=1)
    rows = [{f"x{column}": 0.1 * row for column in range(1, 9)} for row in range(100)]
    prediction = await client.predict(model.job_id, rows)
    assert len(prediction.predictions) == 100
    running = await client.predict(busy[0].job_id, rows)  # the best so far of a job that still runs
    assert len(running.predictions) == 100
    for job in busy:
        assert (await client.status(job.job_id)).status is Status.RUNNING


@pytest.mark.anywhere
async def test_a_websocket_that_comes_back_sees_every_event_once(shared: Any, client: Client) -> None:
    job = await client.submit(SMALL | {"epochs": 20})
    seen: list[int] = []
    async with aiohttp.ClientSession() as session:
        ended = False
        while not ended:
            after = seen[-1] if seen else 0
            url = f"{shared.url}/api/train/ws?job_id={job.job_id}&after={after}"
            async with session.ws_connect(url) as socket:
                taken = 0
                async for message in socket:
                    event = json.loads(message.data)
                    seen.append(event["seq"])
                    taken += 1
                    if event.get("status") == "COMPLETED":
                        ended = True
                    elif taken == 7:
                        break  # leave without a word, and come back
                if ended:
                    assert socket.close_code == 1000
    assert seen == list(range(1, (await client.status(job.job_id)).seq + 1))


@pytest.mark.anywhere_long
async def test_a_killed_server_goes_on_by_itself_and_makes_the_same_model(
    serve: Callable[..., Any], is_on_cluster: bool
) -> None:
    server = serve("--slots", "1")
    async with Client(server.url) as client:
        await _kill_and_compare(server, client, 1 if is_on_cluster else 2)  # there it is taken up where it is


async def _kill_and_compare(server: Any, client: Client, attempts: int) -> None:
    spec = SMALL | {"epochs": 60}
    undisturbed = await client.submit(spec)
    expected = (await client.wait(undisturbed.job_id)).weights_digest
    job = await client.submit(spec, job_id="killed")
    await until_checkpoint(client, job.job_id)
    server.kill()
    await asyncio.to_thread(server.start)
    done = await client.wait("killed")
    assert (done.status, done.attempt, done.crashes) == (Status.COMPLETED, attempts, 0)
    assert done.weights_digest == expected is not None
    events = [event async for event in client.watch("killed")]
    assert [event.seq for event in events] == list(range(1, done.seq + 1))
    resumed = [event for event in events if isinstance(event, State) and event.resumed_from_step]
    assert len(resumed) == attempts - 1


@pytest.mark.anywhere_long
async def test_ctrl_c_checkpoints_and_the_next_start_goes_on(serve: Callable[..., Any]) -> None:
    server = serve("--slots", "1")
    async with Client(server.url) as client:
        job = await client.submit(UNENDING)
        reached = await until_progress(client, job.job_id, step=200)
        assert server.stop() == 0
        server.check_nothing_is_left()
        told = json.loads((server.root / f"artifacts/jobs/{job.job_id}.json").read_bytes())
        assert told["status"] == "QUEUED"
        await asyncio.to_thread(server.start)
        await until_progress(client, job.job_id, attempt=2)
        resumed = await client.status(job.job_id)
        assert resumed.resumed_from_step is not None
        assert resumed.resumed_from_step >= reached.step
        assert server.stop_twice() in {0, 130}  # a second Ctrl-C leaves at once, and loses nothing
        server.check_nothing_is_left()
        await asyncio.to_thread(server.start)
        again = await until_progress(client, job.job_id, attempt=3)
        assert again.step > resumed.resumed_from_step
        await client.stop(job.job_id)
        assert (await client.wait(job.job_id)).status is Status.STOPPED
