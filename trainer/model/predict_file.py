"""Predicting a file of any length: read, predict and written in blocks, in bounded memory."""

import csv
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from traind.data.files import TEMPORARY_PREFIX
from traind.data.predict_input import Batch, batches_of, format_of

BLOCK_ROWS = 16_384


class Prediction(list[Any]):
    """One prediction a row: numbers, or labels in the type they had, `labels` being their texts.

    `probabilities` are one dict a row, label to probability, for classes only. `intervals` are both ends of each
    row's interval, where they were asked for. `notes` says of each row what the prediction rests on less than
    others, and `noted` of how many rows, by kind: clamped, unseen, outside, missing.
    """

    probabilities: list[dict[str, float]] | None = None
    intervals: list[list[float]] | None = None
    labels: list[str] | None = None
    notes: list[list[str]] | None = None
    noted: dict[str, int] | None = None

    @property
    def predictions(self) -> list[Any]:
        """The same as a plain list."""
        return list(self)


def predict_file(
    predict: Callable[[Batch], Prediction],
    labels: Sequence[str],
    file: Path,
    out: Path,
    form: str | None = None,
    *,
    block_rows: int = BLOCK_ROWS,
) -> int:
    """Write the file's columns with `prediction` and further columns as CSV; return the number of rows.

    Beside it stand `probability_<label>` for classes, or `prediction_low` and `prediction_high` where predictions
    have intervals.
    `out` is there once it is whole. Raises `BadTable` naming line and column of cells that cannot be read.
    """
    temporary = out.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}-{out.name}")
    batches = batches_of(file, form or format_of(file), block_rows)
    try:
        with temporary.open("x", encoding="utf-8", newline="") as written:
            count = _write(predict, labels, batches, csv.writer(written))
        temporary.replace(out)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return count


def _write(
    predict: Callable[[Batch], Prediction], labels: Sequence[str], batches: Iterator[Batch], writer: Any
) -> int:
    count = 0
    for batch in batches:
        predicted = predict(batch)
        beside: Sequence[Sequence[float]] = [[]] * len(predicted)
        if predicted.intervals is not None:
            beside = predicted.intervals
        elif predicted.probabilities is not None:
            beside = [list(shares.values()) for shares in predicted.probabilities]
        if not count:
            has_intervals = predicted.intervals is not None
            writer.writerow([*batch.columns, *_names(labels, set(batch.columns), has_intervals=has_intervals)])
        texts = predicted.labels or predicted
        for cells, one, more in zip(zip(*batch.columns.values(), strict=True), texts, beside, strict=True):
            writer.writerow([*cells, one, *more])
        count += len(predicted)
    return count


def _names(labels: Sequence[str], taken: set[str], *, has_intervals: bool) -> list[str]:
    """Return the names of the added columns, with an underscore where the file has the name."""
    ends = ["prediction_low", "prediction_high"] if has_intervals else []
    names = ["prediction", *ends, *(f"probability_{label}" for label in labels)]
    return [name + "_" if name in taken else name for name in names]
