"""The states and events of a job, and their encoding as JSON.

Frozen msgspec structs, no torch. The worker makes events; the journal numbers them.
"""

from enum import StrEnum
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType


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
    """Stable code of the error, in snake_case: docs/errors.md lists them."""
    message: str
    """What happened, in a sentence for people."""
    hint: str | None = None
    """What to do about it; null: unknown."""
    details: list[dict[str, Any]] = []
    """Single problems, such as bad cells with line, column, value and message."""
    output: str | None = None
    """Last lines of the job's own traceback or output."""


class Result(Struct, frozen=True, omit_defaults=True):
    """What a finished attempt leaves behind. `model_path` is below the attempt's folder until it is published."""

    model_path: str | None = None
    """Path of the model file, below the attempt's folder until it is published."""
    weights_digest: str | None = None
    """Sha256 of the final weights, 64 hex digits."""
    metrics: dict[str, Any] = {}
    """Metrics by split: train, validation, test where there is one, and the baseline."""
    best_epoch: int | None = None
    """Epoch whose weights the model has, from 1."""
    report: dict[str, Any] = {}
    """A closer look: schema with evidence, warnings, importance, confusion or residuals, recipe."""
    best_note: str | None = None
    """Why metrics.validation are not those of the best epoch; null where they are."""


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """The fields of every event. The worker leaves out `seq` and `job_id`; the journal sets them."""

    seq: int = 0
    """Number of the event in its job: 1, 2, 3 ... without gaps."""
    job_id: str = ""
    """Id of the job."""
    ts: float = 0.0
    """When it happened, in seconds since 1970 (UTC)."""


class State(Event, frozen=True, kw_only=True, omit_defaults=True, tag="state"):
    """The job entered `status`."""

    status: Status
    """The state that the job entered."""
    message: str = ""
    """What happened, in a few words for people; empty: the usual words of the state."""
    reason: str | None = None
    """Why, where a state has several reasons: user, disk_full, resumed, worker_died, server_restart and others."""
    attempt: int | None = None
    """Number of the attempt, from 1; null where no attempt is meant."""
    pid: int | None = None
    """Id of the worker process; null where there is none."""
    node: str | None = None
    """Name of the machine that the worker is on; null: the server's own."""
    total_steps: int | None = None
    """Gradient steps planned over all epochs; null where they are not known."""
    resumed_from_step: int | None = None
    """Step that the attempt goes on from; null at a first start."""
    device: str | None = None
    """What the job computes on: cpu, or the GPU by its maker's name."""
    bit_exact: bool | None = None
    """False where the attempt goes on under other versions, device or threads, so not bit for bit."""
    epochs: int | None = None
    """Epochs planned: as chosen where the spec says auto, or as extended by resume."""
    needs_bytes: int | None = None
    """Of PAUSED for disk_full: size in bytes of the file for which there was no room; null: not known."""
    error: Failure | None = None
    """Why the job failed; null in every other state."""
    result: Result | None = None
    """What a finished attempt leaves behind."""
    timings: dict[str, float] = {}
    """Seconds that parts of this state took, by name: data_s, model_s."""


class Progress(Event, frozen=True, kw_only=True, omit_defaults=True, tag="progress"):
    """Where training is. `loss` is the mean over the rows since the last progress event; null if not finite."""

    attempt: int
    """Number of the attempt, from 1."""
    epoch: int
    """Epoch that the step belongs to, from 1."""
    step: int
    """Gradient steps taken so far, over all attempts, from 0."""
    total_steps: int | None
    """Gradient steps planned over all epochs; null where they are not known."""
    progress: float
    """Share of the planned steps that is done, in percent, 0 to 100."""
    loss: float | None
    """Mean training loss over the rows since the last progress event; null where it is not finite."""
    diverged: bool = False
    """Whether the loss was not finite."""
    lr: float | None = None
    """Learning rate of the newest step."""
    samples_per_s: float | None = None
    """Training rows a second, over the time spent in gradient steps, reports and stop checks."""
    wall_samples_per_s: float | None = None
    """Training rows a second, over all time since steps began, validation and checkpoints included."""
    metrics: dict[str, float | None] = {}
    """Numbers that the trainer reports beside the loss, by name."""


