"""Refuses metrics of the wrong task, as far as the summary of a table tells what its target is. Called at submit."""

from collections.abc import Mapping
from typing import Any

from traind.data.table.schema import Goal
from traind.service.validation.explain import Problem
from traind.service.validation.memory_budget import Known
from traind.service.validation.validate import refusal
from traind.trainer.contract.metrics import monitors
from traind.trainer.contract.spec import TrainSpec

NUMBERS = frozenset({"numeric", "duration"})  # kinds that a user can give a target, which make it a number


def goal_of(spec: TrainSpec, known: Known) -> Goal | None:
    """Return whether a job of the built-in trainer predicts numbers or classes; None where only training tells."""
    if spec.dataset is None:
        return "regression"
    if spec.task != "auto":
        return "regression" if spec.task == "regression" else "classes"
    target = spec.target or (known.names[-1] if known.columns else None)
    if target in spec.columns:
        return "regression" if spec.columns[target] in NUMBERS else "classes"
    if spec.read is not None or spec.start_from is not None:  # read in another way, or by another job's encoder
        return None
    column: Mapping[str, Any] = next((one for one in known.columns if one["name"] == target), {})
    found: Goal | None = column.get("as_target")
    return found


def metric_problem(loc: str, metric: str, spec: TrainSpec, known: Known) -> Problem | None:
    """Return why a job's validation rows have no such metric; None where they have, or it is not known yet."""
    goal = goal_of(spec, known) if spec.trainer == "tabular" else None
    if goal is None or metric in (those := monitors("multiclass" if goal == "classes" else "regression")):
        return None
    what = "the target holds classes" if goal == "classes" else "the target is a number"
    return Problem(loc, f"must be one of {', '.join(those)}, since {what}; got {metric!r}")


def check_monitor(spec: TrainSpec, known: Known) -> None:
    """Raise `InvalidSpec` where the monitor is a metric of the other task."""
    if (problem := metric_problem("monitor", spec.monitor, spec, known)) is not None:
        raise refusal([problem], "The spec")
