"""Changes of a running job's settings, as the engine records them and hands them on; workers play."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stage import Stage, train, until

from traind.service.engine.engine import Engine, Origin, ParentChanged
from traind.service.errors import ChangeRefused, InvalidSpec, JobFinished, JobNotRunning, TooMany
from traind.service.executor.base import Ended
from traind.service.executor.scripted import Script, ScriptedExecutor, ScriptedWorker
from traind.service.settings import Layout, Settings
from traind.trainer.contract.change import WAITING_MAX, Change
from traind.trainer.contract.events import Checkpoint, ControlRequested, Progress, State, Status
from traind.trainer.contract.spec import StartFrom, TrainSpec


@contextlib.asynccontextmanager
async def playing(root: Path, script: Script) -> AsyncIterator[Stage]:
    settings = Settings.check(root=root, slots=1)
    layout = Layout(settings.root)
    layout.make(is_private=False)
    executor = ScriptedExecutor(script, slots=1)
    engine = Engine(settings, layout, executor)
    await engine.open()
    try:
        yield Stage(engine, executor)
    finally:
        await engine.close()


async def heed(worker: ScriptedWorker) -> None:
    """Run, take the first change up at step 5, and end."""
    await worker.say(State(status=Status.RUNNING))
    (change, *_) = await worker.until_changed()
    await worker.say(ControlRequested(verb="control", number=change.number, lr=change.lr, step=5))
    await train(worker)


async def hold(worker: ScriptedWorker) -> None:
    """Run, and heed nothing but a verb."""
    await worker.say(State(status=Status.RUNNING))
    await worker.until_asked()
    await train(worker)


async def test_the_answer_and_an_event_say_at_which_step(tmp_path: Path) -> None:
    async with playing(tmp_path, heed) as stage:
        await stage.submit("a")
        await stage.reaches("a", Status.RUNNING)
        done = await stage.engine.control("a", Change(lr=0.5))
        assert (done.number, done.step) == (1, 5)
        job = await stage.over("a")
        assert [(one.number, one.lr, one.step) for one in job.changes] == [(1, 0.5, 5)]
        events = [event async for event in stage.engine.watch("a") if isinstance(event, ControlRequested)]
        assert [(event.number, event.lr, event.step) for event in events] == [(1, 0.5, None), (1, 0.5, 5)]


async def test_the_next_attempt_is_told_what_was_taken_up_and_what_waits(tmp_path: Path) -> None:
    async def script(worker: ScriptedWorker) -> None:
        if worker.place.attempt > 1:
            await train(worker)
            return
        await worker.say(State(status=Status.RUNNING))
        (change, *_) = await worker.until_changed()
        await worker.say(ControlRequested(verb="control", number=change.number, lr=change.lr, step=7))
        await worker.until_changed()
        await worker.say(Ended("died"))

    async with playing(tmp_path, script) as stage:
        await stage.submit("a")
        await stage.reaches("a", Status.RUNNING)
        await stage.engine.control("a", Change(lr=0.5))
        late = await stage.engine.control("a", Change(epochs=9), within_s=0.0)
        assert late.step is None
        await stage.over("a")
        given = stage.executor.workers[-1].place.changes
        assert [(one.number, one.step) for one in given] == [(1, 7), (2, None)]


async def test_only_a_running_job_takes_changes(tmp_path: Path) -> None:
    async with playing(tmp_path, hold) as stage:
        await stage.submit("runs")
        await stage.submit("waits")
        await stage.reaches("runs", Status.RUNNING)
        with pytest.raises(JobNotRunning, match="queued") as waits:
            await stage.engine.control("waits", Change(lr=0.1, epochs=2))
        assert [one["loc"] for one in waits.value.details] == ["lr", "epochs"]
        with pytest.raises(InvalidSpec, match="nothing to change"):
            await stage.engine.control("runs", Change())
        with stage.engine.feed.watch("runs") as watcher:
            waiting = asyncio.create_task(stage.engine.control("runs", Change(lr=0.1)))
            while not (await stage.engine.job("runs")).changes:
                await watcher.next_item()
        await stage.engine.stop("runs")
        with pytest.raises(JobFinished, match="over before"):
            await waiting
        with pytest.raises(JobFinished, match=r"completed|stopped"):
            await stage.engine.control("runs", Change(lr=0.1))


async def test_what_the_job_cannot_take_up_is_refused_by_field(tmp_path: Path) -> None:
    async def script(worker: ScriptedWorker) -> None:
        await worker.say(State(status=Status.RUNNING))
        (change, *_) = await worker.until_changed()
        await worker.say(ControlRequested(verb="control", number=change.number, refused={"lr": "is of trees"}))
        await worker.until_asked()
        await train(worker)

    async with playing(tmp_path, script) as stage:
        await stage.submit("a")
        await stage.reaches("a", Status.RUNNING)
        with pytest.raises(ChangeRefused, match="is of trees") as refused:
            await stage.engine.control("a", Change(lr=0.1))
        assert refused.value.details == [{"loc": "lr", "msg": "is of trees"}]
        await stage.engine.stop("a")
        assert (await stage.over("a")).changes[0].refused == {"lr": "is of trees"}


async def test_epochs_that_have_begun_are_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    async def script(worker: ScriptedWorker) -> None:
        await worker.say(State(status=Status.RUNNING))
        await worker.say(Progress(attempt=1, epoch=12, step=1, total_steps=None, progress=0.0, loss=None))
        await worker.until_asked()
        await train(worker)

    async with playing(tmp_path, script) as stage:
        await stage.submit("a")
        with stage.engine.feed.watch("a") as watcher:
            while (await stage.engine.job("a")).epoch < 12:
                await watcher.next_item()
        with pytest.raises(InvalidSpec, match="12 at least") as refused:
            await stage.engine.control("a", Change(epochs=3))
        assert refused.value.details[0]["loc"] == "epochs"
        assert (await stage.engine.job("a")).changes == []


async def test_the_same_again_is_no_second_change_and_too_many_are_refused(tmp_path: Path) -> None:
    async with playing(tmp_path, hold) as stage:
        await stage.submit("a")
        await stage.reaches("a", Status.RUNNING)
        again = [await stage.engine.control("a", Change(lr=0.1), within_s=0.0) for _ in range(2)]
        assert [one.number for one in again] == [1, 1]
        for place in range(1, WAITING_MAX):
            await stage.engine.control("a", Change(lr=place / 1_000), within_s=0.0)
        with pytest.raises(TooMany):
            await stage.engine.control("a", Change(lr=1.0), within_s=0.0)
        assert [one.number for one in stage.executor.workers[-1].waiting] == [*range(1, WAITING_MAX + 1)]


async def test_a_job_starts_from_no_checkpoint_that_holds_changes_which_no_record_has(tmp_path: Path) -> None:
    """The parent takes a change up, then writes a checkpoint: who starts there in between knows only the latter."""
    may_say = asyncio.Event()

    async def script(worker: ScriptedWorker) -> None:
        if worker.place.job_id == "child":
            await train(worker)
            return
        folder = Path(worker.place.attempt_dir)
        folder.mkdir(parents=True)
        await worker.say(State(status=Status.RUNNING))
        (change, *_) = await worker.until_changed()
        (folder / "checkpoint-9.pt").write_bytes(b"place")
        (folder / "checkpoint-9.json").write_bytes(b'{"step": 9}')
        await may_say.wait()
        await worker.say(ControlRequested(verb="control", number=change.number, lr=change.lr, step=7))
        await worker.say(Checkpoint(attempt=1, step=9, path=str(folder / "checkpoint-9.pt")))
        await worker.until_asked()
        await train(worker)

    spec = TrainSpec(start_from=StartFrom(job_id="a"))
    async with playing(tmp_path, script) as stage:
        await stage.submit("a")
        await stage.reaches("a", Status.RUNNING)
        await stage.engine.control("a", Change(lr=0.5), within_s=0.0)
        await until(lambda: list(tmp_path.rglob("checkpoint-9.json")))
        with pytest.raises(InvalidSpec, match="being changed: try again"):
            await stage.engine.submit(spec, None, "child")
        with stage.engine.feed.watch("a") as watcher:
            may_say.set()
            while (job := await stage.engine.job("a")).checkpoint is None:
                await watcher.next_item()
        with pytest.raises(ParentChanged):  # as it was filled in before
            await stage.engine.submit(spec, None, "child")
        child = await stage.engine.submit(spec, None, "child", job.changes, Origin(seen=tuple(job.changes)))
        assert child.parent is not None
        assert (child.parent.step, child.parent.changes) == (9, 1)
        await stage.engine.stop("a")


async def test_what_a_worker_says_of_changes_that_nobody_requested_counts_for_nothing(tmp_path: Path) -> None:
    async def script(worker: ScriptedWorker) -> None:
        await worker.say(State(status=Status.RUNNING))
        await worker.say(ControlRequested(verb="control", number=4, lr=1.0, step=2))
        await worker.say(ControlRequested(verb="cancel"))
        await train(worker)

    async with playing(tmp_path, script) as stage:
        await stage.submit("a")
        job = await stage.over("a")
        assert job.status is Status.COMPLETED
        assert job.changes == []
        assert not [event async for event in stage.engine.watch("a") if isinstance(event, ControlRequested)]
