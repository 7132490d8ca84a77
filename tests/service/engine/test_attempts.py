"""A job that leaves the queue while a worker comes for it is not started, and nothing of it is written again."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from stage import Stage, train, until

from traind.service.engine.engine import Engine
from traind.service.errors import JobNotFound
from traind.service.executor.base import Need
from traind.service.executor.scripted import ScriptedExecutor, ScriptedWorker
from traind.service.jobs.job import TERMINAL
from traind.service.settings import Layout, Settings
from traind.trainer.contract.events import Status


class SlowExecutor(ScriptedExecutor):
    """Whose workers come when they may."""

    def __init__(self) -> None:
        super().__init__(train, slots=1)
        self.may_come = asyncio.Event()
        self.is_asked = asyncio.Event()

    async def take(self, need: Need) -> ScriptedWorker:
        self.is_asked.set()
        await self.may_come.wait()
        return await super().take(need)


async def left(stage: Stage, verbs: list[str]) -> None:
    """Have a job do what it is asked, one after the other."""
    for verb in verbs:
        await getattr(stage.engine, verb)("leaves")


@pytest.mark.parametrize("verbs", [["cancel"], ["stop"], ["pause"], ["cancel", "delete"]])
async def test_a_job_that_leaves_while_its_worker_comes_is_not_started(
    tmp_path: Path, verbs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    executor = SlowExecutor()
    engine = Engine(Settings.check(root=tmp_path, slots=1), Layout(tmp_path), executor)
    await engine.open()
    stage = Stage(engine, executor)
    try:
        await stage.submit("leaves")
        await executor.is_asked.wait()
        async with engine.journal.turn:  # all of these wait for it: first who asks, then who starts the job
            asking = asyncio.create_task(left(stage, verbs))
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # the method's own task is at the lock
            executor.may_come.set()
            await until(lambda: executor.workers)
            await asyncio.sleep(0)
        await asking
        await stage.submit("next")
        assert (await stage.over("next")).status is Status.COMPLETED
        assert "cannot be started" not in caplog.text
        assert [worker.place.job_id for worker in executor.workers if worker.assignment is not None] == ["next"]
        with contextlib.suppress(JobNotFound):
            job = await engine.job("leaves")
            assert "delete" not in verbs
            assert job.attempt == 0
            assert job.status in TERMINAL | {Status.PAUSED}
        assert [one.job_id for one in (await engine.jobs()).jobs].count("leaves") == int("delete" not in verbs)
    finally:
        await engine.close()
