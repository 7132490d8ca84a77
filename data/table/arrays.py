"""A table in memory: one array a column, every cell already what its column's kind says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traind.data.table.cell_text import text_of

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Codes:
    """Cells of text as indices into `levels`; -1 where missing."""

    codes: NDArray[np.int32]
    levels: tuple[str, ...]

    def take(self, rows: NDArray[Any]) -> "Codes":
        """Return the cells of these rows."""
        return Codes(self.codes[rows], self.levels)

    def texts(self) -> list[str | None]:
        """Return the cells as text."""
        levels = (*self.levels, None)
        return [levels[code] for code in self.codes.tolist()]


Cells = Numbers | Codes  # numbers are NaN where missing; times are seconds since 1970


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of equal length by name."""

    columns: dict[str, Cells]
    n_rows: int

    def take(self, rows: NDArray[Any]) -> "Table":
        """Return these rows: indices, or a mask."""
        taken = {name: take(cells, rows) for name, cells in self.columns.items()}
        return Table(taken, int(rows.sum()) if rows.dtype == np.bool_ else len(rows))


def take(cells: Cells, rows: NDArray[Any]) -> Cells:
    """Return the cells of these rows: indices, or a mask."""
    return cells.take(rows) if isinstance(cells, Codes) else cells[rows]


def codes_of(texts: Sequence[str | None]) -> Codes:
    """Return the texts as codes, levels in the order of their first appearance."""
    index: dict[str, int] = {}
    codes = np.fromiter(
        (-1 if text is None else index.setdefault(text, len(index)) for text in texts), np.int32, len(texts)
    )
    return Codes(codes, tuple(index))


def tidy(written: Sequence[str | None], counts: Sequence[int]) -> tuple[dict[str, int], NDArray[np.int32]]:
    """Return what cells that are written so mean, with counts, the most frequent first, and which of them each means.

    `written` are texts as they stand in a file; those that mean the same are one, and -1 is of the missing.
    """
    meant = [None if text is None else text_of(text) for text in written]
    totals: dict[str, int] = {}
    for text, count in zip(meant, counts, strict=True):
        if text is not None:
            totals[text] = totals.get(text, 0) + count
    ordered = sorted(totals, key=lambda text: (-totals[text], text))
    place = {text: i for i, text in enumerate(ordered)}
    codes = np.array([-1 if text is None else place[text] for text in meant], np.int32)
    return {text: totals[text] for text in ordered}, codes
