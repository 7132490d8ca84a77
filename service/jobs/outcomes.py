"""The next state of a job whose attempt ended: pure functions.

`after_outcome`: the worker reported a last state. `after_loss`: its process is gone without one. `after_restart`: the
server was gone. Called by `engine.settling` and `recovery.startup`, which record the state that is returned.
"""

from typing import Protocol

import msgspec

from traind.service.executor.base import Ended
from traind.service.jobs.job import Job
from traind.trainer.contract.events import Failure, State, Status
from traind.trainer.contract.liveness import REMEDY

NODE_TRIES = 10  # losses in a row, without a checkpoint in between
DISK_TRIES = 5  # in a row, for one file
LOOK = "The log of the job may say more; `resume` tries again from the last checkpoint."
LOADING_REMEDY = "Give loading more time with the setting loading_s, or call run.start() when it is over."

NODES_HINT = "See to the nodes, or set a shorter checkpoint_every; `resume` goes on from the last checkpoint."


class AttemptRequests(Protocol):
    """The requests that an attempt carries (`engine.attempt.Attempt`)."""

    pause_reason: str
    killed_for: str | None


def after_outcome(job: Job, reported: State, pause_reason: str) -> State:
    """Return the state to record for the state a worker ended with.

    A recorded cancel wins over whatever the worker reports; a pause that was taken back queues the job again; a full
    disk pauses the job.
    """
    if job.requested == "cancel":
        return State(status=Status.CANCELLED)
    if reported.status is Status.PAUSED:
        if job.requested == "pause":
            return msgspec.structs.replace(reported, reason="user")
        if pause_reason == "disk_full":
            return _disk_full("Paused until there is disk space")
        return State(status=Status.QUEUED, reason="resumed")
    if reported.status is Status.FAILED and reported.error is not None and reported.error.code == "disk_full":
        return _disk_full_while_writing(job, reported)
    if reported.status is Status.STOPPED and reported.reason is None:
        return msgspec.structs.replace(reported, reason=job.requested_reason)
    return reported


def _disk_full_while_writing(job: Job, reported: State) -> State:
    """Return PAUSED until there is room for the file; FAILED after `DISK_TRIES` such pauses in a row."""
    assert reported.error is not None
    needs = next((detail["needed_bytes"] for detail in reported.error.details if "needed_bytes" in detail), None)
    if job.disk_pauses + 1 >= DISK_TRIES:
        message = f"{reported.error.message} It was tried {DISK_TRIES} times."
        return msgspec.structs.replace(reported, error=msgspec.structs.replace(reported.error, message=message))
    return State(status=Status.PAUSED, reason="disk_full", message=reported.error.message, needs_bytes=needs or 0)


def after_loss(job: Job, loss: Ended, requests: AttemptRequests, *, has_checkpoint: bool) -> State:
    """Return the state of a job whose worker died without a last event."""
    if requests.killed_for in {None, "grace"} and (
        settled := _as_requested(job, requests, has_checkpoint=has_checkpoint)
    ):
        return settled
    if requests.pause_reason == "disk_full":
        return _disk_full("Paused until there is disk space")
    if requests.killed_for == "max_seconds":
        return _failed("timed_out", f"The job ran longer than its {job.spec.max_seconds:g} seconds.", loss)
    if requests.killed_for == "grace":  # the server leaves
        return State(status=Status.QUEUED, reason="server_left")
    if loss.kind == "lost":
        return _lost(job, loss)
    return _crashed(job, loss, requests.killed_for)


def after_restart(job: Job, *, has_checkpoint: bool) -> State:
    """Return the state of a job that a worker had when the server died."""
    settled = _as_requested(job, None, has_checkpoint=has_checkpoint)
    return settled or State(status=Status.QUEUED, reason="server_restart", message="Goes on after a server restart")


def _as_requested(job: Job, requests: AttemptRequests | None, *, has_checkpoint: bool) -> State | None:
    """Return the state that a recorded verb leads to once the worker is gone; None without one, or after a crash."""
    is_crash = requests is not None and requests.killed_for is None
    match job.requested:
        case "cancel":
            return State(status=Status.CANCELLED)
        case "pause":
            return State(status=Status.PAUSED, reason="user")
        case "stop" if not has_checkpoint:
            return State(status=Status.CANCELLED, message="Stopped before anything could be saved")
        case "stop" if not is_crash:
            return State(status=Status.QUEUED, reason="finishing", message="Making the model of the stopped job")
        case _:
            return None


def _lost(job: Job, loss: Ended) -> State:
    """Return QUEUED for another node, or FAILED where that happened too often in a row."""
    cause = _sentence(loss.message)
    if job.node_losses + 1 < NODE_TRIES:
        return State(status=Status.QUEUED, reason="node_lost", message=f"{cause}; goes on elsewhere")
    message = f"{cause}: {NODE_TRIES} times in a row without a checkpoint in between; giving up."
    return _failed("node_lost", message, loss, NODES_HINT)


def _crashed(job: Job, loss: Ended, killed_for: str | None) -> State:
    """Return QUEUED for another attempt, or FAILED after `max_attempts` crashes."""
    cause = {
        "hang": "The job was silent for too long: no step, no report, no beat, and hardly any work; it was ended",
        "loading": "The worker took too long to load its data and was killed",
    }.get(killed_for or "", _sentence(loss.message))
    if job.crashes + 1 < job.spec.max_attempts:
        return State(status=Status.QUEUED, reason="worker_died", message=f"{cause}; trying again")
    hint = REMEDY if killed_for == "hang" else LOADING_REMEDY if killed_for == "loading" else LOOK
    if job.spec.max_attempts == 1:
        return _failed("worker_killed", f"{cause}.", loss, hint)
    return _failed("crash_loop", f"{cause}, {job.crashes + 1} times; giving up.", loss, hint)


def _sentence(message: str) -> str:
    return message[:1].upper() + message[1:].rstrip(".") if message else "The worker ended without a message"


def _failed(code: str, message: str, loss: Ended, hint: str = LOOK) -> State:
    return State(
        status=Status.FAILED,
        message=message,
        error=Failure(code=code, message=message, hint=hint, output=loss.output or None),
    )


def store_failed(message: str) -> State:
    """Return FAILED with `store_failed`: the job's files could not be read or kept, after many tries."""
    hint = "See to the disk, then `resume` goes on from the last checkpoint."
    return State(
        status=Status.FAILED, message=message, error=Failure(code="store_failed", message=message, hint=hint)
    )


def _disk_full(message: str) -> State:
    return State(status=Status.PAUSED, reason="disk_full", message=message)
