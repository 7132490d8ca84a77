"""The side worker: calls that need torch or a table but no slot: predict, export, preview, schema, dry run.

Each kind of call (a lane) has a few processes, started when called and kept until they are idle for a while: models
stay loaded for predictions, and a long description delays no prediction. A lane is shared fairly between clients and
refuses calls beyond a short queue (`lane`). Requests and answers are files, never sent through a pool's pipes. If a
process dies, only its call fails. A call whose caller has left is not begun, or is ended.
"""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from traind.data.errors import BadCell, DataError
from traind.service.errors import NotRunning, SideWorkerFailed
from traind.service.processes.fork_server import BootFailed, ForkServer
from traind.service.processes.lane import CLIENT, Lane
from traind.service.processes.worker_process import WorkerProcess
from traind.service.settings import processors
from traind.service.threads import in_thread
from traind.trainer.contract.errors import TrainerError

LOG = logging.getLogger(__name__)
BOOT_S = 120.0
IDLE_S = 30.0  # then an idle process ends, to free its memory; a new one starts in milliseconds
LOADED_S = 300.0  # a process with a loaded model is kept longer, since the next prediction would wait for loading
ABANDONED_S = 1.0  # a running call whose caller has left is ended after that, with its process
LEAST_WIDTH, MOST_WIDTH = 2, 4  # processes of one lane


@dataclass(slots=True)
class _Processes:
    """One lane's queue and idle processes."""

    lane: Lane
    idle: dict[WorkerProcess, asyncio.TimerHandle] = field(
        default_factory=dict
    )  # each with the timer that ends it; newest last
    busy: set[WorkerProcess] = field(default_factory=set)


class Call(NamedTuple):
    """A call and its client."""

    function: str  # `module:function`
    request: dict[str, Any]  # plain values
    timeout_s: float
    idle_s: float
    client: str
    abandoned: "asyncio.Future[None]"  # done when the caller has left


class SideWorker:
    """Calls functions of the worker's side, a few calls of each lane at a time."""

    def __init__(
        self, server: ForkServer, folder: Path, *, width: int | None = None, memory_bytes: int | None = None
    ) -> None:
        """Make the side worker; processes start when called.

        Args:
            server: starts the processes; its owner stops it.
            folder: holds requests and answers while a call runs; emptied at start and close.
            width: processes of one lane; None: one for each core, from 2 to 4.
            memory_bytes: memory that one process may allocate; None: no limit.
        """
        self._server = server
        self._folder = folder
        self._width = width or max(LEAST_WIDTH, min(MOST_WIDTH, processors()))
        self._memory_bytes = memory_bytes
        self._lanes: dict[str, _Processes] = {}
        self._calls: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    async def start(self) -> None:
        """Make or empty the folder."""
        await in_thread(_emptied, self._folder)

    async def call(
        self,
        function: str,
        request: dict[str, Any],
        timeout_s: float = 60.0,
        idle_s: float = IDLE_S,
        lane: str | None = None,
    ) -> Any:
        """Run `module:function` on the request in a process of `lane` and return its answer, both of plain values.

        By default each function has its own lane. `timeout_s` counts from its turn on; the process is kept for
        `idle_s` after it. Raises the function's `TrainerError` or `DataError`, `SideWorkerBusy` where too many calls
        wait, and `SideWorkerFailed` for anything else. If the caller is cancelled, the call is not begun, or ended
        after `ABANDONED_S`.
        """
        if self._is_closed:
            raise NotRunning("The service is closing.")
        processes = self._lanes.setdefault(lane or function, _Processes(Lane(self._width)))
        client = CLIENT.get()
        processes.lane.check(client)
        abandoned = asyncio.get_running_loop().create_future()
        call = Call(function, request, timeout_s, idle_s, client, abandoned)
        try:
            return await asyncio.shield(self._spawn(self._carry_out(processes, call), function))
        except asyncio.CancelledError:
            if not abandoned.done():
                abandoned.set_result(None)
            raise

    def waiting(self, lane: str) -> int:
        """Return how many calls wait in a lane."""
        return self._lanes[lane].lane.waiting if lane in self._lanes else 0

    async def close(self) -> None:
        """End the processes; running calls fail."""
        self._is_closed = True
        for processes in self._lanes.values():
            for process in processes.busy:
                process.kill()
        if self._calls:
            await asyncio.wait(self._calls)
        idle = [(process, leaving) for lane in self._lanes.values() for process, leaving in lane.idle.items()]
        for process, leaving in idle:
            leaving.cancel()
            process.kill()
        await asyncio.gather(*(process.retire() for process, _ in idle))
        self._lanes.clear()
        await in_thread(shutil.rmtree, self._folder, True)

    async def _carry_out(self, processes: _Processes, call: Call) -> Any:
        """Wait for the call's turn and run it; not if its caller leaves before."""
        folder = Path(await in_thread(tempfile.mkdtemp, "", "", self._folder))
        try:
            request_path, answer_path = folder / "request", folder / "answer"
            await in_thread(_write, request_path, call.request)
            async with processes.lane.place(call.client, call.abandoned):
                answer = await self._run(processes, call, request_path, answer_path)
            return await in_thread(_content, answer_path, answer)
        finally:
            await in_thread(shutil.rmtree, folder, True)

    async def _run(self, processes: _Processes, call: Call, request_path: Path, answer_path: Path) -> dict[str, Any]:
        """Have a process answer; replace one that has imported code that has changed since."""
        answer = {"is_stale": True}
        while answer.get("is_stale"):
            answer = await self._run_once(processes, call, (call.function, str(request_path), str(answer_path)))
        return answer

    async def _run_once(self, processes: _Processes, call: Call, arguments: tuple[str, str, str]) -> dict[str, Any]:
        process = await self._process_of(processes)
        if self._is_closed:
            process.kill()
        try:
            answer = await _answered(process, call, arguments)
            if answer.get("is_stale"):
                process.kill()
                await asyncio.wait({process.gone})
            return answer
        finally:
            processes.busy.discard(process)
            if process.gone.done() or self._is_closed:
                await process.retire()
            else:
                leaving = asyncio.get_running_loop().call_later(call.idle_s, self._leave, processes, process)
                processes.idle[process] = leaving

    async def _process_of(self, processes: _Processes) -> WorkerProcess:
        """Return the lane's most recently used idle process, or a new one."""
        if self._is_closed:
            raise NotRunning("The service is closing.")
        while processes.idle:
            process, leaving = processes.idle.popitem()
            leaving.cancel()
            if not process.gone.done():
                processes.busy.add(process)
                return process
            await process.retire()
        try:
            process = await WorkerProcess.start(
                self._server, "traind.trainer.worker.main:initialise_side", self._memory_bytes, boot_s=BOOT_S
            )
        except BootFailed as error:
            LOG.error("no side worker can be started: %s", error)  # noqa: TRY400 - the server's words, not ours
            raise SideWorkerFailed("No process can be started for this; the log says why.") from error
        processes.busy.add(process)
        return process

    def _leave(self, processes: _Processes, process: WorkerProcess) -> None:
        """End an idle process."""
        if processes.idle.pop(process, None) is not None:
            self._spawn(process.retire(), "retire")

    def _spawn(self, work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        task = asyncio.create_task(work, name=f"traind {name}")
        self._calls.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: "asyncio.Task[Any]") -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may have left


