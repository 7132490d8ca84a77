"""Refuses metrics of the wrong task, as far as the summary of a table tells what its target is. Called at submit."""

from collections.abc import Mapping
from typing import Any, Literal

from traind.data.table.schema import Goal
from traind.service.validation.explain import Problem
from traind.service.validation.memory_budget import Known
from traind.service.validation.validate import refusal
from traind.trainer.contract.metrics import VAL_LOSS, monitors
from traind.trainer.contract.spec import TrainSpec

NUMBERS = frozenset({"numeric", "duration"})  # kinds that a user can give a target, which make it a number
OLDER = "unknown"  # the summary was made by a version that did not look


def goal_of(spec: TrainSpec, known: Known) -> Goal | Literal["unknown"] | None:
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
    column: Mapping[str, Any] = next((one for one in known.columns if one["name"] == target), {"as_target": None})
    found: Goal | Literal["unknown"] | None = column.get("as_target", OLDER)
    return found


def lacks_goal(spec: TrainSpec, metric: str, known: Known) -> bool:
    """Return whether the table has to be looked at again, to tell whether its target has such a metric."""
    return metric != VAL_LOSS and spec.trainer == "tabular" and goal_of(spec, known) == OLDER


def metric_problem(loc: str, metric: str, spec: TrainSpec, known: Known) -> Problem | None:
    """Return why a job's validation rows have no such metric; None where they have, or it is not known yet."""
    goal = goal_of(spec, known) if spec.trainer == "tabular" else None
    if goal is None or goal == OLDER:
        return None
    if metric in (those := monitors("multiclass" if goal == "classes" else "regression")):
        return None
    what = "the target holds classes" if goal == "classes" else "the target is a number"
    return Problem(loc, f"must be one of {', '.join(those)}, since {what}; got {metric!r}")


def check_monitor(spec: TrainSpec, known: Known) -> None:
    """Raise `InvalidSpec` where the monitor is a metric of the other task."""
    if (problem := metric_problem("monitor", spec.monitor, spec, known)) is not None:
        raise refusal([problem], "The spec")
