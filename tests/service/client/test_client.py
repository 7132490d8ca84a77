"""Both clients against a real server: the verbs, types and errors of `TrainingService`, over lost connections too."""

import asyncio
import contextlib
import gc
import inspect
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from traind import Client, Progress, State, Status, SyncClient, TrainingService
from traind.data.errors import BadTable, DatasetNotFound
from traind.service.client.errors import ServerUnreachable
from traind.service.errors import CursorAhead, IdTaken, InvalidSpec, JobFinished, JobNotFound, ModelNotReady

SMALL: dict[str, Any] = {"epochs": 2, "batch_size": 256, "lr": 0.01, "synthetic": {"rows": 2000}}
LONG: dict[str, Any] = {"epochs": 100_000, "batch_size": 16, "synthetic": {"rows": 2000}, "checkpoint_every": 1.0}
ROWS = [{"a": number % 60, "b": number % 5, "y": 3 * (number % 60)} for number in range(240)]


@pytest.fixture
async def client(server: Any) -> AsyncIterator[Client]:
    async with Client(server.url) as opened:
        yield opened


@pytest.fixture
def blocking(server: Any) -> SyncClient:
    return SyncClient(server.url)


ONLY_IN_PROCESS = {
    "active",
    "close",
    "figures",
    "keep_files_private",
    "own_children",
    "predict_json",
    "predict_table",
    "queue",
    "watch_all",
    "watch_bytes",
    "watch_study_bytes",
    "web_app",
}


def public_methods(kind: type) -> dict[str, list[tuple[str, Any, Any]]]:
    """Return of each method the names, kinds and defaults of what it takes."""
    found = {
        name: method for name, method in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")
    }
    return {
        name: [(each.name, each.kind, each.default) for each in inspect.signature(method).parameters.values()]
        for name, method in found.items()
    }


@pytest.mark.parametrize("kind", [Client, SyncClient])
def test_the_clients_have_the_services_verbs(kind: type) -> None:
    """Code moves between the three by changing one line."""
    service = public_methods(TrainingService)
    assert set(service) >= ONLY_IN_PROCESS
    wanted = {name: taken for name, taken in service.items() if name not in ONLY_IN_PROCESS}
    assert public_methods(kind) == wanted


async def test_a_job_is_submitted_watched_and_predicts(client: Client) -> None:
    await client.put_dataset("client-rows", ROWS)
    job = await client.submit(dataset="client-rows", target="y", epochs=40, batch_size=32)
    events = [event async for event in client.watch(job.job_id)]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[-1], State)
    assert events[-1].status is Status.COMPLETED
    done = await client.wait(job.job_id)
    assert (done.status, done.seq, done.progress) == (Status.COMPLETED, events[-1].seq, 100.0)
    prediction = await client.predict(job.job_id, [{"a": 10, "b": 0}, {"a": 50, "b": 0}])
    by_columns = await client.predict(job.job_id, columns={"a": [10, 50], "b": [0, 0]})
    assert prediction == by_columns
    assert prediction.predictions[0] < prediction.predictions[1]


async def test_a_submit_may_be_repeated_under_its_id(client: Client) -> None:
    first = await client.submit(SMALL, job_id="client-again")
    again = await client.submit(SMALL, job_id="client-again")
    assert again.created_at == first.created_at
    with pytest.raises(IdTaken):
        await client.submit({**SMALL, "epochs": 3}, job_id="client-again")
    await client.wait("client-again")


async def test_refusals_are_the_services_errors(client: Client, blocking: SyncClient) -> None:
    with pytest.raises(InvalidSpec) as wrong:
        await client.submit(epochs=0, optimizer="magic", wings=2)
    assert {detail["loc"] for detail in wrong.value.details} == {"epochs", "optimizer", "wings"}
    with pytest.raises(DatasetNotFound):
        await client.submit(dataset="client-nowhere")
    with pytest.raises(JobNotFound):
        await client.status("nobody")
    with pytest.raises(JobNotFound):
        async for _ in client.watch("nobody"):
            pass
    with pytest.raises(JobNotFound):
        next(iter(blocking.watch("nobody")))
    job = await client.submit(SMALL)
    await client.wait(job.job_id)
    with pytest.raises(JobFinished):
        await client.stop(job.job_id)
    with pytest.raises(CursorAhead):
        await client.events(job.job_id, after=10_000)
    with pytest.raises(CursorAhead):
        async for _ in client.watch(job.job_id, after=10_000):
            pass


async def test_a_bad_table_is_named_and_not_registered(client: Client) -> None:
    with pytest.raises(BadTable):
        await client.put_dataset("client-bad", b"a,b\n")
    assert "client-bad" not in {found.name for found in (await client.datasets()).datasets}


async def test_an_upload_tells_how_far_it_is(client: Client, blocking: SyncClient, houses: Path) -> None:
    heard: list[tuple[int, int | None]] = []
    dataset = await client.put_dataset("client-houses", houses, on_progress=lambda *now: heard.append(now))
    assert heard[-1] == (dataset.size_bytes, dataset.size_bytes)
    again = blocking.put_dataset("client-houses", houses)
    assert again.digest == dataset.digest
    assert len((await client.preview("client-houses", rows=3))["rows"]) == 3
    await client.delete_dataset("client-houses")
    with pytest.raises(DatasetNotFound):
        await client.dataset("client-houses")


async def test_a_sources_own_failure_is_the_callers(client: Client, blocking: SyncClient) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"a,b\n1,2\n"
        raise KeyError("the database went away")

    def breaks_too() -> Any:
        yield {"a": 1}
        raise KeyError("the database went away")

    with pytest.raises(KeyError):
        await client.put_dataset("client-broken", breaks(), "csv")
    with pytest.raises(KeyError):
        blocking.put_dataset("client-broken", breaks_too())
    assert "client-broken" not in {found.name for found in (await client.datasets()).datasets}


