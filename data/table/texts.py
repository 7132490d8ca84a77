"""Distinct texts of one column or of many, and what patterns find in them.

A call of polars costs more than a short column, so the texts of many columns are read together: `Texts.of` applies
a reader to all of them once and returns the rows of its column. Results are kept in a `Memory` of limited size.
"""

from collections.abc import Callable, Hashable, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from traind.data.limits import VALUE_CHARS
from traind.data.table.arrays import Codes
from traind.data.table.numbers import SPELLED

if TYPE_CHECKING:
    import polars as pl

_KEPT = 1 << 21  # texts whose results are kept at a time
Found = TypeVar("Found")


class Memory:
    """Results of readers by the texts that they have read, the latest ones."""

    def __init__(self) -> None:
        self._results: dict[Whole, dict[Hashable, Any]] = {}

    def of(self, whole: "Whole") -> dict[Hashable, Any]:
        """Return the results for these texts, forgetting the oldest of others if there are too many."""
        found = self._results.pop(whole, {})
        while self._results and sum(map(len, self._results)) + len(whole) > _KEPT:
            del self._results[next(iter(self._results))]
        self._results[whole] = found
        return found


class Whole:
    """The texts of many columns, one after the other."""

    def __init__(self, levels: Sequence[Sequence[str]], memory: Memory | None = None) -> None:
        self._levels = levels
        self._length = sum(map(len, levels))
        self._memory = memory or Memory()

    def __len__(self) -> int:
        return self._length

    def read(self, reader: Callable[..., Found], *options: Hashable) -> Found:
        """Return what the reader returns for these texts."""
        key = (reader, *options)
        if key not in self._memory.of(self):
            result = reader(self, *options)
            self._memory.of(self)[key] = result
        found: Found = self._memory.of(self)[key]
        return found

    def series(self) -> "pl.Series":
        """Return the texts."""
        return self.read(_series)

    def normal(self) -> "pl.Series":
        """Return the texts with the minus signs, spaces and apostrophes of a keyboard; null for long ones."""
        return self.read(_normal)

    def parts(self) -> "list[Texts]":
        """Return the texts of each column."""
        ends = np.cumsum([0, *map(len, self._levels)]).tolist()
        return [Texts(self, slice(start, end)) for start, end in pairwise(ends)]


class Texts:
    """Distinct texts of one column."""

    def __init__(self, whole: Whole, rows: slice | NDArray[np.int64]) -> None:
        self._whole = whole
        self._rows = rows

    def __len__(self) -> int:
        return self._rows.stop - self._rows.start if isinstance(self._rows, slice) else len(self._rows)

    def take(self, rows: NDArray[Any]) -> "Texts":
        """Return these texts: indices, or a mask."""
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Texts(self._whole, rows + self._rows.start if isinstance(self._rows, slice) else self._rows[rows])

    def of(self, reader: Callable[..., Found], *options: Hashable) -> Found:
        """Return what the reader finds in these texts: an array, codes, or a tuple of such."""
        found: Found = _rows_of(self._whole.read(reader, *options), self._rows)
        return found

    def match(self, pattern: str) -> NDArray[np.bool_]:
        """Tell which of these texts contain the pattern."""
        return self.of(_matches, pattern)

    def to_list(self) -> list[str]:
        """Return the texts."""
        found: list[str] = self._whole.series()[self._rows].to_list()
        return found


def texts_of(texts: Sequence[str]) -> Texts:
    """Return texts that are read by themselves."""
    return Whole([texts]).parts()[0]


def factorized(texts: "pl.Series") -> Codes:
    """Return texts as codes, levels in any order; null is -1."""
    import polars as pl

    coded = texts.cast(pl.Categorical(pl.Categories.random()))
    raw = coded.unique().drop_nulls()
    rank = np.full(len(raw) + 1, -1, np.int32)
    rank[raw.to_physical().to_numpy()] = np.arange(len(raw))
    return Codes(rank[coded.to_physical().fill_null(len(raw)).to_numpy()], tuple(raw.cast(pl.String).to_list()))


def _rows_of(found: Any, rows: slice | NDArray[np.int64]) -> Any:
    if isinstance(found, np.ndarray):
        return found[rows]
    return found.take(rows) if isinstance(found, Codes) else type(found)(*(_rows_of(one, rows) for one in found))


def _series(whole: Whole) -> "pl.Series":
    import polars as pl

    return pl.Series(list(chain.from_iterable(whole._levels)), dtype=pl.String)  # noqa: SLF001


def _normal(whole: Whole) -> "pl.Series":
    import polars as pl

    texts = whole.series()
    texts = pl.select(pl.when(texts.str.len_chars() <= VALUE_CHARS).then(texts)).to_series()
    if not texts.str.contains(f"[{''.join(SPELLED)}]").any():
        return texts
    return texts.str.replace_many(list(SPELLED), list(SPELLED.values()))


def _matches(whole: Whole, pattern: str) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = whole.series().str.contains(pattern).to_numpy()
    return found
