"""Loads columns of an open table into memory as what they are, and names every cell that is not that."""

# ruff: noqa: S608 - SQL is made of quoted identifiers and literals of ours

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traind.data.cells import NOT_A_NUMBER
from traind.data.dates import seconds_of
from traind.data.errors import BadCell, BadTable
from traind.data.jsonl import locate_objects
from traind.data.lines import locate
from traind.data.read import LISTED, Field, OpenTable
from traind.data.schema import Column
from traind.data.table import Cells, Codes, Numbers

_AT_ONCE = 256  # columns a query
_CELLS_AT_ONCE = 4_000_000


def load_columns(table: OpenTable, columns: Iterable[Column]) -> dict[str, Cells]:
    """Return each column's cells as its kind has them: numbers, times in seconds since 1970, or codes.

    Raises:
        BadTable: cells that are not of their column's kind, each named, up to a limit.
    """
    loaded: dict[str, Cells] = {}
    errors: list[BadTable] = []
    wanted = list(columns)
    numeric = [column for column in wanted if _is_number(table, column)]
    for column, found in zip(numeric, numbers(table, [table.fields[c.name] for c in numeric]), strict=True):
        loaded[column.name], bad = found
        if column.role == "target":
            bad |= np.isinf(found[0])
        if bad.any():
            what = "not a finite number" if np.isinf(found[0]).any() else "not a number"
            errors.append(bad_cells(table, column.name, np.flatnonzero(bad), what))
    for column in wanted:
        if column.name not in loaded:
            try:
                loaded[column.name] = _load(table, column)
            except BadTable as error:
                errors.append(error)
    if errors:
        raise _together(errors)
    return loaded


def _together(errors: list[BadTable]) -> BadTable:
    """Return one error for the bad cells of several columns, in the order of the file."""
    cells = sorted((cell for error in errors for cell in error.cells), key=lambda cell: cell.line or 0)
    first = min(errors, key=lambda error: error.cells[0].line or 0)
    others = f"; other columns have bad cells too: {len(errors)} in all" if len(errors) > 1 else ""
    return BadTable(first.message + others, hint=first.hint, cells=tuple(cells[:LISTED]))


def _is_number(table: OpenTable, column: Column) -> bool:
    return column.kind == "numeric" or (column.kind == "datetime" and table.fields[column.name].is_time)


def numbers(table: OpenTable, fields: Sequence[Field]) -> Iterator[tuple[Numbers, NDArray[np.bool_]]]:
    """Yield each column as numbers, NaN where missing, and where its cells are neither numbers nor missing."""
    at_once = max(1, min(_AT_ONCE, _CELLS_AT_ONCE // table.n_rows))  # a query costs milliseconds in a wide table
    for start in range(0, len(fields), at_once):
        some = fields[start : start + at_once]
        cells = ", ".join(f"coalesce({field.number}, 'nan'::DOUBLE) AS x{i}" for i, field in enumerate(some))
        bad_ones = ", ".join(f"{f.sql} IS NOT NULL AND {f.number} IS NULL AS b{i}" for i, f in enumerate(some))
        found = table.connection.execute(f"SELECT {cells}, {bad_ones} FROM {table.relation}").fetchnumpy()
        for i, field in enumerate(some):
            bad = np.asarray(found[f"b{i}"], np.bool_)
            yield np.asarray(found[f"x{i}"], np.float64), _without_words(table, field, bad) if bad.any() else bad


def _without_words(table: OpenTable, field: Field, bad: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the bad cells without those whose word says that a number is missing."""
    if not field.is_text:
        return np.zeros_like(bad)
    texts = table.connection.execute(f"SELECT {field.sql} AS t FROM {table.relation}").fetchnumpy()["t"]
    still_bad = bad.copy()
    still_bad[bad] = [text.lower() not in NOT_A_NUMBER for text in texts[bad]]
    return still_bad


def _load(table: OpenTable, column: Column) -> Cells:
    return _load_times(table, column) if column.kind == "datetime" else _load_codes(table, table.fields[column.name])


def _load_times(table: OpenTable, column: Column) -> Numbers:
    seconds, bad = times(table, column)
    if bad.any():
        raise bad_cells(table, column.name, np.flatnonzero(bad), "not a date")
    return seconds


def times(table: OpenTable, column: Column) -> tuple[Numbers, NDArray[np.bool_]]:
    """Return a column of text as seconds since 1970, NaN where missing, and where its cells are no dates."""
    cells = _load_codes(table, table.fields[column.name])
    read = [seconds_of(text, column.day_order) for text in cells.levels]
    seconds = np.array([*(np.nan if second is None else second for second in read), np.nan])[cells.codes]
    return seconds, np.isnan(seconds) & (cells.codes >= 0)


def _load_codes(table: OpenTable, field: Field) -> Codes:
    """Return the column as codes, the most frequent text first."""
    connection = table.connection
    connection.execute("DROP TYPE IF EXISTS levels")
    connection.execute(
        f"CREATE TYPE levels AS ENUM (SELECT t FROM (SELECT {field.text} AS t FROM {table.relation}) "
        "WHERE t IS NOT NULL GROUP BY t ORDER BY count(*) DESC, t)"
    )
    query = f"SELECT coalesce(enum_code(({field.text})::levels)::INTEGER, -1) AS k FROM {table.relation}"
    codes = np.asarray(connection.execute(query).fetchnumpy()["k"], np.int32)
    (levels,) = connection.execute("SELECT enum_range(NULL::levels)").fetchone() or ([],)
    return Codes(codes, tuple(levels))


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
