"""How much each row counts in training: by a column of the table, by the size of its class, or both."""

import numpy as np
from numpy.typing import NDArray

from traind.data.columns.request import Request
from traind.data.errors import BadTable
from traind.data.table.arrays import Table


def weights_of(
    request: Request, table: Table, labels: NDArray[np.int64] | None, train: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """Return (rows,) weights that are 1 on average over the training rows; None where all rows count the same.

    Raises:
        BadTable: a weight is missing, negative or infinite, or all are 0.
    """
    if request.weight is None and request.class_weights is None:
        return None
    found = np.ones(table.n_rows)
    if request.weight is not None:
        found = np.array(table.numbers(request.weight))
        wrong = np.flatnonzero(~(np.isfinite(found) & (found >= 0.0)))
        if len(wrong):
            cell = f"{found[wrong[0]]:g}".replace("nan", "no number")
            raise BadTable(f"weight: {request.weight!r} is {cell} in {len(wrong):,} rows; a weight is 0 or more")
    if request.class_weights is not None and labels is None:
        raise BadTable("class_weights: the target is a number and has no classes")
    if labels is not None and request.class_weights is not None:
        counts = np.bincount(labels[train], minlength=int(labels.max()) + 1)
        found = found / np.maximum(counts, 1)[labels]
    mean = float(found[train].mean())
    if mean == 0.0:
        raise BadTable(f"weight: {request.weight!r} is 0 in every training row")
    return (found / mean).astype(np.float32)
