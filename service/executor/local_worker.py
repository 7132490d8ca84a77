"""One job's process from the outside: its verbs and signals, its events, and how it ended.

Made by `local`. Knows no job states and decides nothing about a job.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncGenerator, Sequence
from multiprocessing import connection, sharedctypes
from pathlib import Path
from typing import Any, Self

import msgspec

from traind.service.executor.base import Beat, Ended
from traind.service.executor.devices import Device
from traind.service.processes.descriptors import close, hold
from traind.service.processes.fork_server import ForkServer
from traind.service.processes.identity import Identity
from traind.service.processes.worker_process import SETTLE_S, WorkerProcess
from traind.service.threads import finish, in_thread
from traind.trainer.contract.change import RequestedChange, put
from traind.trainer.contract.control import SharedControl, Verb
from traind.trainer.contract.events import AnyEvent, decode_event
from traind.trainer.contract.process_tree import RANK, children, cpu_s
from traind.trainer.contract.spec import Assignment

BOOT_S = 120.0  # the first boot imports torch, from a cold disk perhaps
CHUNK_BYTES = 65_536
FRAME_BYTES_MAX = 64 * 1024 * 1024
OUTPUT_CHARS = 4_000
STACKS_S = 1.0


class LocalWorker:
    """One process, waiting for its job or at work on it."""

    def __init__(self, process: WorkerProcess, pipe: int, orders: int, control: SharedControl) -> None:
        self.process = process
        self.attempt_dir = Path()  # of its job
        self.threads = 0  # slots that are taken for the job
        self.memory_bytes = 0  # that the job asked for
        self.devices: tuple[Device, ...] = ()  # the GPUs that the job was given
        self._pipe = pipe
        self._orders: int | None = orders
        self._control = control
        self._has_returned = False  # the job's code, as it should
        self._call = asyncio.create_task(process.call("traind.trainer.worker.main:work"), name="traind-work")

    @classmethod
    async def start(cls, server: ForkServer, run: str, memory_bytes: int | None) -> Self:
        """Start a process that waits for its job, or raise `BootFailed`. Not to be cancelled."""
        reader, writer = connection.Pipe(duplex=False)
        orders, giver = connection.Pipe(duplex=False)
        control: Any = sharedctypes.RawValue(SharedControl)
        with reader, writer, orders, giver, contextlib.ExitStack() as unless_started:
            pipe = os.dup(reader.fileno())
            unless_started.callback(os.close, pipe)
            giving = hold(os.dup(giver.fileno()))
            unless_started.callback(close, giving)
            initialise = "traind.trainer.worker.main:initialise"
            process = await WorkerProcess.start(
                server, initialise, writer, orders, control, run, memory_bytes, boot_s=BOOT_S
            )
            unless_started.pop_all()
        os.set_blocking(pipe, False)
        return cls(process, pipe, giving, control)

    @property
    def pid(self) -> int:
        """Its pid."""
        return self.process.identity.pid

    @property
    def node(self) -> None:
        """This machine."""

    @property
    def identity(self) -> Identity:
        """Which process it is, beyond doubt."""
        return self.process.identity

    @property
    def ref(self) -> str:
        """What to record, to know the process again after a restart of the server."""
        return msgspec.json.encode(self.identity).decode()

    def beat(self) -> Beat:
        """Return the heartbeat: it moves with each step."""
        return Beat(int(self._control.beat), time.monotonic(), int(self._control.phase))

    async def cpu_s(self) -> float | None:
        """Return the processor time of the process and all below it."""
        return float(await in_thread(cpu_s, self.pid))

    def committed(self, cursor: int) -> None:
        """Keep nothing: what was read of the pipe is gone from it."""

    def ask(self, verb: Verb) -> None:
        """Tell the job; it looks at each step. The higher verb stays."""
        self._control.verb = max(int(verb), int(self._control.verb))

    def change(self, waiting: Sequence[RequestedChange]) -> None:
        """Hand the job the changes that wait."""
        put(self._control, waiting)

    def kill(self) -> None:
        """Kill the process and what it started."""
        self.process.kill()

    async def stacks(self) -> str:
        """Return the stacks of all its threads; also in `stacks.txt`. Empty where the process cannot answer."""
        path = self.attempt_dir / "stacks.txt"
        self.process.signal(signal.SIGUSR2)
        await in_thread(_signal_ranks, self.pid)
        loop = asyncio.get_running_loop()
        deadline, before = loop.time() + STACKS_S, ""
        while loop.time() < deadline:
            await asyncio.sleep(0.05)
            stacks = await in_thread(_tail, path, CHUNK_BYTES)
            if stacks and stacks == before:
                break
            before = stacks
        return before

    async def receive(self, assignment: Assignment) -> None:
        """Make the attempt's folder and write the assignment there; raises `OSError`.

        By file, since a big one would stick in a pipe.
        """
        await in_thread(_write, self._assignment_path, assignment)

    async def work(self) -> AsyncGenerator[AnyEvent | Ended]:
        """Start on the assignment; yield the job's events in order, and last how it ended."""
        self._order(os.fsencode(self._assignment_path))
        problem = ""
        try:
            async for event in self._events(self._call):
                yield event
        except ValueError as error:  # no JSON, or not even text
            problem = f"the worker wrote what is not an event: {error}"
            self.kill()
        yield Ended("done") if self._has_returned else await self._ended(await self._call, problem)

    async def retire(self) -> None:
        """End the process and release everything it held. Not to be cancelled."""
        if self._orders is not None:
            close(self._orders)  # it waits for orders no longer
            self._orders = None
        await self.process.retire()
        await asyncio.wait({self._call}, timeout=SETTLE_S)
        self._call.cancel()  # if not even a kill ended the process
        os.close(self._pipe)

    @property
    def _assignment_path(self) -> Path:
        return self.attempt_dir / "assignment.json"

    def _order(self, path: bytes) -> None:
        """Have the process, which waits for it, carry out the assignment in a file."""
        if self._orders is not None:
            with contextlib.suppress(BrokenPipeError):  # it has died, as its events' end tells
                os.write(self._orders, path)

    async def _events(self, call: "asyncio.Task[Any]") -> AsyncGenerator[AnyEvent]:
        """Yield what the job wrote until the call is over and the pipe is empty.

        An empty frame is the last: the job's code has returned. One that the worker's death cut short is dropped.
        Raises `ValueError` for what is no event.
        """
        rest = b""
        while True:
            is_over = call.done()  # looked at before the pipe: then an empty pipe stays empty
            try:
                chunk = os.read(self._pipe, CHUNK_BYTES)
            except BlockingIOError:
                if is_over:
                    return
                await self._readable(call)
                continue
            if not chunk:
                return
            rest += chunk
            while len(rest) >= 4 and len(rest) >= 4 + (size := _size(rest)):
                if not size:
                    self._has_returned = True
                    return
                yield decode_event(rest[4 : 4 + size])
                rest = rest[4 + size :]

    async def _readable(self, call: "asyncio.Task[Any]") -> None:
        """Wait until there is something to read, or the call is over."""
        loop = asyncio.get_running_loop()
        readable: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._pipe, finish, readable)
        try:
            await asyncio.wait({readable, call}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(self._pipe)

    async def _ended(self, answer: dict[str, Any] | None, problem: str) -> Ended:
        if answer is not None and answer["ok"] and not problem:
            return Ended("done")
        output = await in_thread(_last_words, self.attempt_dir / "output.log")
        if answer is not None:
            return Ended("died", problem or answer.get("error", ""), output=output)
        code = await self.process.exit_code()
        number = -code if code is not None and code < 0 else None
        if number is not None:
            how = f"was killed by {_signal_name(number)}"
        else:
            how = "died" if code is None else f"left with exit code {code}"
        return Ended(
            "died",
            problem or f"the worker {how}",
            exit_code=code,
            signal=number,
            was_killed=self.process.was_killed,
            output=output,
        )


def _signal_ranks(pid: int) -> None:
    """Have the other processes of a job of several workers write their stacks, too, to the same file."""
    for child in children(pid):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{child}/comm").read_text(encoding="ascii").strip() == RANK:
                os.kill(child, signal.SIGUSR2)


def _write(path: Path, assignment: Assignment) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(assignment))


def _size(frame: bytes) -> int:
    size = int.from_bytes(frame[:4])
    if size > FRAME_BYTES_MAX:
        raise msgspec.DecodeError(f"a frame of {size} bytes")
    return size


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _last_words(path: Path) -> str:
    """Return the end of what a job printed, without the list of modules that Python adds when it crashes."""
    lines = _tail(path, CHUNK_BYTES).splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("Extension modules: "))[-OUTPUT_CHARS:]


def _tail(path: Path, size_bytes: int) -> str:
    """Return the end of a text file; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size_bytes))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
