"""Edits of a job's name, tags, notes and priority, which leave its state as it is. Called by `Engine`."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from traind.service.errors import NotWaiting
from traind.service.jobs.job import Job
from traind.trainer.contract.events import Edited, Status
from traind.trainer.contract.spec import Name, Priority, Tags

Notes = Annotated[str, Meta(max_length=10_000)]
WAITING = frozenset({Status.QUEUED, Status.PAUSED})


class Edit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to change; what is left out stays as it is."""

    name: Name | UnsetType | None = UNSET
    """What people call the job; null: nothing."""
    tags: Tags | UnsetType = UNSET
    """Words to find the job by; they replace those it has."""
    notes: Notes | UnsetType | None = UNSET
    """Free text about the job; null: none."""
    priority: Priority | UnsetType = UNSET
    """Higher starts first; while the job waits."""


def edited(job: Job, edit: Edit) -> Edited | None:
    """Return the event of an edit; None where it changes nothing. Raises `NotWaiting`."""
    now = {"name": job.name, "tags": job.spec.tags, "notes": job.notes, "priority": job.spec.priority}
    wanted = {name: getattr(edit, name) for name in now}
    changes = {name: value for name, value in wanted.items() if value is not UNSET and value != now[name]}
    if "priority" in changes and job.status not in WAITING:
        raise NotWaiting(
            f"The job {job.job_id} is {job.status.lower()}; its priority counts only while it waits.",
            details=[{"loc": "priority", "msg": "can be changed only while the job is queued or paused"}],
        )
    return msgspec.convert(changes, Edited) if changes else None
