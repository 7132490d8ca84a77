"""What jobs were trained with, by path: the fields of a spec in which they can differ. Pure.

Called by the list of jobs, for what is not usual, and by `traind compare`, for what differs.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from traind.service.jobs.job import Job
from traind.trainer.contract.spec import TrainSpec

ELSEWHERE = frozenset({"dataset", "target", "trainer", "name", "tags", "priority", "start_from"})  # shown apart
CHOSEN = ("epochs", "batch_size", "lr", "optimizer", "schedule", "weight_decay", "patience")  # by the recipe
MOST_SHOWN, LONGEST = 40, 200  # fields in a list, and characters of one


def fields_by_path(spec: TrainSpec) -> dict[str, Any]:
    """Return the fields of a spec by path, such as `lr`, `model` (its kind), `model.hidden`, `options.width`."""
    found: dict[str, Any] = {}
    for name, value in msgspec.to_builtins(spec).items():
        if name in ELSEWHERE:
            continue
        if not isinstance(value, dict):
            found[name] = value
            continue
        for key, inner in value.items():
            found[name if key == "kind" else f"{name}.{key}"] = inner
    return found


def unusual(spec: TrainSpec) -> dict[str, Any]:
    """Return the fields that are not as they would be by themselves, for a list: few of them, and short."""
    usual = _usual()
    found = {path: value for path, value in fields_by_path(spec).items() if path not in usual or usual[path] != value}
    short = {path: value for path, value in found.items() if len(str(value)) <= LONGEST}
    return dict(list(short.items())[:MOST_SHOWN])


@cache
def _usual() -> Mapping[str, Any]:
    return fields_by_path(TrainSpec())


def trained_with(job: Job) -> dict[str, Any]:
    """Return all that decides what a job makes: its data, its fields, and what was chosen where they say auto."""
    schema, recipe = (_mapping(job.report.get(name)) for name in ("schema", "recipe"))
    found = {
        "dataset": job.spec.dataset,
        "dataset version": None if job.dataset is None else job.dataset.digest[:12],
        "target": job.spec.target or schema.get("target"),
        "trainer": job.spec.trainer,
        **fields_by_path(job.spec),
    }
    for name in CHOSEN:
        if found[name] == "auto" and name in recipe:
            found[name] = recipe[name]
    if found["model"] == "auto":
        found["model"] = _mapping(recipe.get("network")).get("kind", "auto")
    return found


def differing(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the paths in which what jobs were trained with differs, in the order of the first that has them."""
    paths = dict.fromkeys(path for values in jobs for path in values)
    return [path for path in paths if any(values.get(path) != jobs[0].get(path) for values in jobs)]


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return a part of a report, which a trainer of one's own may have written in any way."""
    return value if isinstance(value, Mapping) else {}
