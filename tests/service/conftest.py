"""What tests of worker processes need: slots to run misbehaving jobs on, from the one fork server."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from traind.service.executor.base import Ended, Frame, Need
from traind.service.executor.local import LocalExecutor
from traind.service.executor.local_worker import LocalWorker as Worker
from traind.service.processes.fork_server import ForkServer
from traind.service.processes.identity import is_alive
from traind.trainer.contract.events import AnyEvent
from traind.trainer.contract.spec import Assignment, Place, TrainSpec


class Rig:
    """Slots whose jobs are functions of `jobs_for_slots`, and everything that the jobs said."""

    def __init__(self, server: ForkServer, folder: Path, *, inbox_size: int = 100, **options: Any) -> None:
        self.inbox: asyncio.Queue[Frame] = asyncio.Queue(inbox_size)
        self.slots = LocalExecutor(server, **{"count": 1, "run": "jobs_for_slots:run"} | options)
        self.folder = folder
        self.said: defaultdict[Worker, list[AnyEvent | Ended]] = defaultdict(list)
        self._told: Counter[Worker] = Counter()
        self.workers: list[Worker] = []

    async def start(self) -> None:
        """Start the first workers."""
        await self.slots.start(self.inbox, lambda: None)

    async def job(self, do: str, device: str = "auto", **options: Any) -> Worker:
        """Start a job; return its worker."""
        attempt_dir = self.folder / f"attempt-{len(self.workers) + 1}"
        spec = TrainSpec(options={"do": do, **options})
        worker = await self.slots.take(Need(device=device))
        self.slots.begin(worker, Assignment(spec, Place(job_id="job", attempt=1, attempt_dir=str(attempt_dir))))
        self.workers.append(worker)
        return worker

    async def until(self, worker: Worker, kind: type) -> Any:
        """Take what jobs say until this one has said another event of that kind; return it."""
        while True:
            while self._told[worker] < len(self.said[worker]):
                self._told[worker] += 1
                if isinstance(event := self.said[worker][self._told[worker] - 1], kind):
                    return event
            who, event, _ = await self.inbox.get()
            assert isinstance(who, Worker)
            self.said[who].append(event)

    async def end(self, worker: Worker) -> Ended:
        """Take what jobs say until this one has ended; return how."""
        ended: Ended = await self.until(worker, Ended)
        return ended

    async def done(self, do: str, **options: Any) -> tuple[Worker, Ended]:
        """Run a job to its end; return its worker and how it ended."""
        worker = await self.job(do, **options)
        return worker, await self.end(worker)


@pytest.fixture
async def rig(
    fork_server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Awaitable[Rig]]]:
    """Make rigs; at the end everything is closed, and no process, task or event is left."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    rigs: list[Rig] = []

    async def make(**options: Any) -> Rig:
        folder = tmp_path / f"rig-{len(rigs)}"
        folder.mkdir()
        rigs.append(Rig(options.pop("server", fork_server), folder, **options))
        await rigs[-1].start()
        return rigs[-1]

    yield make
    for made in rigs:
        await made.slots.close()
        assert not [worker.pid for worker in made.workers if is_alive(worker.identity)]
        assert not [event for events in made.said.values() for event in events[:-1] if isinstance(event, Ended)]
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("traind")] == []


@pytest.fixture
async def workers(rig: Callable[..., Awaitable[Rig]]) -> Rig:
    """One slot for misbehaving jobs."""
    return await rig()


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Wait until something is so that nobody tells us of; the test's timeout bounds it."""

    async def wait(is_so: Callable[[], object]) -> None:
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def rig_type() -> type[Rig]:
    """For tests that bring a loop of their own."""
    return Rig
