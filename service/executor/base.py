"""The interface between the engine and executors: all that the engine knows of workers.

`local` runs jobs in processes of this machine, `scripted` plays them from a script. A job's way across the seam:
`why` tells whether there is room, `take` reserves a worker, its `ref` is committed with the job's next attempt, and
`begin` hands the assignment over. From then on everything the job says arrives in the inbox, in order, and last,
exactly once, `Ended`. An executor decides nothing about a job and knows no job states.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from traind.trainer.contract.change import RequestedChange
from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import AnyEvent
from traind.trainer.contract.spec import Assignment


class Need(Struct, frozen=True):
    """What one job occupies while it runs."""

    threads: int = 1  # cores: of torch's threads in all its processes; on this machine it takes as many slots
    device: str = "auto"  # as in the spec: auto, cpu, cuda or cuda:N
    memory_bytes: int | None = None  # that the job asks for; None: it says nothing
    gpus: int = 1  # where it gets any
    workers: int = 1  # processes
    has_cpus: bool = False  # the job asks for so many cores: fewer will not do

    @property
    def is_on_gpu(self) -> bool:
        """Whether it has to have a GPU."""
        return self.device.startswith("cuda")


class Wait(Struct, frozen=True):
    """Why a job has to wait for room."""

    message: str  # a sentence for the job's owner
    is_hopeless: bool = False  # no worker that there is could ever take it: other jobs are not held up by it
    is_final: bool = False  # and none ever will while this server runs: the job is not accepted
    field: str = "device"  # of the spec, that asks for what there is not


class NodeInfo(Struct, frozen=True):
    """One machine of a cluster."""

    name: str
    """Its host name and address."""
    cores: float
    """Cores in all."""
    gpus: float
    """GPUs in all."""
    memory_bytes: int
    """Memory that jobs may have set aside for them, in all, in bytes."""
    seats: int
    """Slots of this service that are there now, idle ones included."""
    busy: int
    """Of these, those with a job."""


class ClusterInfo(Struct, frozen=True):
    """The machines of an executor that uses a cluster."""

    is_joined: bool
    """Whether the service is connected to the cluster now."""
    gateway_starts: int
    """How often the process that connects it was started."""
    waiting_seats: int
    """Slots that were requested and that no node has room for yet."""
    nodes: tuple[NodeInfo, ...]
    """The machines that are alive."""


class Beat(NamedTuple):
    """A worker's last known heartbeat."""

    number: int  # changes with each step
    heard_at: float  # by `time.monotonic`; it stands still while the worker cannot be reached
    phase: int = 0  # `control.Phase`: what the job does meanwhile


class Ended(Struct, frozen=True):
    """The worker has ended; no further frame comes from it.

    `done`: the job's code returned, after a state that ends an attempt. `died`: it did not; `message` says how.
    `lost`: the worker cannot be reached any more, and its further work is ignored.
    """

    kind: Literal["done", "died", "lost"]
    message: str = ""  # how it went, in words
    exit_code: int | None = None  # of its process, where it had one and the code is known
    signal: int | None = None  # that ended its process
    was_killed: bool = False  # by `Worker.kill`
    output: str = ""  # the end of what the job printed


class Leftover(Struct, frozen=True):
    """A worker that the last server recorded."""

    job_id: str
    attempt: int
    ref: str  # the worker's `ref`
    cursor: int = 0  # of the last frame that was committed; 0 where its frames have none


class Worker(Protocol):
    """A worker, taken for one job. Its methods return at once, except the coroutines."""

    @property
    def ref(self) -> str:
        """Identifies the worker after a restart of the server; only its executor interprets it."""

    @property
    def pid(self) -> int | None:
        """The pid of its process, if that is on this machine."""

    @property
    def node(self) -> str | None:
        """The machine it is on; None: this one."""

    def beat(self) -> Beat:
        """Return the last known heartbeat."""

    def committed(self, cursor: int) -> None:
        """Discard the frames up to this cursor, which are recorded."""

    def ask(self, verb: Verb) -> None:
        """Request a verb of the job, which checks after each step. Of several the highest counts."""

    def change(self, waiting: Sequence[RequestedChange]) -> None:
        """Pass the waiting changes to the job, in order; it checks after each step, and takes up none twice."""

    def kill(self) -> None:
        """End the job at once, with all that it started; `Ended` follows."""

    async def cpu_s(self) -> float | None:
        """Return the processor time of the job and its processes so far, in seconds; None: unknown.

        Called for silent workers only.
        """

    async def stacks(self) -> str:
        """Return the stacks of all its threads as text; empty where it does not answer."""


class Frame(NamedTuple):
    """An event of a worker, or its end."""

    worker: Worker
    event: AnyEvent | Ended
    cursor: int | None = None  # after which an adopted worker's events continue; committed with the event


Inbox = asyncio.Queue[Frame]


class Executor(Protocol):
    """Runs jobs. While the inbox is full it reads no events of its workers."""

    @property
    def problem(self) -> str | None:
        """Why no worker can be started now; None while all is well."""

    @property
    def is_ready(self) -> bool:
        """Whether a small job would get a worker at once."""

    @property
    def busy(self) -> int:
        """Number of slots in use."""

    @property
    def total(self) -> int:
        """Number of slots."""

    @property
    def lost(self) -> Mapping[str, int]:
        """Number of workers that died without a job, by what they were doing."""

    @property
    def cluster(self) -> ClusterInfo | None:
        """The machines it uses; None: this one alone."""

    async def start(self, inbox: Inbox, on_change: Callable[[], None]) -> None:
        """Start the executor; `on_change` is called whenever there may be more room. Returns soon."""

    def recovered(self) -> None:
        """Called once every leftover is adopted or ended: other remains of the last server may be removed."""

    async def close(self) -> None:
        """End all workers and release everything; may be called twice, and without `start`."""

    def why(self, need: Need) -> Wait | None:
        """Return why a job of this need has to wait; None: there is room."""

    async def take(self, need: Need) -> Worker | None:
        """Return a worker with room for the need, for `begin` or `give_back`.

        Waits until it is ready; `problem` says so if that takes long. None: there is no room any more, see `why`.
        If cancelled, nothing is taken.
        """

    def give_back(self, worker: Worker) -> None:
        """Return a worker that was taken but got no job."""

    def begin(self, worker: Worker, assignment: Assignment) -> None:
        """Give a worker that was taken its job.

        The executor makes the attempt's folder here, and brings there each checkpoint and model before the event
        about it is passed on. What fails is tried again, or ends the worker.
        """

    async def adopt(self, leftover: Leftover, attempt_dir: Path) -> Worker | None:
        """Return the last server's worker, which goes on with its job; None where that cannot be.

        Its events after the cursor arrive in the inbox. A worker that cannot be reached now is adopted too, and
        is lost later if that lasts.
        """

    async def end_leftover(self, leftover: Leftover) -> bool:
        """End the last server's worker, if it still runs, and wait for that; return whether it did."""
