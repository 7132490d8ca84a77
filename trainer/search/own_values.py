"""What the recipe chooses for a spec, as values of the spec's fields: where a study begins to search.

Follows from the number of rows and the kind of task alone; no table is read. Called by the service at submit.
"""

from typing import Any

import msgspec
from msgspec import Struct, structs

from traind.trainer.contract.spec import AutoModel, TrainSpec, TreesModel
from traind.trainer.network.recipe import Facts, Task, choose

OF_TRAINING = ("epochs", "lr", "patience")  # of trees too
OF_NETWORKS = ("batch_size", "optimizer", "schedule", "weight_decay", "grad_clip")


class Request(Struct, frozen=True):
    """A spec, the number of its training rows, and whether it predicts classes."""

    spec: TrainSpec
    rows: int
    is_of_classes: bool


def own_values_request(request: dict[str, Any]) -> dict[str, Any]:
    """Return the values, by path in the spec."""
    asked = msgspec.convert(request, Request)
    task: Task = "binary" if asked.is_of_classes else "regression"
    facts = Facts(task, max(1, asked.rows), synthetic=asked.spec.dataset is None)
    recipe = choose(asked.spec, facts)
    trained = recipe if recipe.trees is None or recipe.network is not None else recipe.trees
    values = {name: getattr(trained, name) for name in OF_TRAINING}
    values |= {name: getattr(recipe, name) for name in OF_NETWORKS}
    if isinstance(asked.spec.model, AutoModel) and recipe.network is not None:
        own = {"hidden": list(recipe.network.hidden), "dropout": recipe.network.dropout, "members": recipe.members}
        values |= {f"model.{name}": value for name, value in own.items()}
    if isinstance(asked.spec.model, AutoModel | TreesModel):
        model = asked.spec.model if isinstance(asked.spec.model, TreesModel) else TreesModel()
        grown = choose(structs.replace(asked.spec, model=model), facts).trees
        assert grown is not None
        values |= {"model.leaves": grown.leaves, "model.shrinkage": grown.lr}
    return values
