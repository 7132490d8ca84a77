"""Evaluation of a model on a labelled table: read, encoded and predicted in blocks, then measured as a whole.

Called by the side worker, the command line and `Model.evaluate`. Rows without a usable target are left out, counted
by reason; nothing else of a table is.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from traind.data.errors import BadTable
from traind.data.predict_input import Batch, batches_of, format_of, parse
from traind.trainer.contract.errors import UserCodeError
from traind.trainer.model.custom_model import CustomModel
from traind.trainer.model.model import Model, forward, loaded
from traind.trainer.tabular.metrics import CONFUSION_CLASSES, baseline, confusion, measure, residuals

BLOCK_ROWS = 16_384
CLASSES_TOLD = 10


def evaluate_file(model: Model | CustomModel, file: str | Path, form: str | None = None) -> dict[str, Any]:
    """Return `task`, `target`, `rows`, `left_out`, `metrics`, `baseline`, and `confusion` or `residuals`.

    The baseline predicts the mean of the target of this table, or its shares of each class. Raises `BadTable` where
    the target is absent, cells cannot be read, or no row is left.
    """
    if not isinstance(model, Model):
        raise UserCodeError(
            "Models of a trainer of your own cannot be evaluated here.", hint="Predict, and compare in your own code."
        )
    path = Path(file)
    left_out: dict[str, int] = {}
    values, targets = _predicted(model, batches_of(path, form or format_of(path), BLOCK_ROWS), left_out)
    if not len(targets):
        reasons = "; ".join(f"{count:,} rows: {reason}" for reason, count in left_out.items())
        raise BadTable(f"no row of the table can be evaluated: {reasons or 'it has none'}")
    found: dict[str, Any] = {
        "task": model.schema.task,
        "target": model.encoder.target,
        "rows": len(targets),
        "left_out": [{"reason": reason, "rows": count} for reason, count in left_out.items()],
        "metrics": measure(values, targets),
        "baseline": baseline(targets, targets, len(model.labels)),
    }
    if model.labels:
        labels = list(model.labels[:CONFUSION_CLASSES])
        return {**found, "confusion": {"labels": labels, "counts": confusion(values, targets)}}
    return {**found, "residuals": residuals(values, targets)}


def _predicted(model: Model, batches: Iterator[Batch], left_out: dict[str, int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return predictions and targets of the rows that have a target; count the others by reason."""
    encoder, values, targets = model.encoder, [], []
    for batch in batches:
        if encoder.target not in batch.columns:
            raise BadTable(
                f"the target {encoder.target!r} is no column of the table",
                hint=f"the columns are: {', '.join(list(batch.columns)[:20])}",
            )
        encoded = encoder.encode(parse(batch.columns, encoder, batch.lines, may_lack=batch.may_lack))
        usable = encoded.target >= 0 if model.labels else np.isfinite(encoded.target)
        if not usable.all():
            _count(batch.columns[encoder.target], usable, left_out, is_class=bool(model.labels))
        with torch.no_grad():
            values.append(forward(model.network, model.recipe, encoded).numpy()[usable])
        targets.append(encoded.target[usable])
    if not targets:
        return np.empty(0), np.empty(0)
    return np.concatenate(values), np.concatenate(targets)


def _count(cells: Any, usable: NDArray[np.bool_], left_out: dict[str, int], *, is_class: bool) -> None:
    """Count the rows that are left out: those without a target, and those of classes that the model does not know."""
    for place in np.flatnonzero(~usable).tolist():
        cell = cells[place]
        is_empty = cell is None or not str(cell).strip()
        reason = "the target is missing"
        if is_class and not is_empty:
            reason = f"the model knows no class {str(cell)[:80]!r}"
            if reason not in left_out and len(left_out) >= CLASSES_TOLD:
                reason = "the model does not know other classes either"
        left_out[reason] = left_out.get(reason, 0) + 1


def predict_table_request(request: dict[str, Any]) -> dict[str, Any]:
    """Predict the table at `path` into a CSV file below `out_dir`, for the side worker."""
    out = Path(request["out_dir"]) / "predictions.csv"
    model, form, interval = loaded(request), request.get("format"), request.get("interval")
    return {"path": str(out), "rows": model.predict_file(request["path"], out, form, interval=interval)}


def evaluate_request(request: dict[str, Any]) -> dict[str, Any]:
    """Evaluate the model at `model_path` on the table at `path` (of `format`, if given), for the side worker."""
    return evaluate_file(loaded(request), request["path"], request.get("format"))