async def _answered(process: WorkerProcess, call: Call, arguments: tuple[str, str, str]) -> dict[str, Any]:
    """Return the process's answer; kill it if it takes too long or its caller has left."""
    running = asyncio.create_task(process.call("traind.trainer.worker.main:answer", *arguments))
    awaited: set[asyncio.Future[Any]] = {running, call.abandoned}
    await asyncio.wait(awaited, timeout=call.timeout_s, return_when=asyncio.FIRST_COMPLETED)
    if not running.done() and call.abandoned.done():
        await asyncio.wait({running}, timeout=ABANDONED_S)
    if not running.done():
        process.kill()
        await running
        raise SideWorkerFailed(f"{call.function} took longer than {call.timeout_s:g} s.")
    answer = running.result()
    if answer is None:
        raise SideWorkerFailed(f"The process died in {call.function}.")
    return answer


def _write(path: Path, request: dict[str, Any]) -> None:
    path.write_bytes(msgspec.msgpack.encode(request))


def _content(path: Path, answer: dict[str, Any]) -> Any:
    if "error" in answer:
        raise SideWorkerFailed(answer["error"])
    content = msgspec.msgpack.decode(path.read_bytes())
    if not answer["ok"]:
        raise _same_error(content)
    return content


def _same_error(described: dict[str, Any]) -> Exception:
    """Return the error that the worker described, as the nearest known class."""
    known = {kind.__name__: kind for root in (TrainerError, DataError) for kind in (root, *_leaves(root))}
    kind = next(known[name] for name in described["kinds"] if name in known)
    error = kind.__new__(kind)
    Exception.__init__(error, described["message"])
    vars(error).update(described["facts"])
    if isinstance(error, DataError):
        error.cells = tuple(msgspec.convert(cell, BadCell) for cell in described["cells"])
    return error


def _leaves(root: type[Exception]) -> set[type[Exception]]:
    return {leaf for kind in root.__subclasses__() for leaf in (kind, *_leaves(kind))}


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
