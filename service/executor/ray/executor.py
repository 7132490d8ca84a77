"""Jobs on the nodes of a Ray cluster, behind the same seam as local slots.

The server's side: which seats there are and whose they are, what the gateway is to do, when a silent seat is lost.
Imports no Ray and touches no network: all of that is the gateway's.
"""

import asyncio
import contextlib
import importlib.util
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from traind.service.errors import ExecutorRefused
from traind.service.executor.base import ClusterInfo, Ended, Frame, Inbox, Leftover, Need, NodeInfo, Wait, Worker
from traind.service.executor.ray.connect import CannotJoin, split_address
from traind.service.executor.ray.link import CallFailed, GatewayGone, Link
from traind.service.executor.ray.protocol import (
    GRACE_S,
    LEASE_S,
    GatewayConfig,
    Heard,
    Message,
    Over,
    SeatConfig,
    SeatLost,
    Told,
    namespace_of,
)
from traind.service.executor.ray.room import lacking, seats_of
from traind.service.executor.ray.seats import Seats
from traind.service.executor.ray.worker import RayWorker, Ref, Seat
from traind.trainer.contract.events import State, decode_event
from traind.trainer.contract.spec import Assignment

LOG = logging.getLogger(__name__)
PLACED_S = 10.0  # a seat that is not ready by then waits for room; the job goes back into line meanwhile
IDLE_S = 120.0  # a seat without a job is given back to the cluster after that
LOOK_EVERY_S = 1.0
FIRST_S = 5.0  # what the first try to join may hold up the start of the service
CLOSE_S = 8.0


