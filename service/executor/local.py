"""Worker slots: which process carries out a job, and the way what it says comes back.

`Slots.take()` gives a fresh process that was started ahead, and `begin(worker, assignment)` hands it a job. From then
on everything the job says arrives in the one bounded queue as `(worker, event)`, in order, and last, exactly once,
`(worker, Ended)`. Knows no job states and decides nothing about a job; called by the engine only. Another way to
run jobs (Ray, say) would take this file's place.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from traind.service.executor.local_worker import Ended, Worker
from traind.service.processes.fork_server import BootFailed, ForkServer
from traind.trainer.contract.events import AnyEvent

__all__ = ["Ended", "Slots", "Worker"]

BACK_OFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
CLOSE_S = 2.0


class Slots:
    """Workers ahead of need and workers at work."""

    def __init__(
        self,
        server: ForkServer,
        inbox: "asyncio.Queue[tuple[Worker, AnyEvent | Ended]]",
        *,
        count: int,
        run: str = "traind.trainer.run.attempt:run",
        memory_bytes: int | None = None,
    ) -> None:
        """Make the slots; `start` starts them.

        Args:
            server: where processes come from; its owner starts and stops it.
            inbox: bounded. While it is full no worker's pipe is read.
            count: how many jobs of one thread run at once; as many workers are kept, ready or at work.
            run: `module:function` that carries out an assignment in the worker.
            memory_bytes: what one job may allocate; None: no limit.
        """
        self.problem: str | None = None  # why no worker can be started, while that lasts
        self.lost = {"starting": 0, "waiting": 0}  # workers that died before they had a job
        self._server = server
        self._count = count
        self._inbox = inbox
        self._run = run
        self._memory_bytes = memory_bytes
        self._ahead: deque[Worker] = deque()
        self._busy: set[Worker] = set()
        self._booting = 0
        self._waiting = 0
        self._arrived = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether a job would get a worker at once."""
        return bool(self._ahead)

    async def start(self) -> None:
        """Start the first workers; returns at once."""
        self._refill()

    async def take(self) -> Worker:
        """Return a fresh worker, once one is ready; it is the caller's to `begin` with, or to `give_back`.

        Never fails for want of a process: it waits, and `problem` says for what.
        """
        self._waiting += 1
        self._refill()
        try:
            async with self._arrived:
                await self._arrived.wait_for(lambda: self._ahead)
                worker = self._ahead.popleft()
        finally:
            self._waiting -= 1
        self._busy.add(worker)
        return worker

    def begin(self, worker: Worker, assignment_path: str | Path, threads: int = 1) -> None:
        """Hand the assignment to a worker that was taken; what it says arrives in the inbox."""
        worker.attempt_dir = Path(assignment_path).parent
        worker.threads = threads
        self._spawn(self._relay(worker, str(assignment_path)), f"relay {worker.pid}")
        self._refill()

    def give_back(self, worker: Worker) -> None:
        """Let a worker that was taken wait for another job."""
        self._busy.discard(worker)
        if self._closing.is_set() or worker.process.gone.done():
            worker.kill()
            self._spawn(worker.retire(), f"retire {worker.pid}")
            self._refill()
        else:
            self._ahead.appendleft(worker)

    async def run(self, assignment_path: str | Path, threads: int = 1) -> Worker:
        """Take a worker and hand it the assignment. Cancelling while it waits leaves the assignment untouched."""
        worker = await self.take()
        self.begin(worker, assignment_path, threads)
        return worker

    async def close(self) -> None:
        """Kill every worker that is left and release everything; takes seconds at most. Twice is no error."""
        self._closing.set()
        for worker in (*self._ahead, *self._busy):
            worker.kill()
        while self._ahead:
            self._spawn(self._ahead.pop().retire(), "retire")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        for task in self._tasks:  # the inbox is full and nobody reads it
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _refill(self) -> None:
        """Start as many workers ahead as are missing; one at least, lest the next job wait for it."""
        at_work = sum(worker.threads for worker in self._busy)
        wanted = max(1, self._count - at_work, self._waiting)
        while not self._closing.is_set() and len(self._ahead) + self._booting < wanted:
            self._booting += 1
            self._spawn(self._boot(), "boot")

    async def _boot(self) -> None:
        """Start one worker, however often that takes, and keep it ready until it is taken or dies."""
        try:
            worker = await self._started()
        finally:
            self._booting -= 1
        if worker is None:
            return
        if self._closing.is_set():
            worker.kill()
            await worker.retire()
            return
        self._ahead.append(worker)
        worker.process.gone.add_done_callback(lambda _: self._died_waiting(worker))
        async with self._arrived:
            self._arrived.notify()

    async def _started(self) -> Worker | None:
        for delay_s in chain(BACK_OFF_S, repeat(BACK_OFF_S[-1])):
            try:
                worker = await Worker.start(self._server, self._run, self._memory_bytes)
            except BootFailed as error:
                self.lost["starting"] += 1
                self.problem = str(error)
            else:
                self.problem = None
                return worker
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), delay_s)
            if self._closing.is_set():
                break
        return None

    def _died_waiting(self, worker: Worker) -> None:
        if worker in self._ahead:
            self.lost["waiting"] += 1
            self._ahead.remove(worker)
            self._spawn(worker.retire(), f"retire {worker.pid}")
            self._refill()

    async def _relay(self, worker: Worker, assignment_path: str) -> None:
        try:
            async with contextlib.aclosing(worker.work(assignment_path)) as events:
                async for event in events:
                    await self._inbox.put((worker, event))
        except asyncio.CancelledError:
            self._closing.set()  # the loop ends, with or without `close`
            worker.kill()
            raise
        finally:
            self._busy.discard(worker)
            self._refill()
            await worker.retire()

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name=f"traind-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
