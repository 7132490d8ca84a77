"""A seat: one slot on a node of the cluster, where traind's own fork server and workers run unchanged.

The gateway makes it as a detached, named actor of Ray, so that it outlives gateway and server. It serves one job
after the other, each in a fresh process. Every method that is about a job names it with its attempt and is refused
for any other: that is the fence. Without a question for as long as its lease it has its job checkpoint and leave,
keeps the job's events and files for a while, and then ends.
"""

import asyncio
import contextlib
import os
import platform
import socket
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from traind.service.executor.base import Ended
from traind.service.executor.local_worker import LocalWorker
from traind.service.executor.ray.companions import Companions, find_seats, place_to_meet
from traind.service.executor.ray.node_files import NodeFiles
from traind.service.executor.ray.protocol import LEASE_S, Hello, SeatConfig, Take, Taken, member_name
from traind.service.executor.ray.seat_job import OUTPUT_BYTES, SeatJob
from traind.service.processes.fork_server import BootFailed, ForkServer
from traind.service.settings import cache_dir
from traind.service.threads import in_thread
from traind.trainer.contract.change import RequestedChange
from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import State, Status
from traind.trainer.contract.spec import Assignment, Place

T = TypeVar("T")
EARLIER = "earlier"  # the folder, beside the attempt's, with the checkpoint to go on from
LOOK_EVERY_S = 1.0
GOING_ON = {Status.LOADING, Status.RUNNING}


class FencedOff(Exception):
    """The seat has another job, or another attempt of it."""


