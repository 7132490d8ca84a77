"""Loads columns of an open table into memory as what they are, and names every cell that is not that."""

# ruff: noqa: S608 - SQL is made of quoted identifiers and literals of ours

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traind.data.columns.distinct import coded
from traind.data.columns.queries import blocks, read_all_codes, read_codes, read_numbers, read_written
from traind.data.errors import BadCell, BadTable
from traind.data.reading.duckdb_csv import LISTED
from traind.data.reading.jsonl import locate_objects
from traind.data.reading.line_numbers import locate
from traind.data.reading.open_table import Field, OpenTable
from traind.data.table.arrays import Cells, Codes, Numbers, tidy
from traind.data.table.cell_text import text_of
from traind.data.table.dates import seconds_of
from traind.data.table.schema import Column

Bad = NDArray[np.bool_]  # which cells are not what their column is


def load_columns(table: OpenTable, columns: Iterable[Column]) -> dict[str, Cells]:
    """Return each column's cells as its kind has them: numbers, times in seconds since 1970, or codes.

    Raises:
        BadTable: cells that are not of their column's kind, each named, up to a limit.
    """
    wanted = list(columns)
    _hold(table, [table.fields[column.name] for column in wanted])
    loaded: dict[str, Cells] = {}
    errors: list[BadTable] = []
    for column in wanted:
        cells, bad = _cells(table, column)
        loaded[column.name] = cells
        if bad is not None and bad.any():
            errors.append(bad_cells(table, column.name, np.flatnonzero(bad), _what(column, cells)))
    if errors:
        raise _together(errors)
    return loaded


def _what(column: Column, cells: Cells) -> str:
    if column.kind == "datetime":
        return "not a date"
    has_infinite = not isinstance(cells, Codes) and np.isinf(cells).any()
    return "not a finite number" if has_infinite else "not a number"


def _together(errors: list[BadTable]) -> BadTable:
    """Return one error for the bad cells of several columns, in the order of the file."""
    cells = sorted((cell for error in errors for cell in error.cells), key=lambda cell: cell.line or 0)
    first = min(errors, key=lambda error: error.cells[0].line or 0)
    others = f"; other columns have bad cells too: {len(errors)} in all" if len(errors) > 1 else ""
    return BadTable(first.message + others, hint=first.hint, cells=tuple(cells[:LISTED]))


def _hold(table: OpenTable, fields: Sequence[Field]) -> None:
    """Read what `cells_of` will ask for, many columns a query."""
    absent = [field for field in fields if field.name not in table.held]
    typed = [field for field in absent if field.is_number or field.is_time]
    for some in blocks(table, typed):
        table.held.update(zip((field.name for field in some), read_numbers(table, some), strict=True))
    few = [field for field in absent if field.name in table.levels]
    for some in blocks(table, few):
        levels = [table.levels[field.name] for field in some]
        for field, written, texts in zip(some, read_codes(table, some, levels), levels, strict=True):
            table.held[field.name] = _tidied(written, texts)
    if table.plain:
        texts_of = [field for field in absent if field.is_text]
        for field, cells in zip(texts_of, read_written(table, texts_of), strict=True):
            table.held[field.name] = _tidied(cells.codes, cells.levels)


def _tidied(written: NDArray[np.int32], texts: Sequence[str]) -> Codes:
    """Return the codes of texts as they are written as codes of what they mean."""
    counts = np.bincount(written + 1, minlength=len(texts) + 1)[1:]
    levels, meaning = tidy(texts, counts.tolist())
    return Codes(np.append(meaning, np.int32(-1))[written], tuple(levels))


def _cells(table: OpenTable, column: Column) -> tuple[Cells, Bad | None]:
    """Return a column's cells as its kind has them, and which of them are not that."""
    if column.kind in {"numeric", "datetime"}:
        return numbers_of(table, column)
    return _codes(table, table.fields[column.name]), None


