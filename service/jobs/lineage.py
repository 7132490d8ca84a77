"""A job that starts from another job's checkpoint: what it inherits, and what it may not change."""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec

from traind.service.errors import JobNotFound
from traind.service.jobs.changes import in_force, taken_up
from traind.service.jobs.job import Job, submitted
from traind.service.validation.explain import Problem
from traind.service.validation.validate import parse_spec, refusal
from traind.trainer.contract.change import RequestedChange
from traind.trainer.contract.spec import BlendModel, TrainSpec, TreesModel

OF_THE_JOB = frozenset({"name", "tags", "priority", "start_from"})  # never inherited
OF_TRAINING = frozenset(
    {
        *("epochs", "lr", "schedule", "weight_decay", "patience", "monitor", "batch_size", "seed", "validation"),
        "dataset",
    }
)
OF_RUNNING = {
    *("threads", "device", "checkpoint_every", "report_every", "max_seconds", "max_attempts"),
    *("workers", "cpus", "gpus", "memory"),
}
FREE = OF_THE_JOB | OF_TRAINING | OF_RUNNING
_DEFAULTS = msgspec.to_builtins(TrainSpec())


class Inherited(NamedTuple):
    """A spec filled in from the job that it starts from, and the changes of that job."""

    spec: TrainSpec
    changes: tuple[RequestedChange, ...] = ()  # to be repeated
    seen: tuple[RequestedChange, ...] = ()  # taken up so far


async def inherit(spec: TrainSpec, job_id: str | None, find: Callable[[str], Awaitable[Job]]) -> Inherited:
    """Return the spec filled in from the job that it starts from; raises `InvalidSpec`."""
    if spec.start_from is None:
        return Inherited(spec)
    start = spec.start_from.job_id
    if start == job_id:
        raise refusal([Problem("start_from.job_id", "must be another job")], "The spec")
    if job_id is not None:
        with contextlib.suppress(JobNotFound):  # submitted before: it has inherited already
            known = await find(job_id)
            if known.spec.start_from == spec.start_from:
                return inherited(spec, submitted(known))
    try:
        parent = await find(start)
    except JobNotFound:
        raise refusal([Problem("start_from.job_id", f"there is no job {start!r}")], "The spec") from None
    if job_id is not None and await _comes_from(parent, job_id, find):
        problem = f"the job {start!r} comes from a job {job_id!r} itself, which was deleted: give this one another id"
        raise refusal([Problem("start_from.job_id", problem)], "The spec")
    if isinstance(parent.spec.model, TreesModel | BlendModel):
        problem = f"the job {start!r} has trees, which nothing can start from: name a job of networks"
        raise refusal([Problem("start_from.job_id", problem)], "The spec")
    return inherited(spec, parent.spec, parent.changes)


async def _comes_from(job: Job, ancestor: str, find: Callable[[str], Awaitable[Job]]) -> bool:
    """Return whether a job's lineage names this one: with its id again, lineage would be a circle."""
    seen: set[str] = set()
    while (start := job.spec.start_from) is not None and start.job_id not in seen:
        if start.job_id == ancestor:
            return True
        seen.add(start.job_id)
        try:
            job = await find(start.job_id)
        except JobNotFound:
            return False
    return False


def inherited(spec: TrainSpec, parent: TrainSpec, changes: Sequence[RequestedChange] = ()) -> Inherited:
    """Return the spec, its defaults replaced by the parent's values.

    If the spec changes no field of training, the parent's `changes` are repeated at their steps; else their newest
    values are taken over. Raises `InvalidSpec` naming each field that would change the network, the encoder or the
    optimizer's state.
    """
    wanted, before = msgspec.to_builtins(spec), msgspec.to_builtins(parent)
    values = {name: value for name, value in wanted.items() if value != _DEFAULTS[name] or name in OF_THE_JOB}
    found = [
        Problem(name, f"must be as in the job {_parent_of(spec)}, from which this one starts: {before[name]!r}")
        for name, value in values.items()
        if name not in FREE and value != before[name]
    ]
    if "dataset" in values and parent.dataset is None:
        found.append(Problem("dataset", f"the job {_parent_of(spec)} was trained on synthetic data"))
    if found:
        raise refusal(found, "The spec")
    now, seen = in_force(changes), taken_up(changes)
    others = [name for name in OF_TRAINING & values.keys() if name in now or values[name] != before[name]]
    if others or (spec.start_from is not None and spec.start_from.keep != "all"):
        return Inherited(parse_spec(before | now | values), (), seen)
    return Inherited(parse_spec(before | values), seen, seen)


def _parent_of(spec: TrainSpec) -> str:
    return repr(spec.start_from.job_id) if spec.start_from else ""
