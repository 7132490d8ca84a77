"""One job on a seat, as the engine sees it: verbs, heartbeat, stacks. Made by `executor`."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from traind.data.files import write_atomically
from traind.service.executor.base import Beat
from traind.service.executor.ray.link import CallFailed, Link
from traind.service.executor.ray.protocol import SeatNeed
from traind.service.threads import in_thread
from traind.trainer.contract.change import RequestedChange
from traind.trainer.contract.control import Verb

STACKS_S = 10.0
CPU_S = 2.0
COMMIT_EVERY = 100  # events; a seat keeps some megabytes of them
Spawn = Callable[[Coroutine[Any, Any, None]], None]
Done = Callable[["Seat", "RayWorker"], Coroutine[Any, Any, None]]


class Ref(Struct, frozen=True):
    """What is recorded of a worker, so that the next server finds it."""

    seat: str
    need: SeatNeed
    node: str | None
    node_id: str | None
    others: tuple["Ref", ...] = ()  # of a job whose workers are on several seats


@dataclass(slots=True, eq=False)
class Seat:
    """A seat as the server knows it."""

    name: str
    need: SeatNeed
    node: str | None = None  # the host's name; None: Ray has not placed it yet
    node_id: str | None = None  # Ray's name of it
    aim: str | None = None  # the node that Ray was asked to place it on; None: any
    worker: "RayWorker | None" = None  # whose it is now
    former: tuple[str, int] | None = None  # its last job whose end is recorded: the seat may forget that
    since: float = field(default_factory=time.monotonic)  # when it began to wait, for a place or for a job

    @property
    def is_idle(self) -> bool:
        """Whether it is placed, and nobody's."""
        return self.node is not None and self.worker is None


class RayWorker:
    """A seat with one job, or reserved for one; several where no node has room for all the job's workers."""

    def __init__(self, seats: Sequence[Seat], link: Link, spawn: Spawn, done: Done) -> None:
        self.seats = tuple(seats)
        self.seat = seats[0]  # that is asked and heard; of several workers it is rank 0's
        self.job: tuple[str, int] | None = None  # job id and attempt, once it has begun
        self.attempt_dir = Path()
        self.cursor = 0  # of the last frame that was handed on
        self.has_begun = False  # the seat has the job
        self.is_over = False
        self.ended_at: int | None = None  # the cursor of its end, once that was handed on
        self._link = link
        self._spawn = spawn
        self._done = done
        self._committed = 0
        self._asked = Verb.NONE
        self._waiting = b""  # changes, as JSON
        self._is_killed = False
        self._beat = Beat(0, time.monotonic())

    @property
    def ref(self) -> str:
        """What the next server finds it by."""
        first, *others = [Ref(seat.name, seat.need, seat.node, seat.node_id) for seat in self.seats]
        return msgspec.json.encode(msgspec.structs.replace(first, others=tuple(others))).decode()

    @property
    def pid(self) -> None:
        """Its process is not one of this machine."""

    @property
    def node(self) -> str | None:
        """The host name of its node, or of each of its nodes."""
        return ", ".join(dict.fromkeys(seat.node for seat in self.seats if seat.node is not None)) or None

    def beat(self) -> Beat:
        """Return the last heartbeat that came through."""
        return self._beat

    def heard(self, number: int, phase: int) -> None:
        """Take note of a heartbeat."""
        self._beat = Beat(number, time.monotonic(), phase)

    async def cpu_s(self) -> float | None:
        """Return the processor time that the job has used on its node; None where the seat does not answer."""
        seconds = await self._asked_of_seat("cpu_s", CPU_S)
        return None if seconds is None else float(seconds)

    def ask(self, verb: Verb) -> None:
        """Tell the job; the higher verb stays."""
        if verb > self._asked:
            self._asked = verb
            if self.has_begun:
                self._spawn(self._tell("ask", int(verb)))

    def change(self, waiting: Sequence[RequestedChange]) -> None:
        """Hand the job the changes that wait."""
        self._waiting = msgspec.json.encode(waiting)
        if self.has_begun:
            self._spawn(self._tell("change", self._waiting))

    def kill(self) -> None:
        """End the job's process; of a seat that cannot be reached, the lease does."""
        if not self._is_killed:
            self._is_killed = True
            if self.has_begun:
                self._spawn(self._tell("kill"))

    def committed(self, cursor: int) -> None:
        """Let the seat forget what is in the database, and the whole job when that is its end."""
        if self.ended_at is not None and cursor >= self.ended_at:
            for seat in self.seats:
                self._spawn(self._done(seat, self))
        elif cursor >= self._committed + COMMIT_EVERY and self._link.is_joined:
            self._committed = cursor
            self._spawn(self._quietly("commit", seat=self.seat.name, cursor=cursor))

    def is_at(self, job_id: str, attempt: int, cursor: int) -> bool:
        """Tell whether this is the next thing to hear of this worker, and not of one before or again."""
        return self.job == (job_id, attempt) and not self.is_over and cursor > self.cursor

    def begun(self) -> None:
        """The seat has the job now: it hears what was asked meanwhile."""
        self.has_begun = True
        if self._asked:
            self._spawn(self._tell("ask", int(self._asked)))
        if self._waiting:
            self._spawn(self._tell("change", self._waiting))
        if self._is_killed:
            self._spawn(self._tell("kill"))

    async def stacks(self) -> str:
        """Return where the job's threads are; also in `stacks.txt`. Empty where the seat does not answer."""
        stacks = str(await self._asked_of_seat("stacks", STACKS_S) or "")
        if stacks:
            await in_thread(write_atomically, self.attempt_dir / "stacks.txt", stacks.encode())
        return stacks

    async def _asked_of_seat(self, method: str, within_s: float) -> Any:
        """Return the seat's answer; None where there is none in time."""
        try:
            async with asyncio.timeout(within_s):
                return await self._link.insist("tell", seat=self.seat.name, method=method, arguments=self.job or ())
        except (TimeoutError, CallFailed):
            return None

    async def _tell(self, method: str, *arguments: Any) -> None:
        job = self.job or ()
        await self._quietly("tell", seat=self.seat.name, method=method, arguments=[*job, *arguments])

    async def _quietly(self, method: str, /, **arguments: Any) -> None:
        """Call until a gateway has answered or the worker is over; that the seat refuses is no matter then."""
        while not self.is_over:
            try:
                await self._link.insist(method, **arguments)
            except CallFailed:
                await asyncio.sleep(1.0)  # the seat was silent: what was asked may have been done
                if method != "tell":
                    return
            else:
                return
