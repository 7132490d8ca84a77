"""The log lines of a job: accepted, started, how it ended. Observes the journal; decides nothing."""

import logging

from traind.service.jobs.job import TERMINAL, Job
from traind.trainer.contract.events import AnyEvent, State, Status

LOG = logging.getLogger(__name__)


def log_life(job: Job, event: AnyEvent) -> None:
    """Log the changes of a job's state that matter to an operator."""
    if not isinstance(event, State) or not LOG.isEnabledFor(logging.INFO):
        return
    if (words := _words(job, event)) is not None:
        level = logging.WARNING if event.status is Status.FAILED or event.reason == "worker_died" else logging.INFO
        LOG.log(level, "job %s %s", job.job_id, words)


def _words(job: Job, event: State) -> str | None:
    match event.status:
        case Status.QUEUED if job.attempt == 0:
            data = job.spec.dataset or ("synthetic data" if job.spec.trainer == "tabular" else None)
            return f"accepted: {job.spec.trainer}" + (f" on {data}" if data else "")
        case Status.QUEUED:
            return f"waits again: {event.message or event.reason}"
        case Status.STARTING:
            return f"started, attempt {event.attempt}"
        case Status.PAUSED:
            return f"paused: {event.message or event.reason}"
        case Status.FAILED:
            return f"failed: {event.error.code}: {event.error.message}" if event.error else "failed"
        case status if status in TERMINAL:
            return f"{status.lower()} at step {job.step}, after {job.timings.get('running_s', 0.0):.1f} s of running"
    return None
