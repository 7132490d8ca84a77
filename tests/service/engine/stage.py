"""What plays on an engine without processes: scripts, a disk that fails, and the stage that holds them."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from traind.service.engine.engine import Engine
from traind.service.executor.scripted import ScriptedExecutor, ScriptedWorker
from traind.service.jobs.job import Job
from traind.service.record.disk import Disk
from traind.trainer.contract.events import Checkpoint, Progress, Result, State, Status
from traind.trainer.contract.spec import TrainSpec


class FaultyDisk(Disk):
    """A disk whose calls fail with `error`: the `first` one alone (`once`), or from it on until `mend`."""

    def __init__(self, error: int = 0, first: int = 1, *, once: bool = False) -> None:
        self.calls = 0
        self.has_failed = False
        self.is_lasting = not once
        self._error = error
        self._first = first

    @property
    def is_mended(self) -> bool:
        return self._error == 0

    def mend(self) -> None:
        """Fail no more."""
        self._error = 0

    def reach(self, call: str, path: Path) -> None:
        self.calls += 1
        if self._error and (self.calls == self._first if not self.is_lasting else self.calls >= self._first):
            self.has_failed = True
            raise OSError(self._error, os.strerror(self._error), f"{call} {path}")


async def until(is_so: Callable[[], object]) -> None:
    """Wait until something is so that nobody tells us of; the test's timeout bounds it."""
    while not is_so():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def train(worker: ScriptedWorker) -> None:
    """Train as a worker does: a few steps, a checkpoint, a model."""
    folder = Path(worker.place.attempt_dir)
    folder.mkdir(parents=True, exist_ok=True)
    number = worker.place.attempt
    await worker.say(State(status=Status.LOADING))
    await worker.say(State(status=Status.RUNNING, total_steps=2))
    for step in (1, 2):
        worker.steps += 1
        await worker.say(
            Progress(attempt=number, epoch=1, step=step, total_steps=2, progress=50.0 * step, loss=1.0 / step)
        )
    (folder / "checkpoint-2.pt").write_bytes(b"place")
    (folder / "checkpoint-2.json").write_bytes(b'{"step": 2}')
    await worker.say(Checkpoint(attempt=number, step=2, path=str(folder / "checkpoint-2.pt")))
    model = folder / "model.pt"
    model.write_bytes(b"model")
    await worker.say(State(status=Status.COMPLETED, result=Result(model_path=str(model))))


class Stage:
    """An engine that is open, and what plays in it."""

    def __init__(self, engine: Engine, executor: ScriptedExecutor) -> None:
        self.engine = engine
        self.executor = executor

    async def submit(self, job_id: str, **fields: Any) -> Job:
        return await self.engine.submit(TrainSpec(**fields), None, job_id)

    async def over(self, job_id: str, seconds: float = 20.0) -> Job:
        """Return a job once it is over."""
        async with asyncio.timeout(seconds):
            return await self.engine.wait(job_id)

    async def reaches(self, job_id: str, *states: Status, seconds: float = 20.0) -> Job:
        """Return a job once it is in one of the states."""
        async with asyncio.timeout(seconds):
            with self.engine.feed.watch(job_id) as watcher:
                while (job := await self.engine.journal.job(job_id)).status not in states:
                    await watcher.next_item()
                return job
