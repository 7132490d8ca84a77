"""Loads columns of an open table into memory as what they are, and names every cell that is not that."""

# ruff: noqa: S608 - SQL is made of quoted identifiers and literals of ours

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from traind.data.cells import no_number_sql, number_sql
from traind.data.dates import seconds_of
from traind.data.errors import BadCell, BadTable
from traind.data.jsonl import locate_objects
from traind.data.lines import locate
from traind.data.read import LISTED, Field, OpenTable
from traind.data.schema import Column
from traind.data.table import Cells, Codes, Numbers


def load_columns(table: OpenTable, columns: Iterable[Column]) -> dict[str, Cells]:
    """Return each column's cells as its kind has them: numbers, times in seconds since 1970, or codes.

    Raises:
        BadTable: cells that are not of their column's kind, each named, up to a limit.
    """
    loaded: dict[str, Cells] = {}
    errors: list[BadTable] = []
    for column in columns:
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
    others = f"; {len(errors) - 1} more columns have bad cells" if len(errors) > 1 else ""
    return BadTable(first.message + others, hint=first.hint, cells=tuple(cells[:LISTED]))


def _load(table: OpenTable, column: Column) -> Cells:
    field = table.field(column.name)
    if column.kind not in {"numeric", "datetime"}:
        return _load_codes(table, field)
    if column.kind == "datetime" and not field.is_time:
        return _load_times(table, field, column)
    numbers = _load_numbers(table, field)
    if column.role == "target" and np.isinf(numbers).any():
        raise bad_cells(table, column.name, np.flatnonzero(np.isinf(numbers)), "not a finite number")
    return numbers


def _load_times(table: OpenTable, field: Field, column: Column) -> Numbers:
    cells = _load_codes(table, field)
    read = [seconds_of(text, column.day_order) for text in cells.levels]
    times = np.array([*(np.nan if second is None else second for second in read), np.nan])[cells.codes]
    bad = np.flatnonzero(np.isnan(times) & (cells.codes >= 0))
    if len(bad):
        raise bad_cells(table, column.name, bad, "not a date")
    return times


def _load_numbers(table: OpenTable, field: Field) -> Numbers:
    if field.is_text:
        number = number_sql(f"replace({field.sql}, ',', '.')" if field.has_decimal_comma else field.sql)
        is_bad = f"x IS NULL AND t IS NOT NULL AND NOT {no_number_sql('t')}"
        query = f"SELECT x, {is_bad} AS bad FROM (SELECT {field.sql} AS t, {number} AS x FROM {table.relation})"
    else:
        number = f"epoch({field.sql})" if field.is_time else f"CAST({field.sql} AS DOUBLE)"
        query = f"SELECT {number} AS x, false AS bad FROM {table.relation}"
    found = table.connection.execute(f"SELECT coalesce(x, 'nan'::DOUBLE) AS x, bad FROM ({query})").fetchnumpy()
    if found["bad"].any():
        raise bad_cells(table, field.name, np.flatnonzero(found["bad"]), "not a number")
    return np.asarray(found["x"], np.float64)


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
        index = next(i for i, field in enumerate(table.fields) if field.name == column)
        places = locate(table.path, table.form, table.dialect, [row + 1 for row in first])
        lines, values = [line for line, _ in places], [cells[index] for _, cells in places]
    else:
        query = f"SELECT {table.field(column).text} FROM {table.relation} LIMIT 1 OFFSET ?"
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
