"""Every order of events that a dying, late, repeating or lying worker can produce, against the table of states."""

import asyncio
import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage import Stage, until

from traind.service.engine.engine import Engine
from traind.service.errors import JobFinished, JobNotFinished, NotResumable
from traind.service.executor.base import Ended
from traind.service.executor.scripted import ScriptedExecutor, ScriptedWorker
from traind.service.jobs.job import TERMINAL
from traind.service.jobs.states import STATES
from traind.service.settings import Layout, Settings
from traind.trainer.contract.events import (
    AnyEvent,
    Checkpoint,
    ControlRequested,
    Epoch,
    Failure,
    Log,
    Progress,
    Result,
    State,
    Status,
)

QUIET = {Status.PAUSED, Status.QUEUED} | TERMINAL  # states in which no worker has the job
ATTEMPTS = 3

numbers = st.integers(0, 5)
words: st.SearchStrategy[Any] = st.one_of(
    st.builds(State, status=st.sampled_from(Status), attempt=st.none() | numbers),
    st.builds(State, status=st.just(Status.FAILED), error=st.just(Failure(code="trainer_error", message="No."))),
    st.sampled_from(["real model", "model of nobody", "outside", "relative"]).map(lambda where: ("model", where)),
    st.sampled_from(["real checkpoint", "outside", "checkpoint-9.pt"]).map(lambda where: ("checkpoint", where)),
    st.builds(
        Progress,
        attempt=numbers,
        epoch=numbers,
        step=numbers,
        total_steps=st.none() | numbers,
        progress=st.floats(0, 100),
        loss=st.none() | st.floats(),
    ),
    st.builds(Epoch, attempt=numbers, epoch=numbers, epochs=st.none(), step=numbers, train_loss=st.none()),
    st.builds(Log, message=st.text(max_size=3)),
    st.builds(ControlRequested, verb=st.sampled_from(["stop", "pause", "resume", "cancel"])),
    st.builds(Ended, kind=st.sampled_from(["done", "died", "lost"])),
    st.just("die"),
    st.just("be late"),
)
scripts = st.lists(st.lists(words, max_size=6), min_size=1, max_size=ATTEMPTS)
verbs = st.lists(st.sampled_from(["stop", "pause", "cancel", "resume"]), max_size=3)


class Actor:
    """Plays one list of words an attempt; when there is none left, a worker that does as it should."""

    def __init__(self, attempts: list[list[Any]]) -> None:
        self._attempts = list(attempts)
        self.late: list[asyncio.Task[None]] = []

    async def __call__(self, worker: ScriptedWorker) -> None:
        folder = Path(worker.place.attempt_dir)
        folder.mkdir(parents=True, exist_ok=True)
        if not self._attempts:
            await worker.say(State(status=Status.RUNNING))
            await worker.say(State(status=Status.COMPLETED))
            return
        for word in self._attempts.pop(0):
            if word == "die":
                raise RuntimeError("on purpose")
            if word == "be late":
                self.late.append(asyncio.create_task(worker.say(State(status=Status.COMPLETED))))
            elif isinstance(word, tuple):
                await worker.say(lie(word, folder))
            else:
                await worker.say(word)


def lie(word: tuple[str, str], folder: Path) -> AnyEvent:
    """Return the event about a model or a checkpoint that is, or is not, there."""
    kind, where = word
    path = folder.parents[3] / where if where == "outside" else folder / where
    if where.startswith("real"):
        path.write_bytes(b"model")
    if kind == "model":
        return State(status=Status.COMPLETED, result=Result(model_path="x.pt" if where == "relative" else str(path)))
    return Checkpoint(attempt=1, step=1, path=str(path))


async def acted(root: Path, attempts: list[list[Any]], asked: list[str]) -> None:
    executor = ScriptedExecutor(actor := Actor(attempts), slots=1)
    options = {"slots": 1, "grace_s": 0.05, "shutdown_s": 0.05, "disk_floor_bytes": 0}
    one = Stage(Engine(Settings.check(root=root, **options), Layout(root), executor), executor)
    await one.engine.open()
    (root / "outside").write_bytes(b"not the worker's")
    seen: dict[str, Status] = {}

    def observe(job: Any, event: AnyEvent) -> None:
        if isinstance(event, State):
            before = seen.get(job.job_id)
            assert before is None or event.status in STATES[before][1], (before, event)
            seen[job.job_id] = event.status

    one.engine.journal.observers.append(observe)
    try:
        await one.submit("a", max_attempts=ATTEMPTS)
        await one.submit("b")
        for verb in asked:
            await ask(one, verb)
        await asyncio.gather(*actor.late)
        await settled(one)
        await check(one)
    finally:
        await one.engine.close()
    assert one.engine.failure is None


async def ask(one: Stage, verb: str) -> None:
    with contextlib.suppress(JobFinished, NotResumable, JobNotFinished):
        await getattr(one.engine, verb)("a")


async def settled(one: Stage) -> None:
    """Wait until nobody works any more; a paused job is resumed until it is over."""
    while True:
        await one.reaches("a", Status.PAUSED, *TERMINAL)
        if (await one.engine.job("a")).status in TERMINAL:
            break
        await ask(one, "resume")
    await one.over("b")
    await until(lambda: not one.engine.attempts.running and not one.executor.busy)


async def check(one: Stage) -> None:
    """A job's record, its events and its status file say the same, and nothing is where it should not be."""
    for name in ("a", "b"):
        job = await one.engine.job(name)
        page = await one.engine.events(name)
        assert [event.seq async for event in one.engine.watch(name)] == list(range(1, job.seq + 1))
        assert len(page.events) == job.seq
        assert job.crashes < ATTEMPTS
        if job.model is not None:
            assert (one.engine.layout.root / job.model).read_bytes() == b"model"
    assert (await one.engine.job("b")).status in TERMINAL
    assert (one.engine.layout.root / "outside").read_bytes() == b"not the worker's"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(attempts=scripts, asked=verbs)
def test_whatever_a_worker_does_every_job_ends_in_a_state_that_may_follow(
    attempts: list[list[Any]], asked: list[str]
) -> None:
    with TemporaryDirectory() as root:
        asyncio.run(asyncio.wait_for(acted(Path(root), attempts, asked), 30))
