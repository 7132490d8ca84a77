"""Finds columns that nearly give the target away: mostly they are not known when predictions are wanted.

Each feature alone predicts the target by the mean (or the majority) of its bin: bins of one half of some training
rows, scored on the other half. Numbers are also tried with a straight line.
"""

import numpy as np
from numpy.typing import NDArray

from traind.data.encoding.encoder import class_indices
from traind.data.table.arrays import Cells, Codes, Table
from traind.data.table.schema import Remark, Schema

GIVES_AWAY = 0.88  # share of the target's variance, or of the errors of always guessing the majority
_BINS = 100
_ROWS = 20_000
_CELLS = 10_000_000


def find_leaks(schema: Schema, table: Table, train: NDArray[np.int64]) -> list[Remark]:
    """Return a remark on every feature that alone explains nearly all of the target in the training rows."""
    features = schema.features()
    n_rows = min(len(train), _ROWS, max(1_000, _CELLS // len(features)))
    if n_rows < 100:
        return []
    rows = train[np.random.Generator(np.random.PCG64(0)).permutation(len(train))[:n_rows]]
    target = table.columns[schema.target]
    if schema.labels:
        classes = class_indices(target, schema.labels)[rows]
        known = np.eye(len(schema.labels))[classes] if len(schema.labels) <= 100 else None
    else:
        assert not isinstance(target, Codes)
        known = target[rows, None]
    if known is None:
        return []
    found = []
    for column in features:
        cells = table.columns[column.name]
        share = _explained(_bins(cells, rows), known, is_class=bool(schema.labels))
        if not schema.labels and not isinstance(cells, Codes):
            share = max(share, _correlated(cells[rows], known[:, 0]))  # bins are coarse where values are rare
        if share > GIVES_AWAY:
            message = f"{column.name!r} alone explains {share:.1%} of {schema.target!r}: is it known beforehand?"
            found.append(Remark("leak", message, column.name))
    return found


def _bins(cells: Cells, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each row's bin: its level, or its quantile; the last is for missing cells."""
    if isinstance(cells, Codes):
        codes = cells.codes[rows].astype(np.int64)
        return np.where(codes < 0, len(cells.levels), codes)
    values = cells[rows]
    present = values[np.isfinite(values)]
    if not len(present):
        return np.zeros(len(rows), np.int64)
    places = np.linspace(0, len(present) - 1, _BINS + 1)[1:-1].astype(np.int64)
    edges = np.unique(np.sort(present)[places])  # sorting is faster than np.quantile of many
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))


def _correlated(values: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Return the share of the target's variance that a straight line explains, where the values are known."""
    known = np.isfinite(values)
    x, y = values[known], target[known]
    with np.errstate(over="ignore", invalid="ignore"):
        x, y = x - x.mean() if len(x) else x, y - y.mean() if len(y) else y
        size = float((x * x).sum() * (y * y).sum())
        share = float((x * y).sum() ** 2 / size) if 0.0 < size < np.inf else 0.0
    return share * float(known.mean()) if np.isfinite(share) else 0.0


def _explained(bins: NDArray[np.int64], target: NDArray[np.float64], *, is_class: bool) -> float:
    """Return the share of the target that the bins of the first half of the rows explain in the second."""
    half = len(bins) // 2
    counts = np.bincount(bins[:half], minlength=int(bins.max()) + 1)
    mean = target[:half].mean(axis=0)
    sums = np.stack([np.bincount(bins[:half], column, minlength=len(counts)) for column in target[:half].T], axis=1)
    predicted = ((sums + mean) / (counts[:, None] + 1))[bins[half:]]  # one row of prior, for the small bins
    seen = target[half:]
    if is_class:
        wrong = float(np.mean(predicted.argmax(axis=1) != seen.argmax(axis=1)))
        base = float(np.mean(mean.argmax() != seen.argmax(axis=1)))
    else:
        wrong, base = float(np.mean((predicted - seen) ** 2)), float(np.mean((mean - seen) ** 2))
    return 1.0 - wrong / base if base > 0 else 0.0
