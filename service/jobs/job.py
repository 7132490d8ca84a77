"""The record of a job, and `apply`, the only function that changes it.

`Job` is behind the status file, `GET status`, the page and the client. It is frozen: `apply(job, event)` returns the
next record. Only `record.journal` calls it. The only times it knows are those of the events.
"""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct

from traind.service.jobs.changes import changed, left_over, without_epochs
from traind.trainer.contract.change import RequestedChange
from traind.trainer.contract.events import (
    AnyEvent,
    Checkpoint,
    ControlRequested,
    Edited,
    Epoch,
    Failure,
    Log,
    Metric,
    Progress,
    State,
    Status,
)
from traind.trainer.contract.metrics import VAL_LOSS
from traind.trainer.contract.spec import DatasetFile, TrainSpec

TERMINAL = frozenset({Status.COMPLETED, Status.STOPPED, Status.CANCELLED, Status.FAILED})
ACTIVE = frozenset({Status.STARTING, Status.LOADING, Status.RUNNING})  # a worker has it


class Best(Struct, frozen=True, kw_only=True):
    """The best epoch so far, and what decided that it is. Its numbers are the finished model's validation metrics."""

    epoch: int | None = None
    """The epoch, from 1; null while none has ended."""
    monitor: str = VAL_LOSS
    """What decides: the loss on the validation rows (val_loss), or a metric."""
    value: float | None = None
    """The monitor's value in that epoch."""
    metrics: dict[str, Any] = {}
    """Metrics of that epoch on the validation rows by name, val_loss among them."""
    note: str | None = None
    """Why the finished model's validation metrics are others; null where they are not."""


class Parent(Struct, frozen=True, kw_only=True):
    """Where a job began: a checkpoint of another."""

    job_id: str
    """Job whose checkpoint it is; it may be deleted since."""
    step: int
    """Gradient step of the checkpoint."""
    epoch: int | None = None
    """Epochs that had ended there."""
    keep: str = "all"
    """Whether all of its state was taken over, or the weights alone."""
    changes: int = 0
    """Number of the newest change of settings that had been requested of that job."""


class Job(Struct, frozen=True, kw_only=True):
    """One job's record. Times are seconds since 1970, durations seconds, paths relative to the root."""

    job_id: str
    """Id of the job, made by the client or the server."""
    status: Status = Status.QUEUED
    """State that the job is in."""
    progress: float = 0.0
    """Share of the planned steps that is done, in percent, 0 to 100."""
    epoch: int = 0
    """Newest epoch that took a step, from 1; 0 before the first."""
    step: int = 0
    """Gradient steps taken so far, over all attempts, from 0."""
    total_steps: int | None = None
    """Gradient steps planned over all epochs; null where they are not known."""
    loss: float | None = None
    """Mean training loss of the newest report; null before the first one and where it is not finite."""
    message: str = ""
    """What the job is doing, in a few words for people."""
    name: str | None = None
    """What people call the job."""
    reason: str | None = None
    """Why, where the state has several reasons: user, disk_full, resumed, worker_died, server_restart and others."""
    epochs: int | None = None
    """Epochs planned: as chosen where the spec says auto, or as extended by resume."""
    attempt: int = 0
    """Number of the newest attempt, from 1; 0 before the first."""
    needs_bytes: int | None = None
    """Size in bytes of the file for which there was no room; null unless it is paused for want of that room."""
    disk_pauses: int = 0
    """Times in a row that there was no room for a file, without a checkpoint in between."""
    crashes: int = 0
    """Deaths of the worker process that the server did not cause, since the last resume."""
    node_losses: int = 0
    """Times in a row that the node of a cluster was lost with the job on it, without a checkpoint in between."""
    seq: int = 0
    """Number of the newest event."""
    pid: int | None = None
    """Id of the worker process; null while none works on the job."""
    node: str | None = None
    """Name of the machine that its worker is on; null: the server's own."""
    requested: Literal["stop", "pause", "cancel"] | None = None
    """Verb that is recorded and not yet carried out."""
    requested_reason: str | None = None
    """Why, where no user requested it: pruned."""
    queue_position: int | None = None
    """Place in the queue, from 1; null where the job does not wait."""
    eta_s: float | None = None
    """Seconds of running that are left, estimated from the steps so far."""
    samples_per_s: float | None = None
    """Training rows a second, over the time spent in gradient steps, reports and stop checks."""
    wall_samples_per_s: float | None = None
    """Training rows a second, over all time since steps began, validation and checkpoints included."""
    lr: float | None = None
    """Learning rate of the newest reported step."""
    diverged: bool = False
    """Whether the newest reported loss was not finite."""
    metrics: dict[str, Any] = {}
    """Metrics on the validation rows of the newest epoch; at the end by split: train, validation, test, baseline."""
    baseline: dict[str, float | None] = {}
    """The same metrics of predicting the mean of the target, or its class shares, for every row; empty: not known."""
    best: Best = Best()
    """The best epoch so far, and by what it is the best."""
    best_epoch: int | None = None
    """Best epoch so far by the monitor, from 1."""
    timings: dict[str, float] = {}
    """Seconds by phase over all attempts: queued_s, starting_s, loading_s (data_s, model_s), running_s and others."""
    created_at: float
    """When it was accepted, in seconds since 1970 (UTC)."""
    entered_at: float | None = None
    """When it entered its state, in seconds since 1970 (UTC)."""
    started_at: float | None = None
    """When its first attempt started, in seconds since 1970 (UTC)."""
    finished_at: float | None = None
    """When it ended, in seconds since 1970 (UTC); null while it is not over."""
    ran_s: float = 0.0
    """Seconds that earlier attempts were running."""
    error: Failure | None = None
    """Why it failed; null in every other state."""
    resumed_from_step: int | None = None
    """Step that the newest attempt went on from; null at a first start."""
    device: str | None = None
    """What the job computes on: cpu, or the GPU by its maker's name; null until it runs."""
    bit_exact: bool | None = None
    """False where it went on under other versions, device or threads, so not bit for bit."""
    model: str | None = None
    """Path of the model file, relative to the root; null while there is none."""
    checkpoint: str | None = None
    """Path of the newest checkpoint, relative to the root."""
    weights_digest: str | None = None
    """Sha256 of the final weights, 64 hex digits."""
    report: dict[str, Any] = {}
    """A closer look at a finished job: schema, warnings, importance, errors, calibration or intervals, recipe."""
    dataset: DatasetFile | None = None
    """The version of the data set that it trains on; null: synthetic data."""
    spec: TrainSpec
    """The spec as it is now: what resume and edits changed is changed in it."""
    submitted: dict[str, Any] = {}
    """Fields of the spec that were changed since it was submitted, as they were then."""
    notes: str | None = None
    """Free text of people about the job."""
    parent: Parent | None = None
    """Checkpoint of another job that it began at; null: it began anew."""
    children: list[str] = []
    """Jobs that began at a checkpoint of this one, oldest first; filled in by GET status."""
    changes: list[RequestedChange] = []
    """Changes of settings that were requested while it ran, in order, each with the step it was taken up at."""
    study_id: str | None = None
    """Study that the job is a trial of, or whose ensemble it makes; null: none."""
    trial: int | None = None
    """Number of the trial in its study, from 0; null where it is none."""


