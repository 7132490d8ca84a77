"""What agents are shown: short answers in plain values, and each setting's line."""

from typing import Any

import msgspec
from msgspec import Struct

from traind.service.field_lines import field_lines
from traind.service.jobs.job import Job

_SHOWN = (
    "job_id",
    "name",
    "status",
    "message",
    "progress",
    "epoch",
    "step",
    "total_steps",
    "loss",
    "eta_s",
    "queue_position",
    "metrics",
    "best",
    "best_epoch",
    "error",
    "model",
    "bit_exact",
)


def as_json(value: Any) -> dict[str, Any]:
    """Return a struct as plain values."""
    plain: dict[str, Any] = msgspec.to_builtins(value)
    return plain


def job_facts(job: Job) -> dict[str, Any]:
    """Return what matters of a job; all of it is the resource `traind://jobs/<job_id>`."""
    whole = as_json(job)
    return {name: whole[name] for name in _SHOWN if whole.get(name) is not None}


def settings_help(spec: type[Struct]) -> str:
    """Return one clause a field of a job's spec: its name and its line."""
    return " ".join(f"{name}: {line}" for name, line in field_lines(spec).items())
