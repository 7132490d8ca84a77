"""A job as everyone sees it, and the one function that changes it.

`Job` is the record behind the status file, `GET status`, the page and the client. It is frozen: `apply(job,
event)` returns the next one. Nothing else makes a job's state. Called by the engine only; knows no clock but the
events' own, no disk, no process.
"""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from traind.trainer.contract import (
    AnyEvent,
    Checkpoint,
    ControlAsked,
    DatasetFile,
    Epoch,
    Failure,
    Log,
    Metric,
    Progress,
    State,
    Status,
    TrainSpec,
)

TERMINAL = frozenset({Status.COMPLETED, Status.STOPPED, Status.CANCELLED, Status.FAILED})
ACTIVE = frozenset({Status.STARTING, Status.LOADING, Status.RUNNING})  # a worker has it
RESUMABLE = frozenset({Status.PAUSED, Status.STOPPED, Status.FAILED, Status.COMPLETED})


class Job(Struct, frozen=True, kw_only=True):
    """One job's record. Times are seconds since 1970, durations seconds, paths relative to the root."""

    job_id: str
    status: Status = Status.QUEUED
    progress: float = 0.0  # 0 to 100
    epoch: int = 0
    step: int = 0
    total_steps: int | None = None
    loss: float | None = None
    message: str = ""
    name: str | None = None
    reason: str | None = None
    epochs: int | None = None
    attempt: int = 0
    crashes: int = 0  # deaths of the worker that were not ours
    seq: int = 0  # of the newest event
    pid: int | None = None
    requested: Literal["stop", "pause", "cancel"] | None = None  # recorded, not yet carried out
    queue_position: int | None = None  # from 1; filled in when asked for
    eta_s: float | None = None
    samples_per_s: float | None = None
    wall_samples_per_s: float | None = None
    lr: float | None = None
    diverged: bool = False
    metrics: dict[str, Any] = {}  # validation metrics of the newest epoch; when finished, of every split
    best: dict[str, Any] = {}  # validation metrics of the best epoch so far
    best_epoch: int | None = None
    timings: dict[str, float] = {}  # queued_s starting_s loading_s submit_to_first_step_s running_s
    created_at: float
    queued_at: float | None = None  # of the current wait
    started_at: float | None = None  # the first attempt
    running_at: float | None = None  # the current attempt's first step
    finished_at: float | None = None
    error: Failure | None = None
    resumed_from_step: int | None = None
    bit_exact: bool | None = None
    model: str | None = None
    checkpoint: str | None = None
    weights_digest: str | None = None
    report: dict[str, Any] = {}
    dataset: DatasetFile | None = None
    spec: TrainSpec


def apply(job: Job, event: AnyEvent) -> Job:
    """Return the job after the event, whose `seq` and `ts` are set."""
    match event:
        case State():
            changes = _entered(job, event)
        case Progress():
            changes = _progressed(job, event)
        case Epoch():
            changes = _epoch_ended(event)
        case Checkpoint():
            changes = {"checkpoint": event.path}
        case ControlAsked():
            changes = {"requested": None if event.verb == "resume" else event.verb}
        case Log() | Metric():
            changes = {}
    return msgspec.structs.replace(job, seq=event.seq, **changes)
