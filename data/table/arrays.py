"""A table in memory: one array for each column, in the form of the column's kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FEW_LEVELS = 16
Numbers = NDArray[np.float64]  # NaN where missing; times are seconds since 1970


@dataclass(frozen=True, slots=True)
class Codes:
    """Cells of text as indices into `levels`; -1 where missing."""

    codes: NDArray[np.int32]
    levels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Any) -> "Codes":
        """Return the cells of these rows."""
        return Codes(self.codes[rows], self.levels)

    def texts(self) -> list[str | None]:
        """Return the cells as text."""
        levels = (*self.levels, None)
        return [levels[code] for code in self.codes.tolist()]

    def counts(self) -> NDArray[np.int64]:
        """Return the number of cells of each level."""
        return np.bincount(self.codes + 1, minlength=len(self.levels) + 1)[1:]


@dataclass(frozen=True, slots=True)
class Mixed:
    """Numbers with some words among them: a cell is a number, a word, or missing."""

    numbers: Numbers  # NaN for a word
    words: Codes

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: Any) -> "Mixed":
        """Return the cells of these rows."""
        return Mixed(self.numbers[rows], self.words.take(rows))


def used_levels(cells: Codes) -> tuple[list[str | None], NDArray[Any]]:
    """Return the levels that occur, or all where they are few, None among them, and where in it each cell's is."""
    if len(cells.levels) <= _FEW_LEVELS:
        return [None, *cells.levels], cells.codes + 1
    used, where = np.unique(cells.codes, return_inverse=True)
    return [cells.levels[code] if code >= 0 else None for code in used.tolist()], where


Cells = Numbers | Codes | Mixed


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of equal length by name."""

    columns: dict[str, Cells]
    n_rows: int

    def take(self, rows: NDArray[Any]) -> "Table":
        """Return these rows: indices, or a mask."""
        taken = {name: take(cells, rows) for name, cells in self.columns.items()}
        return Table(taken, int(rows.sum()) if rows.dtype == np.bool_ else len(rows))

    def numbers(self, column: str) -> Numbers:
        """Return the numbers of a column that has any."""
        cells = self.columns[column]
        assert not isinstance(cells, Codes)
        return cells.numbers if isinstance(cells, Mixed) else cells


def take(cells: Cells, rows: NDArray[Any] | slice) -> Cells:
    """Return the cells of these rows: indices, or a mask."""
    return cells[rows] if isinstance(cells, np.ndarray) else cells.take(rows)


def codes_of(texts: Sequence[str | None]) -> Codes:
    """Return the texts as codes, levels in the order of their first appearance."""
    levels = dict.fromkeys(texts)
    levels.pop(None, None)
    index: dict[str | None, int] = {text: place for place, text in enumerate(levels)} | {None: -1}
    codes = np.fromiter(map(index.__getitem__, texts), np.int32, len(texts))
    return Codes(codes, tuple(text for text in levels if text is not None))
