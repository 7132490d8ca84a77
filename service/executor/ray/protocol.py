"""The messages between the server and its gateway: msgpack structs in frames on a socket pair.

The server sends `Call`s, each answered by one `Answer`; all other messages come from the gateway by itself. Imports
no Ray: the server, the gateway and the seats share these names.
"""

import asyncio
import hashlib
import os
import socket
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

HEADER_BYTES = 4  # the length of the frame that follows, big endian
LEASE_S = 60.0  # a seat that nobody has asked for this long has its job checkpoint and leave
KEEP_S = 600.0  # and keeps what it has for this long after that
WAIT_S = 1.0  # a seat answers at least this often, with its heartbeat
GAP_S = 0.04  # between two answers with events of one seat: a job reports each 50 ms at most
GRACE_S = 30.0  # beyond the lease, until the server takes a silent seat for lost


class SeatNeed(Struct, frozen=True):
    """The resources that a seat holds for as long as it is there."""

    cpus: int = 1
    """Cores, one a thread of torch."""
    gpus: int = 0
    """GPUs."""
    memory_bytes: int | None = None
    """Memory that Ray sets aside; None: none."""


class Node(Struct, frozen=True):
    """One machine of the cluster, as Ray describes it."""

    node_id: str
    """Ray's name of the node."""
    name: str
    """Its host name and address."""
    cpus: float
    """Cores in all."""
    gpus: float
    """GPUs in all."""
    memory_bytes: float
    """Memory that Ray gives out, in all."""


class Cluster(Struct, frozen=True, tag=True):
    """The machines that are alive, and what all of them together have left."""

    nodes: tuple[Node, ...] = ()
    free_cpus: float = 0.0
    """Cores that nobody holds."""
    free_gpus: float = 0.0
    """GPUs that nobody holds."""


class Call(Struct, frozen=True, tag=True):
    """A request to the gateway: the name of one of its methods, and the arguments."""

    number: int
    method: str
    arguments: dict[str, Any]


class Answer(Struct, frozen=True, tag=True):
    """The result of a call: its value, or why it failed."""

    number: int
    value: Any = None
    error: str | None = None
    is_silence: bool = False
    """The seat did not answer: the request may have been carried out, or may still be."""


class Connected(Struct, frozen=True, tag=True):
    """The gateway has joined the cluster."""

    ray: str
    """Ray's version."""
    python: str
    """Python's version."""


class Refused(Struct, frozen=True, tag=True):
    """The gateway could not join the cluster, and ends; `is_final`: another try cannot help."""

    message: str
    is_final: bool = False


class Trouble(Struct, frozen=True, tag=True):
    """The cluster has a problem; the next `Cluster` message ends it."""

    message: str


class Heard(Struct, frozen=True, tag=True):
    """A seat has answered; `beat` and `phase` are its job's heartbeat, as in `executor.base.Beat`."""

    seat: str
    beat: int
    phase: int = 0


class Told(Struct, frozen=True, tag=True):
    """A seat's job reported events, each with its cursor, as JSON; the files that they name have been copied here.

    `beat` and `phase` are as in `Heard`.
    """

    seat: str
    job_id: str
    attempt: int
    events: list[tuple[int, bytes]]
    beat: int
    phase: int


class Over(Struct, frozen=True, tag=True):
    """A seat's job has ended; `ended` is an `executor.base.Ended` as plain values."""

    seat: str
    job_id: str
    attempt: int
    cursor: int
    ended: dict[str, Any]


class SeatLost(Struct, frozen=True, tag=True):
    """A seat is gone, and its job with it. `is_out_of_memory`: Ray ended it to save its node."""

    seat: str
    message: str
    is_out_of_memory: bool = False


Message = Call | Answer | Connected | Refused | Cluster | Trouble | Heard | Told | Over | SeatLost


