"""Short answers for agents in plain values, and descriptions of settings."""

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
    "baseline",
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
    """Return the main fields of a job; the resource `traind://jobs/<job_id>` has all."""
    whole = as_json(job)
    return {name: whole[name] for name in _SHOWN if whole.get(name) is not None}


def settings_help(spec: type[Struct]) -> str:
    """Return the name and description of each field of a job's spec."""
    return " ".join(f"{name}: {line}" for name, line in field_lines(spec).items())