def scores(job: Job) -> dict[str, float]:
    """Return the metrics to compare jobs by, on the validation rows: the model's, or the best epoch's so far.

    A trainer that names no best epoch and no split is compared by its newest metrics.
    """
    found = job.metrics.get("validation")
    newest = job.metrics if job.best.epoch is None else job.best.metrics
    measured = found if isinstance(found, dict) else newest
    return {name: float(value) for name, value in measured.items() if isinstance(value, int | float)}


def submitted(job: Job) -> TrainSpec:
    """Return the spec as it was submitted."""
    if not job.submitted:
        return job.spec
    return msgspec.convert(msgspec.to_builtins(job.spec) | job.submitted, TrainSpec)


def _respecified(job: Job, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the changes of the record that set fields of the spec and keep their submitted values."""
    before = msgspec.to_builtins({name: getattr(job.spec, name) for name in fields})
    return {"spec": msgspec.structs.replace(job.spec, **fields), "submitted": before | job.submitted}


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
            changes = {"checkpoint": event.path, "disk_pauses": 0, "node_losses": 0}
        case ControlRequested():
            changes = _requested(job, event)
        case Edited():
            changes = _edited(job, event)
        case Log() | Metric():
            changes = {}
    return msgspec.structs.replace(job, seq=event.seq, **changes)


_MESSAGES = {
    Status.QUEUED: "Waiting for a slot",
    Status.STARTING: "Starting",
    Status.LOADING: "Loading data",
    Status.RUNNING: "Training",
    Status.PAUSED: "Paused",
    Status.COMPLETED: "Completed",
    Status.STOPPED: "Stopped",
    Status.CANCELLED: "Cancelled",
    Status.FAILED: "Failed",
}


def _entered(job: Job, event: State) -> dict[str, Any]:
    """Return what entering a state changes."""
    status, ts = event.status, event.ts
    is_pause_for_room = status is Status.PAUSED and event.needs_bytes is not None
    changes: dict[str, Any] = {
        "needs_bytes": event.needs_bytes,
        "disk_pauses": job.disk_pauses + is_pause_for_room if event.reason != "resumed" else 0,
        "status": status,
        "message": event.message or _MESSAGES[status],
        "reason": event.reason,
        "entered_at": ts,
        "timings": _timings(job, event) | event.timings,
    }
    for field in ("attempt", "pid", "node", "total_steps", "resumed_from_step", "device", "bit_exact", "epochs"):
        if (value := getattr(event, field)) is not None:
            changes[field] = value
    if status not in ACTIVE:
        changes |= {"pid": None, "node": None, "eta_s": None}
    if status in TERMINAL or status is Status.PAUSED:
        changes["requested"] = None
    if status in TERMINAL:
        changes["changes"] = left_over(job.changes)
    if status is Status.QUEUED:
        changes |= {"finished_at": None, "error": None, "crashes": _crashes(job, event)}
        changes["node_losses"] = job.node_losses + (event.reason == "node_lost") if event.reason != "resumed" else 0
    elif status is Status.STARTING:
        changes |= {
            "started_at": job.started_at or ts,
            "resumed_from_step": None,
            "ran_s": job.timings.get("running_s", 0.0),
        }
    elif status in TERMINAL:
        changes |= _finished(job, event)
    return changes


def _crashes(job: Job, event: State) -> int:
    """Return how often the worker died since the last `resume`."""
    if event.reason == "resumed":
        return 0
    return job.crashes + (event.reason == "worker_died")


def _timings(job: Job, event: State) -> dict[str, float]:
    """Return the durations by phase, the state that was left added."""
    phase = {
        Status.QUEUED: "queued_s",
        Status.STARTING: "starting_s",
        Status.LOADING: "loading_s",
        Status.RUNNING: "running_s",
    }.get(job.status)
    if phase is None or job.entered_at is None:
        return job.timings
    so_far = job.ran_s if phase == "running_s" else job.timings.get(phase, 0.0)
    return job.timings | {phase: round(so_far + max(0.0, event.ts - job.entered_at), 6)}


def _finished(job: Job, event: State) -> dict[str, Any]:
    """Return what the end of a job changes; an earlier model is kept where this end has none."""
    changes: dict[str, Any] = {"finished_at": event.ts, "error": event.error}
    if event.status is Status.COMPLETED:
        changes["progress"] = 100.0
    if event.status is Status.CANCELLED:
        changes |= {"model": None, "checkpoint": None}
    if (result := event.result) is not None:
        changes |= {
            "model": result.model_path or job.model,
            "weights_digest": result.weights_digest or job.weights_digest,
            "metrics": result.metrics or job.metrics,
            "baseline": _numbers(result.metrics.get("baseline")) or job.baseline,
            "best_epoch": result.best_epoch or job.best_epoch,
            "best": msgspec.structs.replace(job.best, note=result.best_note),
            "report": result.report or job.report,
        }
    return changes


def _numbers(values: object) -> dict[str, float | None]:
    """Return those of a trainer's values that are numbers; metrics of its own may be anything."""
    named = values.items() if isinstance(values, dict) else ()
    return {str(name): value for name, value in named if value is None or type(value) in {int, float}}


def _progressed(job: Job, event: Progress) -> dict[str, Any]:
    """Return what a step changes."""
    running_s = max(0.0, event.ts - (job.entered_at or event.ts))
    timings = job.timings | {"running_s": round(job.ran_s + running_s, 6)}
    if "submit_to_first_step_s" not in timings:
        timings |= {"first_step_s": round(running_s, 6)}
        timings |= {"submit_to_first_step_s": round(event.ts - job.created_at, 6)}
    taken = event.step - (job.resumed_from_step or 0)
    total = event.total_steps
    return {
        "epoch": event.epoch,
        "step": event.step,
        "total_steps": total if total is not None else job.total_steps,
        "progress": event.progress,
        "loss": event.loss,
        "diverged": event.diverged,
        "lr": event.lr if event.lr is not None else job.lr,
        "samples_per_s": event.samples_per_s or job.samples_per_s,
        "wall_samples_per_s": event.wall_samples_per_s or job.wall_samples_per_s,
        "message": f"Training epoch {event.epoch}/{job.epochs}" if job.epochs else f"Training, step {event.step}",
        "eta_s": round(running_s * (total - event.step) / taken, 1) if total and taken > 0 else None,
        "timings": timings,
    }


def _epoch_ended(event: Epoch) -> dict[str, Any]:
    """Return what the end of an epoch changes."""
    measured = event.metrics if event.val_loss is None else {**event.metrics, VAL_LOSS: event.val_loss}
    changes: dict[str, Any] = {"epoch": event.epoch, "step": event.step, "metrics": measured}
    if event.baseline:
        changes["baseline"] = event.baseline
    if event.is_best:
        monitor = event.monitor or VAL_LOSS
        best = Best(epoch=event.epoch, monitor=monitor, value=measured.get(monitor), metrics=measured)
        changes |= {"best": best, "best_epoch": event.epoch}
    return changes


def _requested(job: Job, event: ControlRequested) -> dict[str, Any]:
    """Return what a recorded verb changes."""
    if event.verb == "control":
        changes, values = changed(job.changes, event)
        return {"changes": changes} | ({"epochs": values["epochs"]} if "epochs" in values else {})
    if event.verb != "resume":
        return {"requested": event.verb, "requested_reason": event.reason}
    found: dict[str, Any] = {"requested": None, "requested_reason": None}
    if event.epochs is None:
        return found
    found |= {"epochs": event.epochs, "changes": without_epochs(job.changes)}
    return found | _respecified(job, {"epochs": event.epochs})


def _edited(job: Job, event: Edited) -> dict[str, Any]:
    """Return what an edit changes; name, tags and priority stand in the spec."""
    of_spec = {name: getattr(event, name) for name in ("name", "tags", "priority")}
    changes = _respecified(job, {name: value for name, value in of_spec.items() if value is not UNSET})
    for name in ("name", "notes"):
        if (value := getattr(event, name)) is not UNSET:
            changes[name] = value
    return changes
