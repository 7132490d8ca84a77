"""The gateway: a process beside the server, of the same host and root, and the only driver of Ray.

It makes seats, passes the server's requests to them and their events and files to the server, and reports what the
cluster has. It keeps no state that another gateway could not find again: if it ends, the server starts another, and
the seats go on. It ends with its server.
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from traind.service.executor.ray.connect import CannotJoin, join
from traind.service.executor.ray.protocol import (
    Answer,
    Call,
    Cluster,
    Connected,
    GatewayConfig,
    Heard,
    Message,
    Node,
    Refused,
    SeatConfig,
    SeatLost,
    SeatNeed,
    Trouble,
    framed,
    member_name,
    read_message,
)
from traind.service.executor.ray.relay import Relay, gap_s
from traind.service.executor.ray.seat_handle import SeatGone, SeatHandle, SeatRefused, SeatSilent
from traind.service.executor.ray.transfer import Write, newest_checkpoint, push
from traind.service.threads import in_thread
from traind.trainer.contract.spec import Assignment, DatasetFile, Place

LOOK_EVERY_S = 1.0  # at the cluster
SILENT_S = 5.0  # the head is in trouble when it has not answered for so long
PING_EVERY_S = 5.0  # of a seat without a job
QUIT_S = 5.0  # what a seat has to end its processes
SEAL_S = 600.0  # what a node may take to read a data set once
BLOCKED_S = 20.0  # what Ray may take to find or end an actor
BEGIN_S = 120.0  # what a seat may take to begin a job: a process that starts on a busy node
Former = tuple[str, tuple[str, int] | None]  # a seat, and its last job whose end is recorded


class Gateway:
    """Carries out the server's calls, each as a task of its own; `arguments` are those of the methods here."""

    def __init__(self, config: GatewayConfig, writer: asyncio.StreamWriter) -> None:
        self._config = config
        self._writer = writer
        self._turn = asyncio.Lock()
        self._seats: dict[str, SeatHandle] = {}
        self._relays: dict[str, tuple[Relay, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Join the cluster and carry out calls, until the server is gone."""
        try:
            connected: Connected = await in_thread(join, self._config)
        except CannotJoin as refusal:
            await self._send(Refused(str(refusal), refusal.is_final))
            return
        await self._send(connected)
        self._spawn(self._watch_cluster())
        self._spawn(self._ping())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while isinstance(message := await read_message(reader), Call):
                self._spawn(self._carry_out(message))

    async def open_seat(self, seat: str, need: dict[str, Any], config: dict[str, Any], node_id: str | None) -> bytes:
        """Make a seat, unless it is there; return its `Hello` once it is ready, however long that takes Ray."""
        handle = await _bounded(_make, self._config.namespace, msgspec.convert(config, SeatConfig), need, node_id)
        self._seats[seat] = handle
        hello: bytes = await handle.call("hello", timeout_s=None)
        return hello

    async def find_seats(self) -> list[str]:
        """Return the names of all seats of this service, those included that Ray has not placed yet."""
        names: list[str] = await _bounded(_names, self._config.namespace)
        return names

    async def begin(self, first: Former, others: list[Former], assignment: bytes, after: int) -> None:
        """Bring a seat what the job needs and start it there, unless it has begun; then pass on what it says.

        `others` are the seats of its further workers, which need the same; each seat comes with the job that it may
        forget.
        """
        place = msgspec.json.decode(assignment, type=Assignment).place
        job = (place.job_id, place.attempt)
        (seat, former), names = first, [name for name, _ in others]
        handle = await self._seat(seat)
        await in_thread(os.makedirs, place.attempt_dir, 0o777, True)
        needs_more = place.earlier_dirs or place.members or others  # than the data set, which may be there
        if not await handle.call("claim", *job, former, None if needs_more else assignment, timeout_s=BEGIN_S):
            await self._bring(handle, place)
            for name, its_former in others:
                other = await self._seat(name)
                await other.call("claim", *job, its_former)
                await self._bring(other, place)
            await handle.call("begin", *job, assignment, names, timeout_s=BEGIN_S)
        self._relay(handle, job, Path(place.attempt_dir), after)

    async def go_on(self, seat: str, job: list[Any], attempt_dir: str, after: int) -> None:
        """Pass on what a seat's job says, from a cursor on."""
        self._relay(await self._seat(seat), (job[0], job[1]), Path(attempt_dir), after)

    async def tell(self, seat: str, method: str, arguments: list[Any]) -> Any:
        """Call one of the seat's small methods: ask, change, kill, stacks."""
        return await (await self._seat(seat)).call(method, *arguments)

    async def commit(self, seat: str, cursor: int) -> None:
        """Let a seat forget what the server has in its database."""
        if seat in self._relays:
            self._relays[seat][0].committed = cursor

    async def done(self, seat: str, job: list[Any]) -> None:
        """Have a seat forget its job, unless it has the next one already."""
        if seat in self._relays and self._relays[seat][0].job == tuple(job):
            self._stop_relay(seat)
        await (await self._seat(seat)).call("done", *job)

    async def quit_seat(self, seat: str) -> None:
        """End a seat with all it started, or one that Ray has not even placed."""
        self._stop_relay(seat)
        try:
            handle = await self._seat(seat)
        except SeatGone:
            return
        with contextlib.suppress(SeatGone, SeatRefused, SeatSilent):
            await handle.call("quit", timeout_s=QUIT_S)
        self._seats.pop(seat, None)
        await _bounded(handle.kill)

    async def _seat(self, name: str) -> SeatHandle:
        if name not in self._seats:
            self._seats[name] = await _bounded(_find, self._config.namespace, name)
        return self._seats[name]

    def _writing_to(self, handle: SeatHandle, method: str, *names: Any) -> Write:
        """Return how pieces are written to a seat; each is a sign of its life."""

        async def write(offset: int, data: bytes) -> None:
            await handle.call(method, *names, offset, data)
            await self._send(Heard(handle.name, 0))

        return write

    async def _bring(self, handle: SeatHandle, place: Place) -> None:
        """Bring a seat all files that an attempt begins with."""
        job = (place.job_id, place.attempt)
        if place.dataset is not None:
            await self._push_dataset(handle, place.dataset)
        await self._push_checkpoint(handle, job, place.earlier_dirs)
        for job_id, model_path in place.members:  # one that is gone is the job's error
            if await in_thread(os.path.exists, model_path):
                await self._push_file(handle, job, Path(model_path), member_name(job_id))

    async def _push_dataset(self, handle: SeatHandle, dataset: DatasetFile) -> None:
        """Bring a data set to the seat's node, unless that has it."""
        path = Path(dataset.path)
        if not await handle.call("has_shared", dataset.digest, path.name):
            await push(path, self._writing_to(handle, "write_shared", dataset.digest, path.name))
            await handle.call("seal_shared", dataset.digest, path.name, timeout_s=SEAL_S)

    async def _push_checkpoint(self, handle: SeatHandle, job: tuple[str, int], folders: tuple[str, ...]) -> None:
        found = await in_thread(newest_checkpoint, folders)
        if found is None:
            return
        path, manifest = found
        await self._push_file(handle, job, path, path.name)
        await handle.call("write_manifest", *job, path.with_suffix(".json").name, manifest)

    async def _push_file(self, handle: SeatHandle, job: tuple[str, int], path: Path, name: str) -> None:
        """Bring a file that the attempt begins with to its seat."""
        digest = await push(path, self._writing_to(handle, "write", *job, name))
        await handle.call("seal", *job, name, digest)

    def _relay(self, handle: SeatHandle, job: tuple[str, int], attempt_dir: Path, after: int) -> None:
        self._stop_relay(handle.name)
        relay = Relay(handle, job, attempt_dir, after, self._send)
        self._relays[handle.name] = (relay, self._spawn(relay.run()))
        self._pace()

    def _stop_relay(self, seat: str) -> None:
        if (relay := self._relays.pop(seat, None)) is not None:
            relay[1].cancel()
            self._pace()

    def _pace(self) -> None:
        """Have each seat answer more seldom where there are many."""
        for relay, _ in self._relays.values():
            relay.gap_s = gap_s(len(self._relays))

    async def _carry_out(self, call: Call) -> None:
        try:
            value = await getattr(self, call.method)(**call.arguments)
        except Exception as error:  # noqa: BLE001 - reported to the server, whatever it is
            words, is_silence = str(error) or type(error).__name__, isinstance(error, SeatSilent | TimeoutError)
            await self._send(Answer(call.number, error=words, is_silence=is_silence))
        else:
            await self._send(Answer(call.number, value))

    async def _watch_cluster(self) -> None:
        """Tell what the cluster has whenever that changes; a head that is gone leaves this thread hanging, alone."""
        before = None
        while True:
            looking = asyncio.create_task(in_thread(_cluster))
            await asyncio.wait({looking}, timeout=SILENT_S)
            if not looking.done():
                await self._send(Trouble("The head of the cluster does not answer; running jobs go on without it."))
                before = None
            cluster = await looking
            if cluster != before:
                before = cluster
                await self._send(cluster)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _ping(self) -> None:
        """Keep the leases of the seats without a job, and see when one dies."""
        while True:
            await asyncio.sleep(PING_EVERY_S)
            for name in self._seats.keys() - self._relays.keys():
                self._spawn(self._ping_one(name))

    async def _ping_one(self, name: str) -> None:
        with contextlib.suppress(SeatRefused, SeatSilent):
            try:
                await self._seats[name].call("ping")
            except SeatGone as gone:
                if self._seats.pop(name, None) is not None:
                    await self._send(SeatLost(name, str(gone)))

    async def _send(self, message: Message) -> None:
        async with self._turn:
            self._writer.write(framed(message))
            await self._writer.drain()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        """End the process where one of its tasks broke: the server starts another, which finds everything again."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            sys.stderr.flush()
            os._exit(1)


async def _bounded(function: Callable[..., Any], *args: Any) -> Any:
    """Call what may hang while the head is gone; raises `TimeoutError` and leaves its thread behind."""
    async with asyncio.timeout(BLOCKED_S):
        return await in_thread(function, *args)


def _make(namespace: str, config: SeatConfig, need: dict[str, Any], node_id: str | None) -> SeatHandle:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from traind.service.executor.ray.seat import Seat

    wanted = msgspec.convert(need, SeatNeed)
    options: dict[str, Any] = {"num_cpus": wanted.cpus, "num_gpus": wanted.gpus}
    if wanted.memory_bytes is not None:
        options["memory"] = wanted.memory_bytes
    if node_id is not None:
        options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node_id, soft=True)
    actor = (
        ray.remote(Seat)
        .options(
            name=config.name,
            namespace=namespace,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=100,
            **options,
        )
        .remote(msgspec.msgpack.encode(config))
    )
    return SeatHandle(config.name, actor)


def _find(namespace: str, name: str) -> SeatHandle:
    import ray

    try:
        return SeatHandle(name, ray.get_actor(name, namespace))
    except ValueError:
        raise SeatGone(f"there is no seat {name} any more") from None


def _names(namespace: str) -> list[str]:
    import ray

    return [one["name"] for one in ray.util.list_named_actors(all_namespaces=True) if one["namespace"] == namespace]


def _cluster() -> Cluster:
    import ray

    free = ray.available_resources()
    nodes = tuple(
        Node(
            node["NodeID"],
            f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})",
            node["Resources"].get("CPU", 0.0),
            node["Resources"].get("GPU", 0.0),
            node["Resources"].get("memory", 0.0),
        )
        for node in ray.nodes()
        if node["Alive"]
    )
    return Cluster(nodes, free.get("CPU", 0.0), free.get("GPU", 0.0))


async def _run(descriptor: int, config: GatewayConfig) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=descriptor))
    with contextlib.suppress(ConnectionError):
        await Gateway(config, writer).serve(reader)
    os._exit(0)  # Ray takes its leave for up to a minute where the cluster is gone


def main() -> None:
    """Run the gateway. Its command line has the descriptor of its socket and its `GatewayConfig` as JSON."""
    asyncio.run(_run(int(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=GatewayConfig)))


if __name__ == "__main__":
    main()
