"""How much each searched field matters, and among which trials that is judged."""

from collections.abc import Mapping
from typing import Any

import msgspec

from traind.service.processes.side import SideWorker
from traind.service.studies.journal import Board
from traind.service.studies.request import Dimension
from traind.service.studies.space import MODEL, axes_of, has_field, point_of
from traind.service.studies.study import RANKED, kind_of

IMPORTANCE = "traind.trainer.search.importance:importance_request"
IMPORTANCE_S = 120.0
OF_NETWORKS = ("batch_size", "optimizer", "schedule", "weight_decay", "grad_clip")
OF_TRAINING = ("epochs", "lr", "patience")  # which mean other things to trees than to networks
TREES = "trees"


def judged_among(space: Mapping[str, Dimension]) -> dict[str, list[list[str]]]:
    """Return the groups of kinds of models among whose trials a field is judged, where `model` is searched.

    A kind that is in no group of a field does not have it. Fields that are not here are of all trials alike.
    """
    choices = space["model"].choices if "model" in space else None
    kinds = list(dict.fromkeys(kind_of(choice) for choice in choices or ()))
    found = {}
    for path in space:
        if not (path in OF_NETWORKS or path in OF_TRAINING or path.startswith(MODEL)):
            continue
        having = [kind for kind in kinds if _has(space, kind, path)]
        groups = [[kind for kind in having if kind != TREES], [kind for kind in having if kind == TREES]]
        if kinds and [group for group in groups if group] != [kinds]:
            found[path] = [group for group in groups if group]
    return found


async def importance_of(board: Board, side: SideWorker) -> dict[str, float]:
    """Return how much each field matters, as shares of 1."""
    space = board.study.space
    rows = [
        [point_of(space, trial.params), trial.value, kind_of(trial.params["model"]) if "model" in space else None]
        for trial in board.trials
        if trial.status in RANKED and trial.value is not None
    ]
    request: dict[str, Any] = {
        "axes": msgspec.to_builtins(axes_of(space)),
        "rows": rows,
        "direction": board.study.direction,
        "among": judged_among(space),
    }
    found: dict[str, float] = await side.call(IMPORTANCE, request, IMPORTANCE_S, lane="importance")
    return found


def _has(space: Mapping[str, Dimension], kind: str, path: str) -> bool:
    """Return whether a kind of model has a field of the spec."""
    if path.startswith(MODEL):
        return has_field(kind, path.removeprefix(MODEL))
    if kind != TREES:
        return True
    return path not in OF_NETWORKS and (path != "lr" or f"{MODEL}shrinkage" not in space)
