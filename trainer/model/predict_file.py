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

    `probabilities` are one dict a row, label to probability, for classes only. `notes` says of each row what the
    prediction rests on less than others, and `noted` of how many rows, by kind: clamped, unseen, outside, missing.
    """

    probabilities: list[dict[str, float]] | None = None
    labels: list[str] | None = None
    notes: list[list[str]] | None = None
    noted: dict[str, int] | None = None

    @property
    def predictions(self) -> list[Any]:
        """The same as a plain list."""
        return list(self)


def predict_file(
    predict: Callable[[Batch], Prediction], labels: Sequence[str], file: Path, out: Path, form: str | None = None
) -> int:
    """Write the file's columns with `prediction`, and `probability_<label>` for classes, as CSV; return the rows.

    `out` is there once it is whole. Raises `BadTable` naming line and column of cells that cannot be read.
    """
    temporary = out.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}-{out.name}")
    batches = batches_of(file, form or format_of(file), BLOCK_ROWS)
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
        if not count:
            writer.writerow([*batch.columns, *_names(labels, set(batch.columns))])
        predicted = predict(batch)
        shares = predicted.probabilities or [{}] * len(predicted)
        texts = predicted.labels or predicted
        for cells, one, share in zip(zip(*batch.columns.values(), strict=True), texts, shares, strict=True):
            writer.writerow([*cells, one, *share.values()])
        count += len(predicted)
    return count


def _names(labels: Sequence[str], taken: set[str]) -> list[str]:
    """Return the names of the added columns: one that the file has already gets an underscore."""
    names = ["prediction", *(f"probability_{label}" for label in labels)]
    return [name + "_" if name in taken else name for name in names]
