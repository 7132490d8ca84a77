"""What a job says: its states, the events and how they are written as JSON.

Frozen msgspec structs, JSON on the wire, no torch. The worker makes events; the engine numbers them.
"""

from enum import StrEnum
from typing import Any, Literal

import msgspec
from msgspec import Struct


class Status(StrEnum):
    """The states of a job."""

    QUEUED = "QUEUED"  # accepted, durable, waiting for a slot
    STARTING = "STARTING"  # a worker has it
    LOADING = "LOADING"  # reading and encoding the data
    RUNNING = "RUNNING"  # gradient steps
    PAUSED = "PAUSED"  # checkpoint written, slot free
    COMPLETED = "COMPLETED"  # ran to its end; model saved
    STOPPED = "STOPPED"  # a user stopped it; the best model so far is saved
    CANCELLED = "CANCELLED"  # a user discarded it; nothing kept but the record
    FAILED = "FAILED"  # with error; the last good model, if any, kept


class Failure(Struct, frozen=True, omit_defaults=True):
    """Why a job failed: a stable code, a sentence, what to do about it, and its own last lines of output."""

    code: str
    message: str
    hint: str | None = None
    details: list[dict[str, Any]] = []  # bad cells: line, column, value, message
    output: str | None = None  # the last lines of the job's own traceback or output


class Result(Struct, frozen=True, omit_defaults=True):
    """What a finished attempt leaves behind. `model_path` is below the attempt's folder until it is published."""

    model_path: str | None = None
    weights_digest: str | None = None  # sha256 of the final weights
    metrics: dict[str, Any] = {}  # {"train": {...}, "validation": {...}, "baseline": {...}, "test": {...}}
    best_epoch: int | None = None
    report: dict[str, Any] = {}  # schema with evidence, warnings, importance, confusion or residuals, recipe
    best_note: str | None = None  # why metrics.validation are not those of the best epoch, where they are not


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What every event has. The worker leaves `seq` and `job_id` out; the engine gives them."""

    seq: int = 0
    job_id: str = ""
    ts: float = 0.0  # seconds since 1970


class State(Event, frozen=True, kw_only=True, omit_defaults=True, tag="state"):
    """The job entered `status`."""

    status: Status
    message: str = ""
    reason: str | None = None  # of PAUSED: user, disk_full; of QUEUED: resumed, server_restart, worker_died, ...
    attempt: int | None = None
    pid: int | None = None
    total_steps: int | None = None
    resumed_from_step: int | None = None
    bit_exact: bool | None = None  # False: resumed under other versions, device or threads
    epochs: int | None = None  # as chosen, where the spec said auto, or as extended
    error: Failure | None = None
    result: Result | None = None
    timings: dict[str, float] = {}


class Progress(Event, frozen=True, kw_only=True, omit_defaults=True, tag="progress"):
    """Where training is. `loss` is the mean over the rows since the last progress event; null if not finite."""

    attempt: int
    epoch: int  # from 1
    step: int  # gradient steps so far, over the whole job
    total_steps: int | None
    progress: float  # 0 to 100
    loss: float | None
    diverged: bool = False
    lr: float | None = None
    samples_per_s: float | None = None  # rows over time in steps, reports and stop checks
    wall_samples_per_s: float | None = None  # with everything
    metrics: dict[str, float | None] = {}  # what a trainer reports beside the loss


class Epoch(Event, frozen=True, kw_only=True, omit_defaults=True, tag="epoch"):
    """An epoch ended: `metrics` on the validation rows.

    `is_best`: by `monitor` this epoch is the best so far, and its model is kept.
    """

    attempt: int
    epoch: int
    epochs: int | None
    step: int
    train_loss: float | None
    val_loss: float | None = None  # the loss on the validation rows, in the network's own terms
    monitor: str | None = None  # what decides which epoch is best: val_loss or one of `metrics`
    metrics: dict[str, float | None] = {}
    is_best: bool = False
    lr: float | None = None
    samples_per_s: float | None = None


class Checkpoint(Event, frozen=True, kw_only=True, omit_defaults=True, tag="checkpoint"):
    """A checkpoint is whole on disk. `path` is its file, absolute in the worker, relative to the root outside."""

    attempt: int
    step: int
    path: str
    epoch: int | None = None
    seconds: float | None = None  # what writing it took


class Log(Event, frozen=True, kw_only=True, omit_defaults=True, tag="log"):
    """Something a person should read: a warning about a column, a rollback, a changed default."""

    message: str
    level: Literal["info", "warning", "error"] = "info"
    attempt: int | None = None


class Metric(Event, frozen=True, kw_only=True, omit_defaults=True, tag="metric"):
    """Custom numbers of a trainer, outside progress and epochs."""

    attempt: int
    step: int
    values: dict[str, float | None]


class ControlRequested(Event, frozen=True, kw_only=True, omit_defaults=True, tag="control"):
    """A verb was recorded: what the user (or the server) asked of the job."""

    verb: Literal["stop", "pause", "resume", "cancel"]
    epochs: int | None = None


AnyEvent = State | Progress | Epoch | Checkpoint | Log | Metric | ControlRequested

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEvent)


def encode_event(event: AnyEvent) -> bytes:
    """Return the event as one JSON object; NaN and infinities become null."""
    return _encoder.encode(event)


def decode_event(data: bytes | str) -> AnyEvent:
    """Return the event in one JSON object, or raise `msgspec.ValidationError`."""
    event: AnyEvent = _decoder.decode(data)
    return event