class RaySlots:
    """Seats on a cluster, made as jobs need them and given back when nobody does."""

    def __init__(
        self,
        address: str,
        *,
        slots: int | None = None,
        is_insecure: bool = False,
        node_dir: str | None = None,
        worker_memory_bytes: int | None = None,
        lease_s: float = LEASE_S,
    ) -> None:
        """Make the executor; `start` joins the cluster.

        Args:
            address: `host:port` of the cluster's head.
            slots: cores that jobs may hold at once; None: all that the cluster has.
            is_insecure: use a cluster beyond this machine that asks nobody for a token.
            node_dir: where nodes keep files; None: their folder for temporary ones.
            worker_memory_bytes: what one job may allocate; None: no limit.
            lease_s: without a word from here for so long a seat has its job checkpoint and leave.
        """
        self._address = address
        self._slots = slots
        self._is_insecure = is_insecure
        self._seat_config = SeatConfig("", "", node_dir, worker_memory_bytes, lease_s)
        self._lease_s = lease_s
        self._namespace = ""
        self.link = Link(self._received, self._joined)
        self.seats = Seats(self.link, self._changed)
        self._inbox: Inbox
        self._on_change: Callable[[], None] = lambda: None
        self._is_blocked = False  # the inbox is full: that nothing is heard is our own doing
        self._is_started = False
        self._is_recovered = False

    @property
    def lost(self) -> Mapping[str, int]:
        """How many seats were lost that had no job."""
        return self.seats.lost

    @property
    def problem(self) -> str | None:
        """Why the cluster cannot be used now."""
        return self.link.problem

    @property
    def is_ready(self) -> bool:
        """Whether a small job would get a seat at once."""
        return self.link.is_joined and self.why(Need()) is None

    @property
    def busy(self) -> int:
        """How many cores jobs hold."""
        return sum(seat.need.cpus for seat in self.seats.all.values() if seat.worker is not None)

    @property
    def total(self) -> int:
        """How many cores jobs may hold at once."""
        has = int(sum(node.cpus for node in self.link.cluster.nodes))
        return has if self._slots is None else min(self._slots, has)

    @property
    def cluster(self) -> ClusterInfo:
        """The nodes, and how many seats are on each."""
        seats = Counter(seat.node_id for seat in self.seats.all.values())
        busy = Counter(seat.node_id for seat in self.seats.all.values() if seat.worker is not None)
        nodes = [
            NodeInfo(node.name, node.cpus, node.gpus, int(node.memory_bytes), seats[node.node_id], busy[node.node_id])
            for node in self.link.cluster.nodes
        ]
        return ClusterInfo(self.link.is_joined, self.link.starts, seats[None], tuple(nodes))

    async def start(self, inbox: Inbox, on_change: Callable[[], None]) -> None:
        """Join the cluster. That its head is not there is a problem to be shown; what is set wrongly is refused.

        Raises `ExecutorRefused`.
        """
        if importlib.util.find_spec("ray") is None:
            raise ExecutorRefused("Ray is not installed.", hint="pip install 'traind[ray]'")
        try:
            split_address(self._address)
        except CannotJoin as error:
            raise ExecutorRefused(str(error)) from None
        self._inbox, self._on_change = inbox, on_change
        self._is_started = True
        self.link.start(GatewayConfig(self._address, self._namespace, self._is_insecure))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                await self.link.tried()
        if (refusal := self.link.refusal) is not None and refusal.is_final:
            await self.link.close()
            raise ExecutorRefused(refusal.message)
        self.seats.spawn(self._watch())

    def serve_root(self, root: Path) -> None:
        """Say whose seats these are; before `start`."""
        self._namespace = namespace_of(root)
        self.seats.configure(msgspec.structs.replace(self._seat_config, root=self._namespace))

    def recovered(self) -> None:
        """Every leftover has been adopted or ended: seats that nobody knows may go."""
        self._is_recovered = True
        if self.link.is_joined:
            self.seats.spawn(self._joined())

    async def close(self) -> None:
        """End every seat, with its job, and the gateway. Seats that cannot be reached end with their lease."""
        if not self._is_started:
            return
        self._is_started = False
        await self.seats.close(CLOSE_S)
        await self.link.close()

    def why(self, need: Need) -> Wait | None:
        """Return why a job has to wait: what the cluster lacks, or that its room is taken."""
        wanted, count = seats_of(self.link.cluster, need)
        if not self.link.is_joined:
            return Wait(self.link.problem or "The cluster is being joined.")
        if len(self.seats.idle(wanted)) >= count:
            return None
        if (lack := lacking(self.link.cluster, wanted, self._slots, count)) is not None:
            return lack
        if self.busy + wanted.cpus * count > self.total:
            return Wait(f"All {self.total} slots of the cluster are in use.")
        reasons = [self.seats.avoided(node) for node in self.link.cluster.nodes if node.cpus >= wanted.cpus]
        if all(reasons):
            return Wait(f"No node can take a job now. {reasons[0]}")
        if self.seats.waiting_s(wanted) > PLACED_S:
            free = self.link.cluster.free_cpus
            return Wait(f"The cluster has no room now: {free:g} cores are free, {wanted.cpus} wanted on one node.")
        return None

    async def take(self, need: Need) -> RayWorker | None:
        """Return a worker on a seat for the need, or on several; None where the cluster places none soon."""
        seats = await self.seats.some(*seats_of(self.link.cluster, need), self.total, PLACED_S)
        return self._worker_on(seats) if seats else None

    def give_back(self, worker: Worker) -> None:
        """Let the seat wait for another job."""
        assert isinstance(worker, RayWorker)
        worker.is_over = True
        for seat in worker.seats:
            seat.worker, seat.since = None, time.monotonic()

    def begin(self, worker: Worker, assignment: Assignment) -> None:
        """Hand the job to the seat; what it says arrives in the inbox."""
        assert isinstance(worker, RayWorker)
        place = assignment.place
        worker.job, worker.attempt_dir = (place.job_id, place.attempt), Path(place.attempt_dir)
        worker.heard(0, 0)
        self.seats.spawn(self._begin(worker, assignment))

    async def adopt(self, leftover: Leftover, attempt_dir: Path) -> RayWorker | None:
        """Take up the last server's worker where it is."""
        try:
            ref = msgspec.json.decode(leftover.ref, type=Ref)
        except msgspec.DecodeError:  # of another executor
            return None
        seats = [Seat(one.seat, one.need, one.node, one.node_id) for one in (ref, *ref.others)]
        self.seats.all.update({seat.name: seat for seat in seats})
        worker = self._worker_on(seats)
        worker.job, worker.cursor = (leftover.job_id, leftover.attempt), leftover.cursor
        worker.attempt_dir = attempt_dir
        worker.begun()
        return worker

    async def end_leftover(self, leftover: Leftover) -> bool:
        """End the last server's worker, where it can be reached; what cannot is ended when it can."""
        try:
            ref = msgspec.json.decode(leftover.ref, type=Ref)
        except msgspec.DecodeError:
            return False
        are_ended = [await self.seats.quit(one.seat) for one in (ref, *ref.others)]
        return all(are_ended)

    def _worker_on(self, seats: list[Seat]) -> RayWorker:
        worker = RayWorker(seats, self.link, self.seats.spawn, self.seats.free)
        for seat in seats:
            seat.worker = worker
        return worker

    async def _begin(self, worker: RayWorker, assignment: Assignment) -> None:
        """Bring the job to its seat; a seat that is silent meanwhile is asked again until it is lost."""
        words, (first, *others) = msgspec.json.encode(assignment), [(seat.name, seat.former) for seat in worker.seats]
        while not worker.is_over:
            try:
                await self.link.insist("begin", first=first, others=others, assignment=words, after=worker.cursor)
            except CallFailed as error:
                if error.is_silence:
                    await asyncio.sleep(LOOK_EVERY_S)
                    continue
                self.seats.avoid(worker.seat, f"it could not be brought what a job needs ({error})")
                await self._end(worker, Ended("lost", f"The job could not be brought to its node: {error}"))
            else:
                worker.begun()
            return

    async def _go_on(self, worker: RayWorker) -> None:
        """Have a new gateway, or one that is new to this job, pass on what it says."""
        folder, seat = str(worker.attempt_dir), worker.seat.name
        while not worker.is_over:
            try:
                await self.link.call("go_on", seat=seat, job=worker.job, attempt_dir=folder, after=worker.cursor)
            except GatewayGone:  # the next one is told as it joins
                return
            except CallFailed as error:
                if not error.is_silence:
                    await self._end(worker, Ended("lost", f"Its seat is gone: {error}"))
                await asyncio.sleep(LOOK_EVERY_S)
            else:
                return

    async def _joined(self) -> None:
        """A gateway is in the cluster: seats that nobody knows are ended, the others found again."""
        self._on_change()
        if not self._is_recovered:
            return
        with contextlib.suppress(GatewayGone, CallFailed):
            await self.seats.reconcile()
        for seat in list(self.seats.all.values()):
            worker = seat.worker
            if worker is not None and worker.seat is seat and worker.has_begun and not worker.is_over:
                self.seats.spawn(self._go_on(worker))

    def _changed(self) -> None:
        self._on_change()

    async def _received(self, message: Message) -> None:
        match message:
            case Heard():
                if (worker := self.seats.worker(message.seat)) is not None:
                    worker.heard(message.beat, message.phase)
            case Told():
                await self._told(message)
            case Over():
                worker = self.seats.worker(message.seat)
                if worker is not None and worker.is_at(message.job_id, message.attempt, message.cursor):
                    await self._end(worker, msgspec.convert(message.ended, Ended), message.cursor)
            case SeatLost():
                await self._lost(message)
            case _:
                self._on_change()  # the cluster has changed

    async def _told(self, message: Told) -> None:
        worker = self.seats.worker(message.seat)
        if worker is None:
            return
        worker.heard(message.beat, message.phase)
        for cursor, body in message.events:
            if worker.is_at(message.job_id, message.attempt, cursor):
                worker.cursor = cursor
                event = decode_event(body)
                if isinstance(event, State) and event.error is not None and event.error.code == "disk_full":
                    self.seats.avoid(worker.seat, "its disk is full")  # which is not this machine's
                await self._put(Frame(worker, event, cursor))

    async def _lost(self, message: SeatLost) -> None:
        seat = self.seats.all.get(message.seat)
        if seat is None:
            return
        LOG.warning("the seat %s on %s is lost: %s", seat.name, seat.node, message.message)
        self.seats.doubt(seat)
        if seat.worker is None:
            self.seats.lost["waiting"] += 1
            self.seats.all.pop(seat.name)
            return
        if message.is_out_of_memory:
            ended = Ended("died", f"Ray ended the job's seat to save its node's memory: {message.message}")
        else:
            ended = Ended("lost", f"The node {seat.node} or the job's seat on it was lost: {message.message}")
        await self._end(seat.worker, ended)

    async def _end(self, worker: RayWorker, ended: Ended, cursor: int | None = None) -> None:
        """Hand on a job's end, once; the seat is free when that is committed, or gone where the job was lost."""
        if worker.is_over:
            return
        worker.is_over = True
        if cursor is None:
            for seat in worker.seats:
                self.seats.drop(seat)
        else:
            worker.ended_at = cursor
        await self._put(Frame(worker, ended, cursor))

    async def _put(self, frame: Frame) -> None:
        self._is_blocked = True
        try:
            await self._inbox.put(frame)
        finally:
            self._is_blocked = False

    async def _watch(self) -> None:
        """Take silent seats for lost, give up those that Ray forgot, and give idle ones back."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now = time.monotonic()
            self.seats.give_up_stuck()
            for seat in list(self.seats.all.values()):
                worker = seat.worker
                if worker is not None and worker.job and not worker.is_over and not self._is_blocked:
                    silent_s = now - worker.beat().heard_at
                    if silent_s > self._lease_s + GRACE_S:
                        ended = Ended("lost", f"Nothing was heard of the node {seat.node} for {silent_s:.0f} s")
                        await self._end(worker, ended)
                elif seat.is_idle and now - seat.since > IDLE_S:
                    self.seats.drop(seat)