class Seat:
    """The actor. All methods but `hello`, `ping` and those about shared content name a job and its attempt."""

    def __init__(self, config: bytes) -> None:
        self._config = msgspec.msgpack.decode(config, type=SeatConfig)
        self._files = NodeFiles(self._config.root, self._config.name, self._config.folder)
        self._server = ForkServer()
        self._next: asyncio.Task[LocalWorker] | None = None  # the process for the next job
        self._job: SeatJob | None = None
        self._turn = asyncio.Lock()  # to take a job up, or to forget it
        self._is_set_up = False
        self._asked_at = time.monotonic()
        self._lease: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    async def hello(self) -> bytes:
        """Return what there is to know of the seat, once a process waits for its first job."""
        import ray

        self._asked()
        if not self._is_set_up:
            self._is_set_up = True
            if self._config.code is not None:
                sys.path.insert(0, str(await in_thread(self._files.unpack, self._config.code, "code.zip")))
            await in_thread(self._files.sweep)
            await in_thread(self._server.start)
        await asyncio.shield(self._started_ahead())
        self._asked()
        if self._lease is None:
            self._lease = asyncio.create_task(self._watch_lease(), name="traind-lease")
        names = {"traind": version("traind"), "torch": version("torch"), "python": platform.python_version()}
        free = self._files.free_bytes()
        node_id = ray.get_runtime_context().get_node_id()
        return msgspec.msgpack.encode(Hello(node_id, socket.gethostname(), os.getpid(), free, names))

    async def ping(self) -> tuple[str, int] | None:
        """Return whose job it has."""
        self._asked()
        return self._job.key if self._job is not None else None

    async def has_shared(self, digest: str, name: str) -> bool:
        """Tell whether the node has the content of that sha256."""
        return await self._on_disk(self._files.has_shared, digest, name)

    async def write_shared(self, digest: str, name: str, offset: int, data: bytes) -> None:
        """Write a piece of it."""
        await self._on_disk(self._files.write_shared, digest, name, offset, data)

    async def seal_shared(self, digest: str, name: str) -> None:
        """Have it count; raises `ValueError` where it is not what was meant."""
        await self._on_disk(self._files.seal_shared, digest, name)

    async def claim(
        self, job_id: str, attempt: int, former: tuple[str, int] | None, assignment: bytes | None = None
    ) -> bool:
        """Make this the seat's job; tell whether it has begun. Raises `FencedOff`.

        `former` is the job whose end is recorded: the seat forgets it first. With an assignment the job begins here,
        if its data set, which is all that it needs, is on the node.
        """
        self._asked()
        async with self._turn:
            if former is not None and self._job is not None and self._job.key == tuple(former):
                await self._forget()
            if self._job is None:
                folder = await in_thread(self._files.open_attempt, job_id, attempt)
                self._job = SeatJob(job_id, attempt, folder)
        job = self._of(job_id, attempt)
        if job.worker is None and assignment is not None:
            dataset = msgspec.json.decode(assignment, type=Assignment).place.dataset
            if dataset is None or await self.has_shared(dataset.digest, Path(dataset.path).name):
                await self.begin(job_id, attempt, assignment)
        return job.worker is not None

    async def write(self, job_id: str, attempt: int, name: str, offset: int, data: bytes) -> None:
        """Write a piece of a file that the attempt goes on from."""
        folder = self._of(job_id, attempt).folder.with_name(EARLIER)
        await self._on_disk(self._files.write, folder, name, offset, data)

    async def seal(self, job_id: str, attempt: int, name: str, digest: str) -> None:
        """Have that file count; raises `ValueError` where it is not what was meant."""
        folder = self._of(job_id, attempt).folder.with_name(EARLIER)
        await self._on_disk(self._files.seal, folder, name, digest)

    async def write_manifest(self, job_id: str, attempt: int, name: str, content: bytes) -> None:
        """Write what makes the file that was sealed a checkpoint."""
        folder = self._of(job_id, attempt).folder.with_name(EARLIER)
        await self._on_disk((folder / Path(name).name).write_bytes, content)

    async def begin(self, job_id: str, attempt: int, assignment: bytes, others: list[str] | None = None) -> None:
        """Start the job; the same again does nothing. What it needs has been written before.

        `others` are the seats of its further workers, which have claimed it and have what they need, too.
        """
        job = self._of(job_id, attempt)
        if job.worker is not None:
            return
        given = msgspec.json.decode(assignment, type=Assignment)
        worker = await asyncio.shield(self._started_ahead())
        if self._job is not job or self._next is None or self._next.result() is not worker:  # asked twice at once
            return
        job.worker, self._next = worker, None
        worker.attempt_dir = job.folder
        place = given.place
        if others:
            meeting = await in_thread(place_to_meet)
            place = msgspec.structs.replace(place, meeting=meeting)
            job.others = Companions(await find_seats(others), (job_id, attempt), job.say)
            await job.others.begin(given, meeting)
        await worker.receive(Assignment(given.spec, self._place(place, job.folder)))
        job.task = asyncio.create_task(self._relay(job, worker), name="traind-relay")

    async def ask(self, job_id: str, attempt: int, verb: int) -> None:
        """Tell the job a verb."""
        if (worker := self._of(job_id, attempt).worker) is not None:
            worker.ask(Verb(verb))

    async def change(self, job_id: str, attempt: int, waiting: bytes) -> None:
        """Hand the job the changes that wait, as JSON; calls may come in any order."""
        job = self._of(job_id, attempt)
        changes = msgspec.json.decode(waiting, type=list[RequestedChange])
        if job.worker is not None and changes[-1].number >= job.newest_change:
            job.newest_change = changes[-1].number
            job.worker.change(changes)

    async def kill(self, job_id: str, attempt: int) -> None:
        """End the job's process at once, and those of its other workers."""
        job = self._of(job_id, attempt)
        if job.worker is not None:
            job.worker.kill()
        if job.others is not None:
            job.others.kill()

    async def stacks(self, job_id: str, attempt: int) -> str:
        """Return where the job's threads are."""
        job = self._of(job_id, attempt)
        stacks = "" if job.worker is None else await job.worker.stacks()
        return stacks if job.others is None else stacks + await job.others.stacks()

    async def take(self, job_id: str, attempt: int, wish: bytes) -> bytes:
        """Return the events after a cursor, as `Taken`, waiting for one; `wish` is a `Take`."""
        wanted = msgspec.msgpack.decode(wish, type=Take)
        job = self._of(job_id, attempt)
        job.tape.forget(wanted.committed)
        if wanted.is_anew:
            job.output_at = 0
        if job.tape.last <= wanted.after and not job.is_over:
            job.changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wanted.wait_s):
                    await job.changed.wait()
        if job.tape.last > wanted.after:
            await job.over(job.answered_at + wanted.gap_s - time.monotonic())
            job.answered_at = time.monotonic()
        self._asked()
        events = job.tape.after(wanted.after, OUTPUT_BYTES)
        last = events[-1][0] if events else wanted.after
        is_all = last >= job.tape.last
        ended = msgspec.to_builtins(job.ended) if job.ended is not None and is_all else None
        start, output = await in_thread(job.new_output) if job.has_output() else (0, b"")
        beat, phase = await self.beat(job_id, attempt)
        taken = Taken(beat, phase, events, ended, job.tape.last + 1, output, start)
        if taken.end is not None:
            taken.files, taken.held, taken.model = await self._on_disk(self._files.left, job.folder)
        return msgspec.msgpack.encode(taken)

    async def beat(self, job_id: str, attempt: int) -> tuple[int, int]:
        """Return the job's heartbeat, and in which phase it is."""
        self._asked()
        worker = self._of(job_id, attempt).worker
        if worker is None:
            return 0, 0
        beat = worker.beat()
        return beat.number, beat.phase

    async def cpu_s(self, job_id: str, attempt: int) -> float | None:
        """Return the processor time that the job has used, in seconds."""
        job = self._of(job_id, attempt)
        if job.worker is None:
            return None
        seconds = await job.worker.cpu_s() or 0.0
        return seconds if job.others is None else seconds + await job.others.cpu_s()

    async def hold(self, job_id: str, attempt: int, known: list[str]) -> bytes:
        """Set the checkpoints aside as they are, and return them; of those that are known the names are enough."""
        held = await self._on_disk(self._files.hold, self._of(job_id, attempt).folder, known)
        return msgspec.msgpack.encode(held)

    async def release(self, job_id: str, attempt: int) -> None:
        """Let go of what was set aside."""
        await self._on_disk(self._files.release, self._of(job_id, attempt).folder)

    async def look(self, job_id: str, attempt: int, name: str) -> tuple[int, str, bytes]:
        """Return the size and sha256 of a file, and its content where that is small."""
        return await self._on_disk(self._files.look, self._of(job_id, attempt).folder, name)

    async def read(self, job_id: str, attempt: int, name: str, offset: int, size: int) -> bytes:
        """Return a piece of a file."""
        return await self._on_disk(self._files.read, self._of(job_id, attempt).folder, name, offset, size)

    async def done(self, job_id: str, attempt: int) -> None:
        """Forget the job, whose end has been committed; its process goes where it is still there."""
        async with self._turn:
            self._of(job_id, attempt)
            await self._forget()

    async def quit(self) -> None:
        """End the job's process and the fork server, which `ray.kill` would leave to themselves, and every file."""
        self._asked()
        job, self._job = self._job, None
        if job is not None:
            await self._end(job)
        if self._next is not None:
            with contextlib.suppress(BootFailed):
                worker = await self._next
                worker.kill()
                await worker.retire()
        await in_thread(self._server.stop)
        await in_thread(self._files.close)

    def _asked(self) -> None:
        self._asked_at = time.monotonic()

    def _of(self, job_id: str, attempt: int) -> SeatJob:
        job = self._job
        if job is None or job.key != (job_id, attempt):
            has = "no job" if job is None else f"attempt {job.attempt} of {job.job_id}"
            raise FencedOff(f"the seat has {has}, not attempt {attempt} of {job_id}")
        return job

    async def _on_disk(self, function: Callable[..., T], *args: Any) -> T:
        self._asked()
        result: T = await in_thread(function, *args)
        return result

    def _place(self, given: Place, folder: Path) -> Place:
        """Return where the attempt reads and writes on this node."""
        dataset = given.dataset
        if dataset is not None:
            here = self._files.shared_path(dataset.digest, Path(dataset.path).name)
            dataset = msgspec.structs.replace(dataset, path=os.fspath(here))
        earlier = folder.with_name(EARLIER)
        return msgspec.structs.replace(
            given,
            attempt_dir=os.fspath(folder),
            files_dir=os.fspath(folder),  # what is in it goes to the job's files when the attempt has ended
            earlier_dirs=(os.fspath(earlier),) if given.earlier_dirs else (),
            dataset=dataset,
            members=tuple((job_id, os.fspath(earlier / member_name(job_id))) for job_id, _ in given.members),
            device="cuda" if self._config.gpus else "cpu",
            visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES") if self._config.gpus else "",  # as Ray set it
            cache_dir=cache_dir(dataset) if dataset is not None and given.cache_dir is not None else None,
        )

    def _started_ahead(self) -> asyncio.Task[LocalWorker]:
        """Return the start of the process for the next job, begun anew where it failed or the process died."""
        task = self._next
        if task is not None and task.done() and not task.cancelled():
            has_failed = task.exception() is not None
            if has_failed or task.result().process.gone.done():
                if not has_failed:
                    self._retire(task.result())
                task = None
        if task is None:
            start = LocalWorker.start(self._server, self._config.run, self._config.worker_memory_bytes)
            task = self._next = asyncio.create_task(start, name="traind-boot")
        return task

    async def _relay(self, job: SeatJob, worker: LocalWorker) -> None:
        """Record the job's events until it has ended. Its last state waits for how its other workers ended."""
        self._started_ahead()
        last = None
        if job.others is not None:
            job.others.listen(self._config.lease_s, worker.kill)
        async with contextlib.aclosing(worker.work()) as events:
            async for event in events:
                if not isinstance(event, Ended):
                    if job.others is not None and isinstance(event, State) and event.status not in GOING_ON:
                        last = event
                    else:
                        job.say(event)
                    continue
                ended = event
                if job.others is not None:
                    ended, last = await job.others.settled(event, last)
                if last is not None:
                    job.say(last)
                job.ended = ended
                job.changed.set()
        await worker.retire()

    async def _forget(self) -> None:
        """Have no job, and no process and file of it any more."""
        job, self._job = self._job, None
        if job is not None:
            await self._end(job)
            await in_thread(self._files.clear)

    async def _end(self, job: SeatJob) -> None:
        if job.worker is not None and job.task is not None:
            job.worker.kill()
            if job.others is not None:
                job.others.kill()
            await job.task

    def _retire(self, worker: LocalWorker) -> None:
        task = asyncio.create_task(worker.retire(), name="traind-retire")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _watch_lease(self) -> None:
        """Act on the silence of the server: the job leaves first, and what it left is kept for a while."""
        while True:
            await asyncio.sleep(min(LOOK_EVERY_S, self._config.lease_s / 4))
            silent_s = time.monotonic() - self._asked_at
            job = self._job
            if silent_s <= self._config.lease_s:
                continue
            if job is not None and job.worker is not None and not job.is_over:
                job.worker.ask(Verb.LEAVE)
            kept_s = self._config.lease_s + self._config.keep_s if job is not None else LEASE_S
            if silent_s > kept_s:
                await self.quit()
                os._exit(0)
