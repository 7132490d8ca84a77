"""A summary of a job, for long lists and for watchers of all jobs. Pure functions."""

from typing import Any

import msgspec

from traind.service.jobs.job import Job
from traind.service.jobs.trained_with import unusual

_SHOWN_IN_LISTS = (
    *("job_id", "status", "progress", "epoch", "step", "total_steps", "loss", "message", "name", "reason", "epochs"),
    *("attempt", "seq", "requested", "queue_position", "eta_s", "samples_per_s", "metrics", "best", "best_epoch"),
    *("baseline", "created_at", "entered_at", "started_at", "finished_at", "error", "timings"),
)


def summary(job: Job) -> dict[str, Any]:
    """Return the job for a long list: without report and paths, and of the spec only what people search by."""
    shown = {name: getattr(job, name) for name in _SHOWN_IN_LISTS}
    return shown | {
        "dataset": job.spec.dataset,
        "target": _target(job),
        "trainer": job.spec.trainer,
        "model_kind": msgspec.to_builtins(job.spec.model)["kind"],
        "settings": unusual(job.spec),
        "tags": job.spec.tags,
        "notes": job.notes,
        "priority": job.spec.priority,
        "study_id": job.study_id,
        "trial": job.trial,
    }


def _target(job: Job) -> str | None:
    """Return the target column: the one in the spec, or, once known, the one that was chosen."""
    if job.spec.target is not None or job.spec.trainer != "tabular":
        return job.spec.target
    taken: str | None = job.report.get("schema", {}).get("target")
    return taken
