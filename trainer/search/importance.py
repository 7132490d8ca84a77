"""How much each field of a study's space matters for its metric: by Optuna, from the study's record alone.

Watanabe et al., PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary subspaces, 2023. Where
kinds of models are searched, a field is judged among the trials of those kinds that have it and mean the same by it.
"""

import bisect
import math
import warnings
from typing import Any, Literal

import msgspec
import optuna
from msgspec import Struct
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from traind.trainer.search.suggest import Axis, distribution_of

LEAST_TRIALS = 4  # of a kind, for its fields to be judged
BEST_SHARE, BEST_TRIALS = 0.1, 5  # the best tenth of the trials, or so many, but no more than half of them


class Row(Struct, frozen=True, array_like=True):
    """One trial that has a value. `kind` is its kind of model, where kinds are searched."""

    point: list[float]
    value: float
    kind: str | None = None


class Request(Struct, frozen=True):
    """A study's trials. `among` names the groups of kinds that a field is judged among; other fields: all trials."""

    axes: tuple[Axis, ...]
    rows: list[Row]
    direction: Literal["minimize", "maximize"]
    among: dict[str, list[list[str]]]


def importance_request(request: dict[str, Any]) -> dict[str, float]:
    """Return the importance of each field, as shares of 1; without those of which too few trials tell."""
    asked = msgspec.convert(request, Request)
    everywhere = divergences(asked, asked.rows)
    of_groups: dict[tuple[str, ...], tuple[int, dict[str, float]]] = {}
    found: dict[str, float] = {}
    for axis in asked.axes:
        if axis.name not in asked.among:
            parts = [(len(asked.rows), everywhere)]
        else:
            parts = []
            for group in map(tuple, asked.among[axis.name]):
                if group not in of_groups:
                    rows = [row for row in asked.rows if row.kind in group]
                    of_groups[group] = len(rows), divergences(asked, rows)
                parts.append(of_groups[group])
        known = [(count, values[axis.name]) for count, values in parts if axis.name in values]
        if known:
            found[axis.name] = sum(count * value for count, value in known) / sum(count for count, _ in known)
    total = sum(found.values())
    return {name: value / total for name, value in found.items()} if total > 0.0 else {}


def divergences(asked: Request, rows: list[Row]) -> dict[str, float]:
    """Return how unlike all trials' the best trials' values of each field are; empty where too few tell."""
    if len(rows) < LEAST_TRIALS:
        return {}
    distributions = {axis.name: distribution_of(axis) for axis in asked.axes}
    study = optuna.create_study(direction=asked.direction)
    study.add_trials(
        [
            create_trial(
                params=dict(zip(distributions, row.point, strict=True)), distributions=distributions, value=row.value
            )
            for row in rows
        ]
    )
    best = max(math.ceil(BEST_SHARE * len(rows)), min(BEST_TRIALS, len(rows) // 2))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=(best - 0.5) / len(rows))  # Optuna rounds up
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # `normalize` is new
            found = get_param_importances(study, evaluator=evaluator, params=list(distributions), normalize=False)
    except (RuntimeError, ValueError, UserWarning):  # all alike
        return {}
    sign = 1.0 if asked.direction == "minimize" else -1.0
    values = sorted(sign * row.value for row in rows)
    taken = bisect.bisect_right(values, values[best - 1])  # the best, and those equal to the last of them
    share = taken / len(rows)
    return {name: value / share**2 for name, value in found.items()}  # which Optuna multiplied by the square
