"""Finds leaks: columns that alone explain nearly all of the target.

Each column predicts the target by the mean (or majority) of its bin, with bins of one half of some training rows,
scored on the other half. Numbers are also tried with a straight line.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from traind.data.encoding.encoder import class_indices
from traind.data.table.arrays import Cells, Codes, Mixed, Numbers, Table
from traind.data.table.magnitude import exponent_of
from traind.data.table.schema import Remark, Schema

GIVES_AWAY = 0.89  # share of the target's variance, or of the errors of always guessing the majority
_BINS = 100
_FEW_BINS = 20  # bins to find an order with
_ROWS = 20_000
_LEAST = 100  # fewest rows to decide by
_CELLS = 10_000_000
_AT_ONCE = 500_000  # cells processed together
_CLASSES = 100  # with more classes, leaks are not searched


class Explains:
    """Measures how much of the target a column explains, on some training rows; 0 with too few."""

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
            values = target[self._rows, None]
            self._target = np.ldexp(values, -exponent_of(values))

    def whole(self, columns: Mapping[str, Cells]) -> dict[str, float]:
        """Return the share that each column explains, by names or by order."""
        numbers = {name: one.numbers if isinstance(one, Mixed) else one for name, one in columns.items()}
        values = {name: one for name, one in numbers.items() if not isinstance(one, Codes)}
        shares = dict(zip(values, self._of_order(list(values.values()), _BINS, has_lines=True), strict=True))
        return {name: self.by_level(one) if isinstance(one, Codes) else shares[name] for name, one in columns.items()}

    def by_level(self, cells: Codes) -> float:
        """Return the share that the levels explain, each by itself."""
        if not self.is_known:
            return 0.0
        codes = cells.codes[self._rows].astype(np.int64)
        return float(self._explained(np.where(codes < 0, len(cells.levels), codes)[:, None])[0])

    def by_order(self, values: Numbers) -> float:
        """Return the share that the order of the numbers explains."""
        return self._of_order([values], _FEW_BINS)[0]

    def _of_order(self, columns: list[Numbers], bins: int, *, has_lines: bool = False) -> list[float]:
        """Return the share that each column of numbers explains, by bins or a straight line; many at once."""
        if not self.is_known:
            return [0.0] * len(columns)
        shares: list[float] = []
        at_once = max(1, _AT_ONCE // self._target.size)
        for start in range(0, len(columns), at_once):
            some = np.stack([one[self._rows] for one in columns[start : start + at_once]], axis=1)
            explained = self._explained(_bins(some, bins))
            if has_lines and not self._is_class:
                explained = np.maximum(explained, _correlated(some, self._target))
            shares += explained.tolist()
        return shares

    def _explained(self, bins: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of the target that each column's bins of the first half explain in the second."""
        half, target = len(bins) // 2, self._target
        n_bins, n_columns = int(bins.max()) + 1, bins.shape[1]
        places = bins + n_bins * np.arange(n_columns)
        first = places[:half].ravel()
        counts = np.bincount(first, minlength=n_bins * n_columns)
        mean = target[:half].mean(axis=0)
        weights = np.repeat(target[:half], n_columns, axis=0)
        sums = np.stack([np.bincount(first, one, minlength=len(counts)) for one in weights.T], axis=1)
        predicted = ((sums + mean) / (counts[:, None] + 1))[places[half:]]  # one prior row, for small bins
        seen = target[half:]
        if self._is_class:
            said = seen.argmax(axis=1)
            wrong = (predicted.argmax(axis=2) != said[:, None]).mean(axis=0)
            base = float(np.mean(mean.argmax() != said))
        else:
            wrong = ((predicted - seen[:, None]) ** 2).mean(axis=(0, 2))
            base = float(np.mean((mean - seen) ** 2))
        return np.asarray(1.0 - wrong / base if base > 0 else np.zeros(n_columns))


def find_leaks(schema: Schema, table: Table, train: NDArray[np.int64]) -> list[Remark]:
    """Return a warning for every feature that alone explains nearly all of the target; none where most do."""
    explains = Explains(schema, table, train)
    counters = {remark.column for remark in schema.warnings if remark.code == "counter"}
    features = [column for column in schema.features() if column.name not in counters]
    if not explains.is_known:
        return []
    shares = explains.whole({column.name: table.columns[column.name] for column in features})
    found = [name for name, share in shares.items() if share > GIVES_AWAY]
    if 2 * len(found) > len(features):
        return []  # the target is easy, not leaked
    return [
        Remark(
            "leak", f"{name!r} alone explains {shares[name]:.1%} of {schema.target!r}: is it known beforehand?", name
        )
        for name in found
    ]


def _bins(values: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Return the quantile of each of (rows, columns) numbers; the last is for missing cells."""
    is_finite = np.isfinite(values)
    ordered = np.sort(np.where(is_finite, values, np.nan), axis=0)
    last = np.maximum(np.count_nonzero(is_finite, axis=0) - 1, 0)
    edges = np.take_along_axis(ordered, (np.arange(1, bins)[:, None] * last // bins), axis=0)
    found = [np.searchsorted(of, one, side="right") for of, one in zip(edges.T, values.T, strict=True)]
    return np.where(np.isnan(values), bins, np.stack(found, axis=1))


def _correlated(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of y's variance that a straight line in each column of x explains, as far as x is known."""
    known = np.isfinite(x)
    n = np.maximum(known.sum(axis=0), 1)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        dx = np.where(known, x - np.where(known, x, 0.0).sum(axis=0) / n, 0.0)
        dy = np.where(known, y - np.where(known, y, 0.0).sum(axis=0) / n, 0.0)
        share = (dx * dy).sum(axis=0) ** 2 / ((dx * dx).sum(axis=0) * (dy * dy).sum(axis=0))
    return np.where(np.isfinite(share), share * known.mean(axis=0), 0.0)
