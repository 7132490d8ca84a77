"""The other seats of a job whose workers are on several nodes, as rank 0's seat sees them.

Each of them runs one rank. They are started from here, what they log joins what rank 0 says, and where one of them
fails or is lost all end. The server sees one job on one seat.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from traind.service.executor.base import Ended
from traind.service.executor.ray.protocol import Take, Taken
from traind.service.executor.ray.seat_handle import SeatGone, SeatHandle, SeatRefused, SeatSilent
from traind.service.threads import in_thread
from traind.trainer.contract.events import AnyEvent, Failure, Log, State, Status, decode_event
from traind.trainer.contract.process_tree import CUT_OFF
from traind.trainer.contract.spec import Assignment, Meeting

RETRY_S = 0.5
SETTLE_S = 5.0  # within which the others notice by themselves that one is gone
LEAVE_S = 30.0  # what the others may take to leave once rank 0 is through
STACKS_S = 12.0


class Companions:
    """Ranks 1 and up of one attempt."""

    def __init__(self, seats: list[SeatHandle], job: tuple[str, int], say: Callable[[AnyEvent], None]) -> None:
        self._seats = dict(enumerate(seats, 1))
        self._job = job
        self._say = say
        self._ends: dict[int, Ended] = {}
        self._failures: dict[int, Failure] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listeners: list[asyncio.Task[None]] = []

    @property
    def size(self) -> int:
        """How many ranks there are, rank 0 included."""
        return len(self._seats) + 1

    async def begin(self, given: Assignment, meeting: Meeting) -> None:
        """Start them; they wait for rank 0. Raises `SeatGone`, `SeatRefused`, `SeatSilent`."""
        for rank, seat in self._seats.items():
            place = msgspec.structs.replace(given.place, meeting=msgspec.structs.replace(meeting, rank=rank))
            words = msgspec.json.encode(Assignment(given.spec, place))
            await seat.call("begin", *self._job, words, timeout_s=120.0)

    def listen(self, patience_s: float, end_rank_0: Callable[[], None]) -> None:
        """Hear what they say from now on; where one fails and rank 0 does not notice, end it."""

        async def hear(rank: int, seat: SeatHandle) -> None:
            end = self._ends[rank] = await self._heard(rank, seat, patience_s)
            if end.kind != "done" or rank in self._failures:
                asyncio.get_running_loop().call_later(SETTLE_S, end_rank_0)

        self._listeners = [asyncio.create_task(hear(rank, seat)) for rank, seat in self._seats.items()]

    async def settled(self, ended: Ended, last: State | None) -> tuple[Ended, State | None]:
        """Return how the attempt ended, and its last state, given how rank 0's part did.

        What another rank raised is the job's error; where another one died or was lost first, the attempt did.
        """
        if not ended.was_killed:
            within_s = LEAVE_S if ended.kind == "done" else SETTLE_S
            await asyncio.wait(self._listeners, timeout=within_s)
        for task in self._listeners:
            task.cancel()
        self.kill()
        is_own = last is not None or ended.signal is not None or ended.was_killed
        for rank, failure in sorted(self._failures.items()):
            if last is None or last.status is not Status.CANCELLED:
                words = f"Rank {rank} of {self.size}: {failure.message}"
                error = msgspec.structs.replace(failure, message=words)
                return Ended("done"), State(status=Status.FAILED, attempt=self._job[1], error=error)
        for rank, end in sorted(self._ends.items()):
            if last is None and end.kind == "lost":
                return end, None
            if not is_own and end.kind == "died" and end.exit_code != CUT_OFF:
                return msgspec.structs.replace(end, message=f"rank {rank} of {self.size}: {end.message}"), None
        return ended, last

    def kill(self) -> None:
        """End those that are still there."""
        for rank in self._seats.keys() - self._ends.keys():
            self._spawn(self._quietly(rank, "kill"))

    async def stacks(self) -> str:
        """Return where the threads of each are."""
        said = await asyncio.gather(*[self._quietly(rank, "stacks") for rank in self._seats])
        return "".join(f"\nRank {rank}:\n{stack}" for rank, stack in zip(self._seats, said, strict=True) if stack)

    async def cpu_s(self) -> float:
        """Return the processor time of all of them, in seconds."""
        return sum([await self._quietly(rank, "cpu_s") or 0.0 for rank in self._seats])

    async def _heard(self, rank: int, seat: SeatHandle, patience_s: float) -> Ended:
        """Pass on what one says until its end; return that."""
        cursor, heard_at = 0, time.monotonic()
        while True:
            try:
                answer = await seat.call("take", *self._job, msgspec.msgpack.encode(Take(cursor, cursor)))
            except SeatSilent:
                if time.monotonic() - heard_at > patience_s:
                    return Ended("lost", f"Nothing was heard of the seat of rank {rank} for {patience_s:.0f} s")
                await asyncio.sleep(RETRY_S)
                continue
            except (SeatGone, SeatRefused) as gone:
                return Ended("lost", f"The seat of rank {rank} was lost: {gone}")
            heard_at, taken = time.monotonic(), msgspec.msgpack.decode(answer, type=Taken)
            for number, body in taken.events:
                cursor = number
                self._hear(rank, decode_event(body))
            if taken.end is not None:
                return msgspec.convert(taken.end, Ended)

    def _hear(self, rank: int, event: AnyEvent) -> None:
        if isinstance(event, Log):
            self._say(msgspec.structs.replace(event, message=f"rank {rank}: {event.message}"))
        elif isinstance(event, State) and event.error is not None:
            self._failures[rank] = event.error

    async def _quietly(self, rank: int, method: str) -> Any:
        with contextlib.suppress(SeatGone, SeatRefused, SeatSilent):
            return await self._seats[rank].call(method, *self._job, timeout_s=STACKS_S)
        return None

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def find_seats(names: list[str]) -> list[SeatHandle]:
    """Return the seats of those names. Raises `ValueError` where one is not there."""
    import ray

    return [SeatHandle(name, await in_thread(ray.get_actor, name)) for name in names]


def place_to_meet() -> Meeting:
    """Return where the others find rank 0, which is to be on this node: a port that is free now."""
    import ray

    host = ray.util.get_node_ip_address()
    with socket.socket() as probe:
        probe.bind((host, 0))
        return Meeting(0, host, probe.getsockname()[1])