async def test_a_model_is_downloaded_whole_and_named(client: Client, blocking: SyncClient, tmp_path: Path) -> None:
    job = await client.wait((await client.submit(SMALL)).job_id)
    first = await client.model_path(job.job_id, to=tmp_path / "a.pt")
    second = blocking.model_path(job.job_id, to=tmp_path / "b.pt")
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "b.pt"]
    await client.set_alias("client-best", job.job_id)
    assert (await client.aliases())["client-best"]["job_id"] == job.job_id
    row = {f"x{number}": 0.0 for number in range(1, 9)}
    assert (await client.predict("client-best", [row])) == blocking.predict(job.job_id, [row])
    await client.set_alias("client-best", None)
    with pytest.raises(JobNotFound):
        await client.predict("client-best", [row])


async def test_a_model_that_is_not_there_leaves_no_file(client: Client, tmp_path: Path) -> None:
    job = await client.submit(LONG)
    with pytest.raises(ModelNotReady):
        await client.model_path(job.job_id, to=tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []
    await client.cancel(job.job_id)
    assert (await client.wait(job.job_id)).status is Status.CANCELLED
    await client.delete(job.job_id)


def test_the_blocking_client_does_all_of_it(blocking: SyncClient) -> None:
    job = blocking.submit(SMALL, job_id="client-blocking")
    seen = [event.seq for event in blocking.watch(job.job_id)]
    done = blocking.wait(job.job_id)
    assert seen == list(range(1, done.seq + 1))
    page = blocking.events(job.job_id, after=1, limit=2)
    assert (len(page.events), page.last_seq) == (2, done.seq)
    assert blocking.jobs("COMPLETED", limit=1000).jobs
    assert blocking.logs(job.job_id) == ""
    assert blocking.curve(job.job_id)["last_seq"] == done.seq
    assert blocking.health()["slots"]["total"] >= 1
    blocking.delete(job.job_id)


async def test_a_watch_that_is_left_early_holds_nothing(server: Any) -> None:
    """Unclosed connections are warnings, and warnings are errors here."""
    async with Client(server.url) as client:
        job = await client.submit(LONG)
        watches = [client.watch(job.job_id) for _ in range(3)]
        for watch in watches:
            assert (await anext(watch)).seq == 1
    del watch, watches
    gc.collect()
    async with Client(server.url) as client:
        await client.cancel(job.job_id)
        await client.wait(job.job_id)


async def test_a_job_is_paused_and_resumed(client: Client) -> None:
    job = await client.submit(LONG)
    seen: list[State] = []
    asked = False
    async for event in client.watch(job.job_id):
        if isinstance(event, State):
            seen.append(event)
            if event.status is Status.PAUSED:
                await client.resume(job.job_id)
        if isinstance(event, Progress) and not asked:
            asked = True
            await client.pause(job.job_id)
        if isinstance(event, Progress) and event.attempt == 2:
            await client.stop(job.job_id)
    assert seen[-1].status is Status.STOPPED
    assert any(state.resumed_from_step for state in seen)


async def test_no_server_is_said_at_once(free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    async with Client(url) as client:
        with pytest.raises(ServerUnreachable, match=url):
            await client.health()
    with pytest.raises(ServerUnreachable, match=url):
        SyncClient(url).health()


async def test_a_watch_bridges_a_server_that_is_killed_again_and_again(serve: Callable[..., Any]) -> None:
    """Each `seq` once and in order, whatever happens to the server; calls meanwhile are answered late, not lost."""
    server = serve("--slots", "1")
    spec = {"epochs": 120, "batch_size": 16, "synthetic": {"rows": 2000}, "checkpoint_every": 0.2}
    seen: list[int] = []
    async with Client(server.url) as client:
        job = await client.submit(spec, job_id="bridged")
        kills = 0
        async for event in client.watch(job.job_id):
            seen.append(event.seq)
            if isinstance(event, Progress) and event.attempt == kills + 1 and kills < 2 and event.step > 500 * kills:
                kills += 1
                server.kill()
                again = asyncio.create_task(client.submit(spec, job_id="bridged"))
                await asyncio.to_thread(server.start)
                assert (await again).job_id == "bridged"
        done = await client.status(job.job_id)
    assert kills == 2
    assert done.status is Status.COMPLETED
    assert seen == list(range(1, done.seq + 1))


async def test_a_server_with_another_root_does_not_know_the_job(serve: Callable[..., Any], tmp_path: Path) -> None:
    server = serve(root=tmp_path / "one")
    async with Client(server.url) as client:
        job = await client.submit(LONG)
        watch = client.watch(job.job_id)
        await anext(watch)
        server.stop()
        server.root = tmp_path / "two"
        await asyncio.to_thread(server.start)
        with pytest.raises(JobNotFound):
            async for _ in watch:
                pass


async def test_a_server_that_stays_away_ends_the_patience(serve: Callable[..., Any]) -> None:
    server = serve()
    async with Client(server.url, patience_s=0.3) as client:
        job = await client.submit(LONG)
        watch = client.watch(job.job_id)
        await anext(watch)
        server.kill()
        with pytest.raises(ServerUnreachable, match="away"):
            async for _ in watch:
                pass
        with pytest.raises(ServerUnreachable):
            await client.status(job.job_id)
    with contextlib.suppress(ServerUnreachable):
        SyncClient(server.url, patience_s=0.1).health()
