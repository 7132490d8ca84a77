"""A task of the engine that meets what nobody thought of ends the engine in order, and nothing is lost."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stage import FaultyDisk, Stage, train, until

from traind.service.cli.entry import BROKEN, Failed
from traind.service.cli.serve import _serve
from traind.service.engine.engine import Engine
from traind.service.errors import EngineFailed
from traind.service.executor.base import Need
from traind.service.executor.scripted import ScriptedExecutor, ScriptedWorker
from traind.service.http.server import Door
from traind.service.service import TrainingService
from traind.service.settings import Layout, Settings
from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import State, Status


class BrokenExecutor(ScriptedExecutor):
    """An executor with a mistake in it."""

    async def take(self, need: Need) -> ScriptedWorker:
        if self.workers:
            raise KeyError("a mistake")
        return await super().take(need)


async def obey(worker: ScriptedWorker) -> None:
    await worker.say(State(status=Status.RUNNING))
    assert await worker.until_asked() is Verb.LEAVE
    Path(worker.place.attempt_dir).mkdir(parents=True)
    (Path(worker.place.attempt_dir) / "checkpoint-7.pt").touch()
    (Path(worker.place.attempt_dir) / "checkpoint-7.json").write_bytes(b'{"step": 7}')
    await worker.say(State(status=Status.QUEUED, reason="server_left"))


async def test_an_engine_that_broke_tells_everyone_and_the_next_loses_nothing(tmp_path: Path, stage: Any) -> None:
    executor = BrokenExecutor(obey, slots=2)
    engine = Engine(Settings.check(root=tmp_path, shutdown_s=5.0), Layout(tmp_path), executor)
    one = Stage(engine, executor)
    await engine.open()
    await one.submit("a")
    await one.reaches("a", Status.RUNNING)
    watching = asyncio.ensure_future(engine.wait("a"))
    await one.submit("b")
    error = await engine.failed()
    assert "dispatch" in error.message
    assert "a mistake" in error.message
    for refused in (one.submit("c"), engine.stop("a"), engine.resume("a"), engine.delete("a"), watching):
        with pytest.raises(EngineFailed):
            await refused
    await engine.close()
    assert [worker.has_ended for worker in executor.workers] == [True]
    two = await stage(train)
    assert {(await two.over(name)).status for name in ("a", "b")} == {Status.COMPLETED}
    assert (await two.engine.job("a")).attempt == 2
    assert two.executor.workers[0].place.earlier_dirs[0].endswith("attempt-1")


@pytest.mark.parametrize("first", range(1, 6))
async def test_a_start_that_fails_half_way_closes_what_it_opened(tmp_path: Path, first: int) -> None:
    executor = ScriptedExecutor(train)
    disk = FaultyDisk(5, first)
    engine = Engine(Settings.check(root=tmp_path), Layout(tmp_path, disk), executor)
    try:
        await engine.open()
    except OSError:
        disk.mend()
        await engine.close()
        before = set(asyncio.all_tasks())
        await engine.open()  # nothing holds the database
        assert before < set(asyncio.all_tasks())
    await engine.close()
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("traind")] == []


async def test_a_service_that_cannot_start_lets_the_root_go(
    tmp_path: Path, open_root: Callable[..., TrainingService]
) -> None:
    (tmp_path / "models").touch()  # a file where a folder is needed
    with pytest.raises(FileExistsError):
        async with open_root(root=tmp_path, slots=1):
            pass
    (tmp_path / "models").unlink()
    async with open_root(root=tmp_path, slots=1) as service:
        assert service.is_open
        failed = asyncio.ensure_future(service.failed)
        done, _ = await asyncio.wait({failed}, timeout=0)
        assert not done
        failed.cancel()


@pytest.fixture
def broken(tmp_path: Path, open_root: Callable[..., TrainingService]) -> TrainingService:
    """A service whose second job breaks its engine."""
    return open_root(tmp_path, slots=2, shutdown_s=1.0, executor=BrokenExecutor(obey))


async def test_http_says_that_the_engine_has_stopped(broken: TrainingService, aiohttp_client: Any) -> None:
    client = await aiohttp_client(broken.web_app())
    assert (await client.get("/health")).status == 200
    for _ in range(2):
        assert (await client.post("/api/train", json={"epochs": 1})).status == 202
    await broken.failed
    for answer in (await client.get("/health"), await client.post("/api/train", json={"epochs": 1})):
        assert answer.status == 503
        assert (await answer.json())["error"]["code"] == "engine_failed"


async def test_serve_leaves_with_a_code_that_has_it_started_again(broken: TrainingService, free_port: int) -> None:
    serving = asyncio.create_task(_serve(broken, Door(host="127.0.0.1", port=free_port)))
    await until(lambda: broken.is_open)
    for _ in range(2):
        await broken.submit(epochs=1)
    with pytest.raises(Failed, match="The engine has stopped") as failed:
        await serving
    assert failed.value.code == BROKEN != 0
    assert not broken.is_open
