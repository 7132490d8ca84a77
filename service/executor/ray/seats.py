"""The seats that a server has on its cluster: made, found again, given back, and which nodes are avoided for a while.

Knows no inbox and no events; owned by `executor`.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from traind.service.executor.ray.link import CallFailed, GatewayGone, Link
from traind.service.executor.ray.protocol import Hello, Node, SeatConfig, SeatNeed
from traind.service.executor.ray.room import to_give_back
from traind.service.executor.ray.worker import RayWorker, Seat

LOG = logging.getLogger(__name__)
DOUBTED_S = 15.0  # by when Ray has noticed the death of a node, with its own settings
AVOIDED_S = 60.0  # a node that had no room on its disk, or could not be sent what a job needs
FORGOTTEN_S = 10.0  # a seat that holds nothing by then, though there is room, was forgotten by Ray
STUCK_S = 60.0  # the same where others use the cluster, too, and nobody can tell; twice as long each time
STUCK_MOST_S = 960.0
FREE_BYTES = 64 * 1024 * 1024  # what a node must have free to be given a job


class Seats:
    """Every seat by its name."""

    def __init__(self, link: Link, on_change: Callable[[], None]) -> None:
        self.all: dict[str, Seat] = {}
        self.lost: Counter[str] = Counter({"starting": 0, "waiting": 0})
        self._link = link
        self._on_change = on_change
        self._config: SeatConfig
        self._placed = asyncio.Condition()
        self._doubtful: dict[str, float] = {}  # nodes that lost a seat, until when
        self._patience_s = STUCK_S
        self._avoided: dict[str, tuple[float, str]] = {}  # node -> until when, and why
        self._tasks: set[asyncio.Task[None]] = set()

    def configure(self, config: SeatConfig) -> None:
        """Set the settings that every new seat gets; its name is added."""
        self._config = config

    def idle(self, wanted: SeatNeed) -> list[Seat]:
        """Return the seats of that kind that are nobody's."""
        return [seat for seat in self.all.values() if seat.is_idle and seat.need == wanted]

    def waiting_s(self, wanted: SeatNeed) -> float:
        """Return for how long a seat of that kind has been waiting for its node; 0 where none does."""
        since = [seat.since for seat in self.all.values() if seat.node is None and seat.need == wanted]
        return time.monotonic() - min(since) if since else 0.0

    def worker(self, name: str) -> RayWorker | None:
        """Return whose a seat is."""
        seat = self.all.get(name)
        return seat.worker if seat is not None else None

    def avoided(self, node: Node) -> str | None:
        """Return why a node is given no job now."""
        until, reason = self._avoided.get(node.node_id, (0.0, ""))
        return reason if time.monotonic() < until else None

    def avoid(self, seat: Seat, reason: str) -> None:
        """Give the node of a seat no job for a while."""
        if seat.node_id is not None:
            LOG.warning("the node %s is given no job for %g s: %s", seat.node, AVOIDED_S, reason)
            self._avoided[seat.node_id] = (time.monotonic() + AVOIDED_S, f"{seat.node}: {reason}")
            for other in list(self.all.values()):
                if other.is_idle and other.node_id == seat.node_id:
                    self.drop(other)

    def doubt(self, seat: Seat) -> None:
        """Make no seat on the node of a lost one for a moment, if another has room: it may be dead.

        Ray forgets a seat that it places on a node which has just died.
        """
        if seat.node_id is not None:
            self._doubtful[seat.node_id] = time.monotonic() + DOUBTED_S

    async def some(self, wanted: SeatNeed, count: int, total: int, within_s: float) -> list[Seat]:
        """Return so many idle seats of that kind, made where there are none; none where the cluster is too slow.

        Seats hold `total` cores at most: idle ones of other kinds make room.
        """
        waiting = sum(seat.node is None and seat.need == wanted for seat in self.all.values())
        for _ in range(count - len(self.idle(wanted)) - waiting):
            self._begin_one(wanted, total)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s), self._placed:
                await self._placed.wait_for(lambda: len(self.idle(wanted)) >= count)
        found = self.idle(wanted)
        return found[:count] if len(found) >= count else []

    def _begin_one(self, wanted: SeatNeed, total: int) -> None:
        held = sum(seat.need.cpus for seat in self.all.values())
        for seat in [seat for seat in self.all.values() if seat.is_idle and seat.need != wanted]:
            if held + wanted.cpus > total:
                held -= seat.need.cpus
                self.drop(seat)
        self._make_room(wanted)
        made = Seat(f"seat-{secrets.token_hex(6)}", wanted)
        self.all[made.name] = made
        self.spawn(self._open(made))

    def _make_room(self, wanted: SeatNeed) -> None:
        """Give idle seats back, on one node, where no node has room for a seat beside them."""
        found: list[list[Seat]] = []
        for node in self._link.cluster.nodes:
            if self.avoided(node) is None:
                here = [seat for seat in self.all.values() if seat.node_id == node.node_id]
                idle = [seat for seat in here if seat.is_idle]
                held = [seat.need for seat in here if not seat.is_idle]
                count = to_give_back(node, held, [seat.need for seat in idle], wanted)
                found += [] if count is None else [idle[:count]]
        for seat in min(found, key=len, default=[]):
            self.drop(seat)

    async def free(self, seat: Seat, worker: RayWorker) -> None:
        """Have a seat forget its job, whose end is in the database; it may have another one at once."""
        seat.worker, seat.former, seat.since = None, worker.job, time.monotonic()
        await self._changed()
        try:
            await self._link.insist("done", seat=seat.name, job=worker.job)
        except CallFailed:
            if seat.is_idle and seat.former == worker.job:  # else the next job had it forgotten
                self.drop(seat)

    async def reconcile(self) -> None:
        """End the seats of this service that it knows nothing of, and those that are gone are forgotten."""
        for name in await self._link.call("find_seats"):
            if name not in self.all:
                self.spawn(self.quit(name))
        for seat in list(self.all.values()):
            if seat.is_idle:
                self.spawn(self._look_for(seat))

    def give_up_stuck(self) -> None:
        """Give up seats that Ray leaves waiting though there is room: when a node dies it may forget one."""
        cluster = self._link.cluster
        used = sum(node.cpus for node in cluster.nodes) - cluster.free_cpus
        is_sure = used < sum(seat.need.cpus for seat in self.all.values())  # one that starts holds its cores
        patience_s = FORGOTTEN_S if is_sure else self._patience_s
        for seat in list(self.all.values()):
            has_room = cluster.free_cpus >= seat.need.cpus and cluster.free_gpus >= seat.need.gpus
            if seat.node is None and has_room and time.monotonic() - seat.since > patience_s:
                LOG.warning("the seat %s was not placed within %g s, and is given up", seat.name, patience_s)
                self._patience_s = min(2 * self._patience_s, STUCK_MOST_S)
                self.drop(seat)
                self._on_change()

    def drop(self, seat: Seat) -> None:
        """Give a seat up, wherever it is."""
        self.all.pop(seat.name, None)
        self.spawn(self.quit(seat.name))

    async def quit(self, name: str) -> bool:
        """End a seat with all that it started; return whether it could be reached."""
        self.all.pop(name, None)
        with contextlib.suppress(CallFailed, GatewayGone):
            await self._link.call("quit_seat", seat=name)
            return True
        return False

    async def close(self, within_s: float) -> None:
        """End all seats."""
        leaving = [asyncio.create_task(self.quit(name)) for name in list(self.all)]
        if leaving and self._link.is_joined:
            await asyncio.wait(leaving, timeout=within_s)
        tasks: set[asyncio.Task[Any]] = {*leaving, *self._tasks}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have something done, and say so where it breaks."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def _open(self, seat: Seat) -> None:
        config = msgspec.structs.replace(self._config, name=seat.name, gpus=seat.need.gpus)
        seat.aim = self._elsewhere(seat.need)
        wanted = {
            "seat": seat.name,
            "need": msgspec.to_builtins(seat.need),
            "config": msgspec.to_builtins(config),
            "node_id": seat.aim,
        }
        try:
            answer = await self._link.insist("open_seat", lambda: seat.name in self.all, **wanted)
        except CallFailed as error:
            LOG.warning("a seat could not be made: %s", error)
            self.lost["starting"] += 1
            self.all.pop(seat.name, None)
            return
        if seat.name not in self.all:  # it was given up meanwhile, and would hold its cores for nobody
            await self.quit(seat.name)
            return
        hello = msgspec.msgpack.decode(answer, type=Hello)
        seat.node, seat.node_id, seat.since = hello.host, hello.node_id, time.monotonic()
        seat.aim, self._patience_s = None, STUCK_S
        if hello.free_bytes < FREE_BYTES:
            self.avoid(seat, f"its disk has only {hello.free_bytes // 2**20} MiB free")
        await self._changed()

    def _elsewhere(self, need: SeatNeed) -> str | None:
        """Return a node with room, where some are avoided or may be dead; None: Ray may choose."""
        now = time.monotonic()
        shunned = {node for node, (until, _) in self._avoided.items() if now < until}
        shunned |= {node for node, until in self._doubtful.items() if now < until}
        for node in self._link.cluster.nodes if shunned else ():
            held = [seat.need for seat in self.all.values() if node.node_id in (seat.node_id, seat.aim)]
            if node.node_id not in shunned and to_give_back(node, held, (), need) == 0:
                return node.node_id
        return None

    async def _look_for(self, seat: Seat) -> None:
        try:
            await self._link.call("tell", seat=seat.name, method="ping", arguments=[])
        except GatewayGone:
            return
        except CallFailed:
            if seat.is_idle:
                self.drop(seat)

    async def _changed(self) -> None:
        """Have a seat that has become idle make room for those that wait, or else a job take it."""
        for need in {seat.need for seat in self.all.values() if seat.node is None}:
            self._make_room(need)
        self._on_change()
        async with self._placed:
            self._placed.notify_all()

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.critical("a task of the Ray executor broke: %r", error, exc_info=error)
