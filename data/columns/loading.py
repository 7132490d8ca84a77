"""Turns profiled columns into what their kinds say: numbers, times, codes; names every cell that is not that."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from traind.data.columns.held import as_codes
from traind.data.columns.profile import Profile
from traind.data.errors import BadTable
from traind.data.reading.raw_table import LISTED, RawTable, bad_cells
from traind.data.table.arrays import Cells, Codes, Mixed, Numbers
from traind.data.table.cell_text import NOT_A_NUMBER
from traind.data.table.date_columns import all_seconds
from traind.data.table.number_columns import are_units, read_all, read_plain
from traind.data.table.schema import Column
from traind.data.table.texts import Texts

Bad = NDArray[np.bool_]  # which cells are not what their column is


def load_columns(table: RawTable, columns: Iterable[Column], profiles: dict[str, Profile]) -> dict[str, Cells]:
    """Return each column's cells as its kind has them: numbers, times in seconds since 1970, or codes.

    Raises:
        BadTable: cells that are not of their column's kind, each named, up to a limit.
    """
    loaded: dict[str, Cells] = {}
    errors: list[BadTable] = []
    for column in columns:
        facts = profiles[column.name]
        assert facts.cells is not None
        cells, bad = cells_of(facts, column)
        loaded[column.name] = cells
        if bad is not None and bad.any():
            rows = np.flatnonzero(bad)
            texts = as_codes(facts.cells).take(rows[:LISTED]).texts() if facts.type != "time" else []
            errors.append(bad_cells(table, column.name, rows, texts, _what(column, cells)))
    if errors:
        raise _together(errors)
    return loaded


def _what(column: Column, cells: Cells) -> str:
    if column.kind == "datetime":
        return "not a date"
    is_infinite = isinstance(cells, np.ndarray) and np.isinf(cells).any()
    return "not a finite number" if is_infinite else "not a number"


def _together(errors: list[BadTable]) -> BadTable:
    """Return one error for the bad cells of several columns, in the order of the file."""
    cells = sorted((cell for error in errors for cell in error.cells), key=lambda cell: cell.line or 0)
    first = min(errors, key=lambda error: error.cells[0].line or 0)
    others = f"; other columns have bad cells too: {len(errors)} in all" if len(errors) > 1 else ""
    return BadTable(first.message + others, hint=first.hint, cells=tuple(cells[:LISTED]))


def cells_of(facts: Profile, column: Column) -> tuple[Cells, Bad | None]:
    """Return a column's cells as its kind has them, and which of them are not that."""
    assert facts.cells is not None
    if column.kind not in {"numeric", "datetime"} and column.undecided != "counter":
        return as_codes(facts.cells), None
    numbers, words = _read(facts, column)
    bad: Bad | None = None
    if words is not None:
        is_word = np.array([*(text in column.words for text in words.levels), True])
        bad = ~is_word[words.codes]
        if column.words:
            places = {text: place for place, text in enumerate(column.words)}
            lookup = np.array([*(places.get(text, -1) for text in words.levels), -1], np.int32)
            return Mixed(numbers, Codes(lookup[words.codes], column.words)), bad
    if column.role == "target":
        bad = np.isinf(numbers) if bad is None else bad | np.isinf(numbers)
    return numbers, bad


def _read(facts: Profile, column: Column) -> tuple[Numbers, Codes | None]:
    """Return a column's numbers, or seconds, and the words that are none; NaN where missing or a word."""
    cells = facts.cells
    if facts.type == "time" or (isinstance(cells, np.ndarray) and column.kind != "datetime"):
        assert isinstance(cells, np.ndarray)
        return cells, None
    if isinstance(cells, Mixed) and column.kind == "numeric":
        numbers, codes = cells.numbers, cells.words
        values = np.full(len(codes.levels), np.nan)
        is_none = np.array([text.lower() in NOT_A_NUMBER for text in codes.levels], np.bool_)
    else:
        assert cells is not None
        codes = as_codes(cells)
        numbers = np.full(len(codes), np.nan)
        values, is_none = _levels_read(facts.written(), column)
    is_word = np.isnan(values) & ~is_none
    numbers = np.where(np.isnan(numbers), np.append(values, np.nan)[codes.codes], numbers)
    if not is_word.any():
        return numbers, None
    kept = np.append(np.where(is_word, np.cumsum(is_word) - 1, -1), -1).astype(np.int32)
    levels = tuple(text for text, keep in zip(codes.levels, is_word.tolist(), strict=True) if keep)
    return numbers, Codes(kept[codes.codes], levels)


def _levels_read(texts: Texts, column: Column) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return what `Column.number` or `seconds_of` say of each text, and which of them stand for none."""
    if column.kind == "datetime":
        seconds, is_zero = all_seconds(texts, column.day_order)
        return seconds, is_zero | texts.of(read_plain).is_none
    plain, _, is_none = texts.of(read_plain)
    style = column.number_style
    if style is not None:
        styled = read_all(texts, style)
        return np.where(np.isnan(styled), plain, styled), is_none | are_units(texts, style, styled)
    return plain, is_none