def numbers_of(table: OpenTable, column: Column) -> tuple[Numbers, Bad | None]:
    """Return the numbers of a numeric column, the seconds of a datetime, and which cells are neither."""
    field = table.fields[column.name]
    held = table.held.get(field.name)
    bad: Bad | None = None
    if held is None or isinstance(held, Codes) or (column.kind == "datetime" and not field.is_time):
        meaning = _meaning(column)
        if isinstance(held, Codes):
            numbers, bad = _by_level(held, meaning)
        elif held is None:
            numbers, bad = _one_by_one(table, field, column, meaning)
        else:
            numbers, bad = _by_level(coded(held), meaning)
    else:
        numbers = held
    if column.role == "target":
        bad = np.isinf(numbers) if bad is None else bad | np.isinf(numbers)
    return numbers, bad


def _meaning(column: Column) -> Callable[[str], float | None]:
    return column.number if column.kind == "numeric" else lambda text: seconds_of(text, column.day_order)


def _by_level(cells: Codes, meaning: Callable[[str], float | None]) -> tuple[Numbers, Bad]:
    """Return texts as numbers, and which of them are none."""
    read = [meaning(text) for text in cells.levels]
    numbers = np.array([*(np.nan if number is None else number for number in read), np.nan])
    is_bad = np.array([*(number is None for number in read), False])
    return numbers[cells.codes], is_bad[cells.codes]


def _codes(table: OpenTable, field: Field) -> Codes:
    held = table.held.get(field.name)
    if isinstance(held, Codes):
        return held
    if held is not None and field.is_exact:
        return coded(held)
    return _tidied(*read_all_codes(table, field))


def _one_by_one(
    table: OpenTable, field: Field, column: Column, meaning: Callable[[str], float | None]
) -> tuple[Numbers, Bad]:
    """Return a column of many texts as numbers, and which are none: what SQL cannot read, Python does."""
    sql = "NULL::DOUBLE" if column.mark is not None else field.number if column.kind == "numeric" else field.time
    cells = f"coalesce({sql}, 'nan'::DOUBLE) AS x, {field.sql} IS NOT NULL AND ({sql}) IS NULL AS b"
    found = table.connection.execute(f"SELECT {cells} FROM {table.relation}").fetchnumpy()
    numbers, bad = np.array(found["x"], np.float64), np.array(found["b"], np.bool_)
    if bad.any():
        query = f"SELECT {field.sql} FROM {table.relation} WHERE {field.sql} IS NOT NULL AND ({sql}) IS NULL"
        texts = [text for (text,) in table.connection.execute(query).fetchall()]
        known = {text: None if (stripped := text_of(text)) is None else meaning(stripped) for text in set(texts)}
        is_missing = np.array([text_of(text) is None for text in texts])
        read = [known[text] for text in texts]
        numbers[bad] = [np.nan if number is None else number for number in read]
        bad[bad] = np.array([number is None for number in read]) & ~is_missing
    return numbers, bad


def bad_cells(table: OpenTable, column: str, rows: Sequence[int] | Any, message: str) -> BadTable:
    """Return the error that names these rows' cells of the column by line and value."""
    first = [int(row) for row in rows[:LISTED]]
    lines: Sequence[int | None]
    values: Sequence[str | None]
    if table.dialect is not None and table.form.kind != "jsonl":
        index = next(i for i, name in enumerate(table.fields) if name == column)
        places = locate(table.path, table.form, table.dialect, [row + 1 for row in first])
        lines, values = [line for line, _ in places], [cells[index] for _, cells in places]
    else:
        query = f"SELECT {table.fields[column].text} FROM {table.relation} LIMIT 1 OFFSET ?"
        values = [(table.connection.execute(query, [row]).fetchone() or (None,))[0] for row in first]
        lines = locate_objects(table.path, table.form, first) if table.dialect else [None] * len(first)
    cells = tuple(
        BadCell(line, column, None if value is None else value[:200], message)
        for line, value in zip(lines, values, strict=True)
    )
    where = f"line {lines[0]}" if lines[0] else f"row {first[0] + 1}"
    count = f" ({len(rows):,} such cells)" if len(rows) > 1 else ""
    return BadTable(
        f"{where}, column {column!r}: {cells[0].value!r} is {message}{count}",
        hint="correct the cells, leave them empty if they are missing, or say what kind the column is",
        cells=cells,
    )
