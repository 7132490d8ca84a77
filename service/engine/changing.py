"""Changes of a running job's settings: whether one can be requested, and what became of it. Called by `Engine`."""

import msgspec
from msgspec import UNSET

from traind.service.errors import ChangeRefused, InvalidSpec, JobFinished, JobNotRunning, TooMany
from traind.service.jobs.changes import waiting
from traind.service.jobs.job import ACTIVE, TERMINAL, Job
from traind.service.results import Controlled
from traind.trainer.contract.change import FIELDS, WAITING_MAX, Change, values_of
from traind.trainer.contract.events import ControlRequested, Status

TAKEN_UP_S = 10.0  # how long a call waits for the next step
CHANGES_MAX = 256  # of one job: its record holds them


def newest_change(job: Job) -> int:
    """Return the number of a job's newest change; numbers go on from those of the job that it started from."""
    before = job.parent.changes if job.parent is not None else 0
    return max((before, *(change.number for change in job.changes)))


def requested(job: Job, change: Change) -> tuple[int, ControlRequested | None]:
    """Return the number of a change and the event that requests it; no event where the same change waits already.

    Raises `InvalidSpec` for no change or fewer epochs than have begun; `JobNotRunning`, `JobFinished`, `TooMany`.
    """
    values = values_of(change)
    _check(job, change)
    left = waiting(job.changes)
    if left and values_of(left[-1]) == values:
        return left[-1].number, None
    if len(left) >= WAITING_MAX or len(job.changes) >= CHANGES_MAX:
        raise TooMany(
            f"The job {job.job_id} has {len(job.changes)} changes, of which {len(left)} wait.",
            hint=f"A job takes {CHANGES_MAX} changes, and {WAITING_MAX} may wait for its next step.",
        )
    number = newest_change(job) + 1
    return number, msgspec.convert({"verb": "control", "number": number, **values}, ControlRequested)


def _check(job: Job, change: Change) -> None:
    values = values_of(change)
    if not values:
        raise InvalidSpec(f"There is nothing to change: give one of {', '.join(FIELDS)} at least.")
    if job.status in TERMINAL:
        details = [{"loc": name, "msg": f"cannot be changed: the job is {job.status.lower()}"} for name in values]
        raise JobFinished(
            f"The job {job.job_id} is {job.status.lower()}; nothing of it can be changed.",
            hint="`resume` with more epochs goes on with it; `start_from` begins a new job at its checkpoint.",
            details=details,
        )
    if job.status not in ACTIVE:
        details = [{"loc": name, "msg": "can be changed only while the job runs"} for name in values]
        raise JobNotRunning(
            f"The job {job.job_id} is {job.status.lower()}; its settings can be changed while it runs.",
            hint="Resume it first." if job.status is Status.PAUSED else "Wait until it runs.",
            details=details,
        )
    if change.epochs is not UNSET and change.epochs < job.epoch:
        problem = f"must be {job.epoch} at least: that many epochs have begun"
        raise InvalidSpec(f"epochs {problem}.", details=[{"loc": "epochs", "msg": problem}])


def is_open(job: Job, number: int) -> bool:
    """Return whether a change may still be taken up."""
    change = next((change for change in job.changes if change.number == number), None)
    return change is not None and change.is_waiting and job.status is not Status.PAUSED


def controlled(job: Job, number: int) -> Controlled:
    """Return what became of a change; raises `ChangeRefused`, `JobFinished`."""
    change = next(change for change in job.changes if change.number == number)
    if change.refused:
        details = [{"loc": name, "msg": problem} for name, problem in change.refused.items()]
        problem = "; ".join(f"{name} {why}" for name, why in change.refused.items())
        kind = JobFinished if job.status in TERMINAL else ChangeRefused
        raise kind(f"The job {job.job_id} did not take the change up: {problem}.", details=details)
    return Controlled(job_id=job.job_id, status=job.status, number=number, step=change.step)
