"""Permutation importance of columns: how much the error grows when a column's cells are shuffled among the rows.

Breiman, Random Forests (2001), on rows that were not trained on, for the columns of the file. Its cost is bounded by
a count of multiplications, not by a clock, so that the same job has the same result.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traind.data.encoding.encoder import Encoded
from traind.trainer.model.model import Model, forward
from traind.trainer.tabular.metrics import measure

BUDGET = 2e10  # multiplications, about a second or two of one core
MOST_ROWS, FEWEST_ROWS = 2_000, 100
LISTED = 100  # columns


def importance(
    model: Model, rows: Encoded, beat: Callable[[], None] = lambda: None, *, budget: float = BUDGET
) -> dict[str, Any] | None:
    """Return `{"metric", "rows", "columns": [{"column", "rise"}]}`, the largest first; or None.

    None: it would cost more than `budget` multiplications. `rise` is how much `rmse` or `log_loss` grows without the
    column; around 0 or below: the model does not need it.
    """
    columns = [column.name for column in model.encoder.columns]
    tensors = (*model.network.parameters(), *(one for name, one in model.network.named_buffers() if "paths" in name))
    weights = sum(tensor.numel() for tensor in tensors)  # and of trees, what their paths cost
    affordable = int(budget / max(1, weights * len(columns)))
    taken = min(MOST_ROWS, affordable, len(rows))
    if not columns or taken < min(FEWEST_ROWS, len(rows)):
        return None
    draw = np.random.default_rng(0)
    some = np.sort(draw.choice(len(rows), taken, replace=False))
    sample = Encoded(rows.numeric[some], rows.categorical[some], rows.target[some])
    metric = "log_loss" if model.labels else "rmse"
    base = _error(model, sample, metric)
    found: list[tuple[float, str]] = []
    for column in columns:
        beat()
        found.append((_error(model, _shuffled(model, sample, column, draw), metric) - base, column))
    found.sort(reverse=True)
    listed = [{"column": column, "rise": rise} for rise, column in found[:LISTED]]
    return {"metric": metric, "rows": taken, "columns": listed}


def _shuffled(model: Model, rows: Encoded, column: str, draw: np.random.Generator) -> Encoded:
    """Return the rows with all encoded parts of one column permuted among the rows."""
    numeric_places, categorical_places = model.encoder.places(column)
    order = draw.permutation(len(rows))
    return Encoded(
        _moved(rows.numeric, numeric_places, order), _moved(rows.categorical, categorical_places, order), rows.target
    )


def _moved(values: NDArray[Any], places: list[int], order: NDArray[np.int64]) -> NDArray[Any]:
    if not places:
        return values
    moved = np.array(values)
    moved[:, places] = values[order][:, places]
    return moved


def _error(model: Model, rows: Encoded, metric: str) -> float:
    found = measure(forward(model.network, model.recipe, rows).numpy(), rows.target)[metric]
    assert found is not None
    return found