class Epoch(Event, frozen=True, kw_only=True, omit_defaults=True, tag="epoch"):
    """An epoch ended: `metrics` on the validation rows.

    `is_best`: by `monitor` this epoch is the best so far, and its model is kept.
    """

    attempt: int
    """Number of the attempt, from 1."""
    epoch: int
    """Epoch that ended, from 1."""
    epochs: int | None
    """Epochs planned; null where they are not known."""
    step: int
    """Gradient steps taken so far, over all attempts, from 0."""
    train_loss: float | None
    """Mean training loss over the epoch; null where it is not finite."""
    val_loss: float | None = None
    """Mean loss on the validation rows, in the network's own terms; null where it is not finite."""
    monitor: str | None = None
    """What decides which epoch is best: val_loss or one of the metrics."""
    metrics: dict[str, float | None] = {}
    """Metrics on the validation rows by name; null where a metric is not defined."""
    baseline: dict[str, float | None] = {}
    """The same metrics of predicting the mean of the target, or its class shares, for every row; empty: not known."""
    is_best: bool = False
    """Whether it is the best epoch so far, whose weights are kept."""
    lr: float | None = None
    """Learning rate of the newest step."""
    samples_per_s: float | None = None
    """Training rows a second, over the time spent in gradient steps, reports and stop checks."""


class Checkpoint(Event, frozen=True, kw_only=True, omit_defaults=True, tag="checkpoint"):
    """A checkpoint is whole on disk. `path` is its file, absolute in the worker, relative to the root outside."""

    attempt: int
    """Number of the attempt, from 1."""
    step: int
    """Gradient steps that the checkpoint has, over all attempts."""
    path: str
    """Path of its file: absolute in the worker, relative to the root outside."""
    epoch: int | None = None
    """Epochs that had ended, from 0."""
    seconds: float | None = None
    """Seconds that writing it took."""


class Log(Event, frozen=True, kw_only=True, omit_defaults=True, tag="log"):
    """A message for people: a warning about a column, a rollback, a changed default."""

    message: str
    """A sentence for people."""
    level: Literal["info", "warning", "error"] = "info"
    """Severity: info, warning or error."""
    attempt: int | None = None
    """Number of the attempt, from 1; null where no attempt is meant."""


class Metric(Event, frozen=True, kw_only=True, omit_defaults=True, tag="metric"):
    """Custom numbers of a trainer, outside progress and epochs."""

    attempt: int
    """Number of the attempt, from 1."""
    step: int
    """Gradient steps taken so far, over all attempts, from 0."""
    values: dict[str, float | None]
    """Numbers of the trainer's own by name, outside progress and epochs; null where one is not finite."""


class ControlRequested(Event, frozen=True, kw_only=True, omit_defaults=True, tag="control"):
    """A user (or the server) requested something of the job, and it was recorded.

    `control` comes twice: when a change of settings was requested, and with `step` (or `refused`) when the running
    job has taken it up (or could not).
    """

    verb: Literal["stop", "pause", "resume", "cancel", "control"]
    """What was requested, by a user or by the server."""
    epochs: int | None = None
    """Number of all epochs that a resume or a change requested; null: as before."""
    number: int | None = None
    """Of control: number of the change in its job, from 1."""
    lr: float | UnsetType = UNSET
    """Of control: the learning rate that was requested."""
    patience: int | UnsetType | None = UNSET
    """Of control: the patience in epochs that was requested; null: never stop early."""
    report_every: int | UnsetType = UNSET
    """Of control: the gradient steps between progress events that were requested."""
    checkpoint_every: float | UnsetType = UNSET
    """Of control: the seconds between checkpoints that were requested."""
    step: int | None = None
    """Of control: gradient steps taken before it was taken up; null: it was requested, or refused."""
    refused: dict[str, str] = {}
    """Of control: why the running job could not take it up, by field."""
    attempt: int | None = None
    """Of control: the attempt that took it up, or could not; null where it was requested."""
    reason: str | None = None
    """Why, where no user requested it: pruned, since other trials of the study are better."""


class Edited(Event, frozen=True, kw_only=True, omit_defaults=True, tag="edit"):
    """Name, tags, notes or priority were changed; fields left out stayed as they were."""

    name: str | UnsetType | None = UNSET
    """What people call the job; null: nothing."""
    tags: tuple[str, ...] | UnsetType = UNSET
    """Words to find the job by."""
    notes: str | UnsetType | None = UNSET
    """Free text about the job; null: none."""
    priority: int | UnsetType = UNSET
    """Higher starts first, -100 to 100."""


AnyEvent = State | Progress | Epoch | Checkpoint | Log | Metric | ControlRequested | Edited

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEvent)


def encode_event(event: AnyEvent) -> bytes:
    """Return the event as one JSON object; NaN and infinities become null."""
    return _encoder.encode(event)


def decode_event(data: bytes | str) -> AnyEvent:
    """Return the event in one JSON object, or raise `msgspec.ValidationError`."""
    event: AnyEvent = _decoder.decode(data)
    return event


def merged(earlier: Progress, later: Progress) -> Progress:
    """Return `later` with the mean loss of both, for when `earlier` is dropped.

    A progress event does not say how many steps it covers; both are assumed to cover as many.
    """
    if later.diverged or earlier.diverged or earlier.loss is None or later.loss is None:
        return msgspec.structs.replace(later, diverged=later.diverged or earlier.diverged)
    return msgspec.structs.replace(later, loss=(earlier.loss + later.loss) / 2)
