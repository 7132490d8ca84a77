"""Jobs in processes of this machine: the executor that every service has.

A job gets a fresh process that was started ahead. Knows no job states and decides nothing about a job.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import msgspec

from traind.service.executor import devices
from traind.service.executor.base import Frame, Inbox, Leftover, Need, Wait, Worker
from traind.service.executor.devices import Device
from traind.service.executor.local_room import lacking, waiting
from traind.service.executor.local_worker import LocalWorker
from traind.service.processes.fork_server import BootFailed, ForkServer
from traind.service.processes.identity import Identity, kill_leftover
from traind.service.settings import machine_memory_bytes
from traind.service.threads import in_thread
from traind.trainer.contract.events import Log, State
from traind.trainer.contract.spec import Assignment

LOG = logging.getLogger(__name__)
RETRY_S = 0.5  # between tries to write an assignment
BACK_OFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
CLOSE_S = 2.0
AHEAD = 2  # workers that wait for jobs while all slots are busy
LINGER_S = 0.1  # for the next job to start before the process of the last one ends
START_S = 0.25  # by then a job has taken its first step, or its start is long: the worker after it boots


class LocalExecutor:
    """Workers ahead of need and workers at work."""

    def __init__(
        self,
        server: ForkServer,
        *,
        count: int,
        run: str = "traind.trainer.run.attempt:run",
        memory_bytes: int | None = None,
        find_devices: Callable[[], Sequence[Device]] = tuple,
        hides_gpus: bool = False,
    ) -> None:
        """Make the executor; `start` starts workers.

        Args:
            server: where processes come from; its owner starts and stops it.
            count: slots: how many jobs of one thread run at once; a worker is kept for each, and some ahead.
            run: `module:function` that carries out an assignment in the worker.
            memory_bytes: what one job may allocate; None: no limit.
            find_devices: returns the GPUs for jobs, one job each, beside those on the slots; called at the start.
            hides_gpus: whether jobs see none of the GPUs that there may be; else, where none is found, they look.
        """
        self.lost = {"starting": 0, "waiting": 0}
        self._count = count
        self._find_devices = find_devices
        self._hides_gpus = hides_gpus
        self._devices: Sequence[Device] = ()
        self._server = server
        self._run = run
        self._memory_bytes = memory_bytes
        self._machine_bytes = machine_memory_bytes()  # that jobs which ask for some have together
        self._inbox: Inbox
        self._on_change: Callable[[], None] = lambda: None
        self._boot_problem: str | None = None
        self._unwritten: dict[LocalWorker, str] = {}  # who waits for its assignment, and why
        self._ahead: deque[LocalWorker] = deque()
        self._busy: set[LocalWorker] = set()
        self._starting: set[LocalWorker] = set()  # taken ones whose jobs have not taken a step yet
        self._booting = 0
        self._waiting = 0
        self._arrived = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    @property
    def problem(self) -> str | None:
        """Why no process can be started, or no assignment written, while that lasts."""
        return self._boot_problem or next(iter(self._unwritten.values()), None)

    @property
    def is_ready(self) -> bool:
        """Whether a job would get a worker at once."""
        return bool(self._ahead)

    @property
    def total(self) -> int:
        """How many slots there are: each GPU is one more."""
        return self._count + len(self._devices)

    @property
    def busy(self) -> int:
        """How many slots are in use."""
        return self._busy_threads + len(self._taken)

    @property
    def _busy_threads(self) -> int:
        return sum(worker.threads for worker in self._busy)

    @property
    def _taken(self) -> list[Device]:
        return [device for worker in self._busy for device in worker.devices]

    @property
    def cluster(self) -> None:
        """This machine alone."""

    async def start(self, inbox: Inbox, on_change: Callable[[], None]) -> None:
        """Look for GPUs and start the first workers; raises `NoSuchDevice`."""
        self._devices = await in_thread(self._find_devices)
        self._inbox, self._on_change = inbox, on_change
        self._closing = asyncio.Event()
        self._refill()

    def recovered(self) -> None:
        """Nothing is left that the record did not name."""

    def why(self, need: Need) -> Wait | None:
        """Return why a job of this need has to wait; None: there is room."""
        if (lack := lacking(need, self._count, self._memory_bytes)) is not None:
            return lack
        if need.is_on_gpu:
            return devices.why(need, self._devices, self._taken)
        if devices.pick(need, self._devices, self._taken):
            return None
        free_bytes = self._machine_bytes - sum(worker.memory_bytes for worker in self._busy)
        return waiting(need, self._count, self._count - self._busy_threads, free_bytes)

    async def take(self, need: Need) -> LocalWorker:
        """Return a fresh worker, once one is ready. Never fails for want of a process: `problem` says for what."""
        self._waiting += 1
        self._refill()
        try:
            async with self._arrived:
                await self._arrived.wait_for(lambda: self._ahead)
                worker = self._ahead.popleft()
        finally:
            self._waiting -= 1
        worker.devices = devices.pick(need, self._devices, self._taken)
        worker.threads = 0 if worker.devices else min(need.threads, self._count)
        worker.memory_bytes = need.memory_bytes or 0
        self._busy.add(worker)
        self._starting.add(worker)
        return worker

    def give_back(self, worker: Worker) -> None:
        """Let a worker that was taken wait for another job."""
        assert isinstance(worker, LocalWorker)
        self._busy.discard(worker)
        self._starting.discard(worker)
        if self._closing.is_set() or worker.process.gone.done():
            worker.kill()
            self._spawn(worker.retire(), f"retire {worker.pid}")
            self._refill()
        else:
            self._ahead.appendleft(worker)

    def begin(self, worker: Worker, assignment: Assignment) -> None:
        """Hand a worker that was taken its job; what it says arrives in the inbox."""
        assert isinstance(worker, LocalWorker)
        worker.attempt_dir = Path(assignment.place.attempt_dir)
        is_decided = bool(self._devices) or self._hides_gpus
        place = devices.placed(assignment.place, worker.devices) if is_decided else assignment.place
        self._spawn(self._relay(worker, Assignment(assignment.spec, place)), f"relay {worker.pid}")
        asyncio.get_running_loop().call_later(START_S, self._is_under_way, worker)

    async def adopt(self, leftover: Leftover, attempt_dir: Path) -> None:
        """Return nobody: a worker leaves when its server is gone."""

    async def end_leftover(self, leftover: Leftover) -> bool:
        """Kill that very process if it still runs."""
        try:
            identity = msgspec.json.decode(leftover.ref, type=Identity)
        except msgspec.DecodeError:  # a damaged row, or of another executor
            return False
        return bool(await in_thread(kill_leftover, identity))

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
        """Start as many workers ahead as are missing: `AHEAD` at least, or one of one slot.

        So jobs that start at once do not wait for them. A job that has not taken a step yet needs the processor more:
        the worker to follow it boots after that.
        """
        ahead = max(min(self.total, AHEAD), self.total - self.busy)
        wanted = max(ahead - len(self._starting), self._waiting)
        while not self._closing.is_set() and len(self._ahead) + self._booting < wanted:
            self._booting += 1
            self._spawn(self._boot(), "boot")

    def _is_under_way(self, worker: LocalWorker) -> None:
        if worker in self._starting:
            self._starting.discard(worker)
            self._refill()

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

    async def _started(self) -> LocalWorker | None:
        for delay_s in chain(BACK_OFF_S, repeat(BACK_OFF_S[-1])):
            try:
                worker = await LocalWorker.start(self._server, self._run, self._memory_bytes)
            except Exception as error:  # noqa: BLE001 - whatever it is now, it may be over in a moment
                self.lost["starting"] += 1
                if self._boot_problem is None:
                    LOG.error("no worker can be started, which is tried again: %s", error)  # noqa: TRY400 - its words
                self._boot_problem = str(error) if isinstance(error, BootFailed) else f"No worker starts: {error!r}."
            else:
                self._boot_problem = None
                return worker
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), delay_s)
            if self._closing.is_set():
                break
        return None

    def _died_waiting(self, worker: LocalWorker) -> None:
        if worker in self._ahead:
            self.lost["waiting"] += 1
            self._ahead.remove(worker)
            self._spawn(worker.retire(), f"retire {worker.pid}")
            self._refill()

    async def _relay(self, worker: LocalWorker, assignment: Assignment) -> None:
        try:
            await self._hand_over(worker, assignment)
            async with contextlib.aclosing(worker.work()) as events:
                async for event in events:
                    if not isinstance(event, State | Log):
                        self._is_under_way(worker)
                    await self._inbox.put(Frame(worker, event))
        except asyncio.CancelledError:
            self._closing.set()  # the loop ends, with or without `close`
            worker.kill()
            raise
        finally:
            if worker.devices:  # the next job needs the GPU's memory: its process must be gone
                await worker.retire()
            self._busy.discard(worker)
            self._starting.discard(worker)
            self._on_change()
            self._refill()
            if not worker.devices:
                await self._let_the_next_start(worker)
                await worker.retire()

    async def _let_the_next_start(self, worker: LocalWorker) -> None:
        """Wait a moment, unless the worker is gone: the end of its process takes the processor, too."""
        closing = asyncio.ensure_future(self._closing.wait())
        ends: set[asyncio.Future[Any]] = {closing, worker.process.gone}
        await asyncio.wait(ends, timeout=LINGER_S, return_when=asyncio.FIRST_COMPLETED)
        closing.cancel()

    async def _hand_over(self, worker: LocalWorker, assignment: Assignment) -> None:
        """Write the assignment, however often that takes, unless the worker is gone."""
        try:
            while not worker.process.gone.done():
                try:
                    await worker.receive(assignment)
                except OSError as error:
                    if worker not in self._unwritten:
                        LOG.warning("the assignment of job %s cannot be written: %s", assignment.place.job_id, error)
                    self._unwritten[worker] = f"An assignment cannot be written: {error}."
                    await asyncio.wait({worker.process.gone}, timeout=RETRY_S)
                else:
                    return
        finally:
            self._unwritten.pop(worker, None)

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name=f"traind-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
