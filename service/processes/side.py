"""The side worker: answers what needs torch or DuckDB but no slot: predict, export, preview, schema, dry run.

One process for each function that is called, started by its first call and kept until nobody has called for a
while: models stay loaded where predictions are made, and a long description delays no prediction. A call's payloads
go by file, never through a pool's pipes. If the process dies only the call fails, and the next one starts another.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from traind.data.errors import BadCell, DataError
from traind.service.errors import NotRunning, SideWorkerFailed
from traind.service.processes.fork_server import BootFailed, ForkServer
from traind.service.processes.worker_process import WorkerProcess
from traind.service.threads import in_thread
from traind.trainer.contract.errors import TrainerError

BOOT_S = 120.0
IDLE_S = 30.0  # a process that nobody calls gives its memory back after that; another one starts in milliseconds
LOADED_S = 300.0  # one that has a model loaded is kept longer: the next prediction would wait for both


@dataclass(slots=True)
class _Lane:
    """One function's process, and its queue: the lock."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    idle_s: float = IDLE_S
    process: WorkerProcess | None = None
    idle: asyncio.TimerHandle | None = None  # until the process leaves


class SideWorker:
    """Calls functions of the worker's side, one call of each function at a time."""

    def __init__(self, server: ForkServer, folder: Path) -> None:
        """Make it; processes start when called.

        Args:
            server: where processes come from; its owner stops it.
            folder: where requests and answers lie while a call runs. Emptied at both ends.
        """
        self._server = server
        self._folder = folder
        self._lanes: dict[str, _Lane] = {}
        self._calls: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    async def start(self) -> None:
        """Make the folder, empty."""
        await in_thread(_emptied, self._folder)

    async def call(
        self, function: str, request: dict[str, Any], timeout_s: float = 60.0, idle_s: float = IDLE_S
    ) -> Any:
        """Run `module:function` on the request in its process and return its answer, both of plain values.

        The time starts when its turn comes; the process is kept for `idle_s` after it. Raises what the function
        raised where that is a `TrainerError` or `DataError`, and `SideWorkerFailed` for anything else. A caller who
        is cancelled leaves; the call ends by itself.
        """
        if self._is_closed:
            raise NotRunning("The service is closing.")
        lane = self._lanes.setdefault(function, _Lane())
        lane.idle_s = idle_s
        return await asyncio.shield(self._spawn(self._take_turn(lane, function, request, timeout_s), function))

    async def close(self) -> None:
        """End the processes; calls that run fail."""
        self._is_closed = True
        for lane in self._lanes.values():
            _stays(lane)
            if lane.process is not None:
                lane.process.kill()
        if self._calls:
            await asyncio.wait(self._calls)
        await asyncio.gather(*(lane.process.retire() for lane in self._lanes.values() if lane.process is not None))
        self._lanes.clear()
        await in_thread(shutil.rmtree, self._folder, True)

    async def _take_turn(self, lane: _Lane, function: str, request: dict[str, Any], timeout_s: float) -> Any:
        folder = Path(await in_thread(tempfile.mkdtemp, "", "", self._folder))
        try:
            request_path, answer_path = folder / "request", folder / "answer"
            await in_thread(_write, request_path, request)
            async with lane.turn:
                _stays(lane)
                process = await self._process_of(lane)
                answer = await _answered(process, (function, str(request_path), str(answer_path)), timeout_s)
                if not self._is_closed:
                    lane.idle = asyncio.get_running_loop().call_later(lane.idle_s, self._leaves, lane)
            return await in_thread(_content, answer_path, answer)
        finally:
            await in_thread(shutil.rmtree, folder, True)

    async def _process_of(self, lane: _Lane) -> WorkerProcess:
        if lane.process is not None and lane.process.gone.done():
            await lane.process.retire()
            lane.process = None
        if self._is_closed:
            raise NotRunning("The service is closing.")
        if lane.process is None:
            try:
                lane.process = await WorkerProcess.start(
                    self._server, "traind.trainer.worker.main:initialise_side", boot_s=BOOT_S
                )
            except BootFailed as error:
                raise SideWorkerFailed(str(error)) from error
        return lane.process

    def _leaves(self, lane: _Lane) -> None:
        """Let a lane's process go, which nobody has called for a while."""
        if lane.process is not None and not lane.turn.locked():
            self._spawn(lane.process.retire(), "retire")
            lane.process = None

    def _spawn(self, work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        task = asyncio.create_task(work, name=f"traind {name}")
        self._calls.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: "asyncio.Task[Any]") -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may have left


def _stays(lane: _Lane) -> None:
    """Have a lane's process wait for nothing but calls."""
    if lane.idle is not None:
        lane.idle.cancel()
        lane.idle = None


async def _answered(process: WorkerProcess, arguments: tuple[str, str, str], timeout_s: float) -> dict[str, Any]:
    call = asyncio.create_task(process.call("traind.trainer.worker.main:answer", *arguments))
    await asyncio.wait({call}, timeout=timeout_s)
    if not call.done():
        process.kill()
        await call
        raise SideWorkerFailed(f"{arguments[0]} took longer than {timeout_s:g} s.")
    answer = call.result()
    if answer is None:
        raise SideWorkerFailed(f"The process died in {arguments[0]}.")
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
    """Return the error that the worker described, of the nearest class that is known here."""
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