class SeatConfig(Struct, frozen=True):
    """The settings of a seat, given when it is made."""

    name: str
    root: str
    """Which service's: the name of its folder on the node."""
    folder: str | None
    """Where a node keeps files; None: its folder for temporary ones."""
    worker_memory_bytes: int | None = None
    """What one job may allocate; None: no limit."""
    lease_s: float = LEASE_S
    """Without a question for so many seconds the job leaves."""
    keep_s: float = KEEP_S
    """So many seconds later the seat goes too."""
    gpus: int = 0
    """GPUs that the seat holds."""
    run: str = "traind.trainer.run.attempt:run"
    """`module:function` that carries out a job."""
    code: str | None = None
    """Sha256 of the archive of own trainers; None: none is sent."""


class GatewayConfig(Struct, frozen=True):
    """The settings of a gateway, given when it is started."""

    address: str
    """`host:port` of the cluster's head."""
    namespace: str
    """Which service's seats these are."""
    is_insecure: bool = False
    """Take a cluster that asks nobody for a token."""


class Hello(Struct, frozen=True):
    """What a seat reports about itself once it is ready."""

    node_id: str
    host: str
    pid: int
    free_bytes: int
    """Room on the disk where it keeps files."""
    versions: dict[str, str]
    """Traind, python, torch: as installed on the node."""


class Take(Struct, frozen=True):
    """What the gateway asks a seat for, again and again."""

    after: int
    """The cursor of the last event that it has."""
    committed: int
    """The cursor of the last event that the server has recorded: the seat forgets those up to it."""
    wait_s: float = WAIT_S
    """How long to wait for an event."""
    gap_s: float = GAP_S
    """After an answer with events the next one waits for so long; the first one after a quiet time does not."""
    is_anew: bool = False
    """What the job printed so far is wanted, too."""


class Held(Struct, frozen=True):
    """A checkpoint that a seat has set aside to be read; of one that is known already only the name."""

    name: str
    size_bytes: int = 0
    manifest: bytes = b""  # what stands beside it, as it is; it says the sha256
    content: bytes = b""  # where it is small


class Taken(Struct):
    """What a seat answers to `take`."""

    beat: int
    phase: int
    events: list[tuple[int, bytes]] = []  # (cursor, JSON), in order
    ended: dict[str, Any] | None = None  # once, after the last event
    ended_at: int = 0  # the cursor of `ended`
    output: bytes = b""  # what the job printed since the last time
    output_from: int = 0  # where in the file that goes; 0 with content: the file is begun anew
    files: list[tuple[str, int]] = []  # with the last answer: what the job left, and the sizes
    held: list[Held] | None = None  # with the last answer: its checkpoints, which nobody removes any more
    model: tuple[int, str, bytes] | None = None  # with the last answer: a small model's size, sha256 and content

    @property
    def end(self) -> dict[str, Any] | None:
        """How the job ended, where this is the last answer: nothing that it printed is left to take."""
        return None if self.output else self.ended


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


def framed(message: Message) -> bytes:
    """Return the message as it goes through the socket."""
    body = _encode(message)
    return len(body).to_bytes(HEADER_BYTES) + body


async def read_message(reader: asyncio.StreamReader) -> Message:
    """Return the next message. Raises `asyncio.IncompleteReadError` at the end."""
    size = int.from_bytes(await reader.readexactly(HEADER_BYTES))
    message: Message = _decode(await reader.readexactly(size))
    return message


MODEL = "model.pt"  # what a job's model is called beside the attempt's other files


def member_name(job_id: str) -> str:
    """Return what a model that an ensemble is made of is called beside the attempt's other files."""
    return f"member-{job_id}.pt"


def namespace_of(root: Path) -> str:
    """Return the name under which the seats of a root's service are known: another one for a copy of the root."""
    place = f"{socket.gethostname()}:{root.resolve()}:{os.getuid()}"
    return f"traind-{hashlib.sha256(place.encode()).hexdigest()[:16]}"
