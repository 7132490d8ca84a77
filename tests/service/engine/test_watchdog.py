"""Workers that fall silent, that cannot be reached, and that a new server finds still at work."""

import time
from typing import Any

import pytest
from stage import train, until

from traind.service.executor.base import Need
from traind.service.executor.scripted import ScriptedWorker
from traind.trainer.contract.events import Progress, State, Status


async def fall_silent(worker: ScriptedWorker) -> None:
    worker.steps = 1_000  # of next to no time each: a step may take many times their mean
    await worker.say(State(status=Status.RUNNING))
    if worker.place.attempt == 3:
        worker.unheard_since = time.monotonic()
    await worker.until_asked()


async def test_a_silent_worker_is_a_hang_and_one_that_cannot_be_heard_is_not(stage: Any) -> None:
    one = await stage(fall_silent, hang_s=0.2)
    reasons: list[tuple[str | None, str]] = []
    observers = one.engine.journal.observers
    observers.append(lambda job, event: reasons.append((job.reason, job.message)) if job.crashes else None)
    await one.submit("a", max_attempts=5)
    await until(lambda: len(one.executor.workers) == 3 and one.executor.workers[2].unheard_since)
    unheard = one.executor.workers[2]
    job = await one.reaches("a", Status.RUNNING)
    assert job.crashes == 2
    assert reasons[0][0] == "worker_died"
    assert "silent for too long" in reasons[0][1]
    for _ in range(3):  # rounds of the watchdog
        await one.engine.watchdog._look_at_attempts()
    assert one.engine.attempts.running["a"].killed_for is None
    unheard.unheard_since = None
    await until(lambda: len(one.executor.workers) == 4)
    assert (await one.engine.job("a")).crashes == 3


async def tell(worker: ScriptedWorker) -> None:
    """Say three things with a cursor, and go on when the server is gone."""
    worker.cursor = worker.cursor or 0
    await worker.say(State(status=Status.RUNNING, total_steps=10))
    for step in (1, 2):
        await worker.say(Progress(attempt=1, epoch=1, step=step, total_steps=10, progress=1.0, loss=1.0))
    await worker.until_asked()


async def go_on(worker: ScriptedWorker) -> None:
    assert worker.cursor == 3
    await worker.say(Progress(attempt=1, epoch=1, step=3, total_steps=10, progress=1.0, loss=1.0))
    await worker.say(State(status=Status.COMPLETED))


async def test_a_worker_that_can_be_adopted_goes_on_where_it_was_heard(stage: Any) -> None:
    one = await stage(tell)
    await one.submit("a")
    job = await one.reaches("a", Status.RUNNING)
    worker = one.executor.workers[0]
    await until(lambda: worker.committed_cursor == 3)
    worker.is_immortal = True
    await die(one)
    two = await stage(train, survivors={worker.ref: go_on})
    done = await two.over("a")
    assert (done.status, done.attempt, done.crashes) == (Status.COMPLETED, 1, 0)
    assert two.executor.workers == []
    assert two.executor.ended_leftovers == []
    seqs = [event.seq async for event in two.engine.watch("a")]
    assert seqs == list(range(1, done.seq + 1))
    assert done.seq > job.seq


async def die(one: Any) -> None:
    """End an engine as a kill does: nothing is told, nothing is settled."""
    engine = one.engine
    await engine._end_tasks()
    for task in list(one.executor._tasks):
        task.cancel()
    engine._opened, opened = None, engine._opened
    await opened.aclose()


async def test_a_worker_that_cannot_be_adopted_is_ended_before_its_job_starts_again(stage: Any) -> None:
    one = await stage(tell)
    await one.submit("a")
    await one.reaches("a", Status.RUNNING)
    await die(one)
    two = await stage(train)
    assert (await two.over("a")).attempt == 2
    assert [leftover.attempt for leftover in two.executor.ended_leftovers] == [1]


@pytest.mark.parametrize("verb", ["stop", "pause", "cancel"])
async def test_a_job_whose_need_nobody_can_meet_says_so_and_holds_up_nobody(stage: Any, verb: str) -> None:
    def hopeless(need: Need) -> str | None:
        return "No node has 64 threads; the largest has 8." if need.threads == 64 else None

    one = await stage(train)
    one.executor.hopeless = hopeless
    await one.submit("wide", threads=64)
    await one.submit("b")
    assert (await one.over("b")).status is Status.COMPLETED
    assert (await one.engine.job("wide")).message == "No node has 64 threads; the largest has 8."
    job = await getattr(one.engine, verb)("wide")
    assert job.status is (Status.PAUSED if verb == "pause" else Status.CANCELLED)
