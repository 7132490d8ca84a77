"""How much of the target one column alone explains: finds those that nearly give it away.

Each column predicts the target by the mean (or the majority) of its bin: bins of one half of some training rows,
scored on the other half. Numbers are also tried with a straight line.
"""

import numpy as np
from numpy.typing import NDArray

from traind.data.encoding.encoder import class_indices
from traind.data.table.arrays import Cells, Codes, Mixed, Numbers, Table
from traind.data.table.schema import Remark, Schema

GIVES_AWAY = 0.89  # share of the target's variance, or of the errors of always guessing the majority
_BINS = 100
_FEW_BINS = 20  # where an order is looked for
_ROWS = 20_000
_LEAST = 100  # rows that say enough
_CELLS = 10_000_000
_CLASSES = 100  # beyond, nothing is looked for


class Explains:
    """Says how much of the target a column explains, on some of the training rows; 0 where there are too few."""

    def __init__(self, schema: Schema, table: Table, train: NDArray[np.int64]) -> None:
        n_rows = min(len(train), _ROWS, max(1_000, _CELLS // max(1, len(schema.features()))))
        self._rows = train[np.random.Generator(np.random.PCG64(0)).permutation(len(train))[:n_rows]]
        target = table.columns[schema.target]
        self._is_class = bool(schema.labels)
        self.is_known = n_rows >= _LEAST and len(schema.labels) <= _CLASSES
        if not self.is_known:
            return
        if schema.labels:
            self._target = np.eye(len(schema.labels))[class_indices(target, schema.labels)[self._rows]]
        else:
            assert isinstance(target, np.ndarray)
            self._target = target[self._rows, None]

    def whole(self, cells: Cells) -> float:
        """Return the share that a column explains in any way."""
        if isinstance(cells, Codes):
            return self.by_level(cells)
        values = cells.numbers if isinstance(cells, Mixed) else cells
        share = self._of_bins(values, _BINS)
        return (
            share
            if self._is_class or not self.is_known
            else max(share, _correlated(values[self._rows], self._target[:, 0]))
        )

    def by_level(self, cells: Codes) -> float:
        """Return the share that the names explain, each by itself."""
        codes = cells.codes[self._rows].astype(np.int64)
        return self._explained(np.where(codes < 0, len(cells.levels), codes))

    def by_order(self, values: Numbers) -> float:
        """Return the share that the order of the numbers explains."""
        return self._of_bins(values, _FEW_BINS)

    def _of_bins(self, values: Numbers, bins: int) -> float:
        return self._explained(_bins(values[self._rows], bins)) if self.is_known else 0.0

    def _explained(self, bins: NDArray[np.int64]) -> float:
        """Return the share of the target that the bins of the first half of the rows explain in the second."""
        if not self.is_known:
            return 0.0
        half, target = len(bins) // 2, self._target
        counts = np.bincount(bins[:half], minlength=int(bins.max()) + 1)
        mean = target[:half].mean(axis=0)
        sums = np.stack([np.bincount(bins[:half], one, minlength=len(counts)) for one in target[:half].T], axis=1)
        predicted = ((sums + mean) / (counts[:, None] + 1))[bins[half:]]  # one row of prior, for the small bins
        seen = target[half:]
        if self._is_class:
            wrong = float(np.mean(predicted.argmax(axis=1) != seen.argmax(axis=1)))
            base = float(np.mean(mean.argmax() != seen.argmax(axis=1)))
        else:
            wrong, base = float(np.mean((predicted - seen) ** 2)), float(np.mean((mean - seen) ** 2))
        return 1.0 - wrong / base if base > 0 else 0.0


def find_leaks(schema: Schema, table: Table, train: NDArray[np.int64]) -> list[Remark]:
    """Return a remark on every feature that alone explains nearly all of the target; none where most would."""
    explains = Explains(schema, table, train)
    counters = {remark.column for remark in schema.warnings if remark.code == "counter"}
    features = [column for column in schema.features() if column.name not in counters]
    if not explains.is_known:
        return []
    shares = {column.name: explains.whole(table.columns[column.name]) for column in features}
    found = [name for name, share in shares.items() if share > GIVES_AWAY]
    if 2 * len(found) > len(features):
        return []  # a target that is easy, not one that is given away
    return [
        Remark(
            "leak", f"{name!r} alone explains {shares[name]:.1%} of {schema.target!r}: is it known beforehand?", name
        )
        for name in found
    ]


def _bins(values: Numbers, bins: int) -> NDArray[np.int64]:
    """Return each value's quantile; the last is for missing cells."""
    present = values[np.isfinite(values)]
    if not len(present):
        return np.zeros(len(values), np.int64)
    places = np.linspace(0, len(present) - 1, bins + 1)[1:-1].astype(np.int64)
    edges = np.unique(np.sort(present)[places])  # sorting is faster than np.quantile of many
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))


def _correlated(x: Numbers, y: Numbers) -> float:
    """Return the share of the target's variance that a straight line explains, as far as numbers are known."""
    known = np.isfinite(x)
    x, y = x[known], y[known]
    with np.errstate(over="ignore", invalid="ignore"):
        x, y = x - x.mean() if len(x) else x, y - y.mean() if len(y) else y
        size = float((x * x).sum() * (y * y).sum())
        share = float((x * y).sum() ** 2 / size) if 0.0 < size < np.inf else 0.0
    return share * float(known.mean()) if np.isfinite(share) else 0.0
