"""A job that begins at another one's checkpoint: what it inherits, and what it may not change."""

import contextlib
from collections.abc import Awaitable, Callable

import msgspec

from traind.service.errors import JobNotFound
from traind.service.jobs.job import Job, submitted
from traind.service.validation.explain import Problem
from traind.service.validation.validate import parse_spec, refusal
from traind.trainer.contract.spec import TrainSpec

OF_THE_JOB = frozenset({"name", "tags", "priority", "start_from"})  # never inherited
FREE = OF_THE_JOB | {
    *(
        "epochs",
        "lr",
        "schedule",
        "weight_decay",
        "patience",
        "monitor",
        "batch_size",
        "seed",
        "validation",
        "dataset",
    ),
    *("threads", "device", "checkpoint_every", "report_every", "max_seconds", "max_attempts"),
}
_DEFAULTS = msgspec.to_builtins(TrainSpec())


async def inherit(spec: TrainSpec, job_id: str | None, find: Callable[[str], Awaitable[Job]]) -> TrainSpec:
    """Return the spec with what it takes from the job that it starts from; raises `InvalidSpec`."""
    if spec.start_from is None:
        return spec
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
    return inherited(spec, parent.spec)


def inherited(spec: TrainSpec, parent: TrainSpec) -> TrainSpec:
    """Return the spec with what it leaves at the default as the parent has it.

    Raises `InvalidSpec` naming each field that would change the network, the encoder or the optimizer's state.
    """
    wanted, before = msgspec.to_builtins(spec), msgspec.to_builtins(parent)
    asked = {name: value for name, value in wanted.items() if value != _DEFAULTS[name] or name in OF_THE_JOB}
    found = [
        Problem(name, f"must be as in the job {_parent_of(spec)}, from which this one starts: {before[name]!r}")
        for name, value in asked.items()
        if name not in FREE and value != before[name]
    ]
    if "dataset" in asked and parent.dataset is None:
        found.append(Problem("dataset", f"the job {_parent_of(spec)} was trained on synthetic data"))
    if found:
        raise refusal(found, "The spec")
    return parse_spec(before | asked)


def _parent_of(spec: TrainSpec) -> str:
    return repr(spec.start_from.job_id) if spec.start_from else ""
