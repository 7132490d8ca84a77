"""What SQL counts and reads of the columns of an open table. Wide queries: each costs milliseconds by itself."""

# ruff: noqa: S608 - SQL is made of quoted identifiers and literals of ours

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traind.data.reading.duckdb_csv import literal
from traind.data.reading.open_table import Field, OpenTable
from traind.data.table.arrays import Codes, Numbers, codes_of
from traind.data.table.cell_text import is_missing_sql, no_number_sql

AT_ONCE = 256  # columns a query


@dataclass(frozen=True, slots=True)
class Counts:
    """What one pass over the rows counts of a column."""

    present: int
    distinct: int  # about
    numbers: int
    integers: int
    infinite: int
    leading_zeros: int
    no_numbers: int
    smallest: float | None  # of the finite
    largest: float | None
    shortest: int
    longest: int


def blocks(table: OpenTable, fields: Sequence[Field], cells: int | None = None) -> Iterator[Sequence[Field]]:
    """Yield the fields in parts of so many cells, by default as many as the table says are read at once."""
    size = max(1, min(AT_ONCE, (cells or table.cells_at_once) // table.n_rows))
    for start in range(0, len(fields), size):
        yield fields[start : start + size]


def read_numbers(table: OpenTable, fields: Sequence[Field]) -> list[Numbers]:
    """Return columns that the file says are numbers or times, NaN where missing."""
    if table.plain:
        return [held for field in fields if not isinstance(held := table.plain[field.name], Codes)]
    cells = ", ".join(f"{f.sql if f.type == 'DOUBLE' else f.number} AS x{i}" for i, f in enumerate(fields))
    found = table.connection.execute(f"SELECT {cells} FROM {table.relation}").fetchnumpy()
    return [np.ma.filled(found[f"x{i}"], np.nan) for i in range(len(fields))]


def read_written(table: OpenTable, fields: Sequence[Field]) -> list[Codes]:
    """Return the columns' cells as they are written."""
    if table.plain:
        return [held for field in fields if isinstance(held := table.plain[field.name], Codes)]
    cells = ", ".join(f"{field.text} AS x{i}" for i, field in enumerate(fields))
    found = table.connection.execute(f"SELECT {cells} FROM {table.relation}").fetchnumpy()
    return [codes_of(np.ma.filled(found[f"x{i}"].astype(object), None).tolist()) for i in range(len(fields))]


def read_codes(table: OpenTable, fields: Sequence[Field], levels: Sequence[Sequence[str]]) -> list[NDArray[np.int32]]:
    """Return each cell's place among its column's levels, which are all that the column has; -1 where it is empty."""
    for i, texts in enumerate(levels):
        table.connection.execute(f"DROP TYPE IF EXISTS levels{i}")
        table.connection.execute(f"CREATE TYPE levels{i} AS ENUM ({', '.join(map(literal, texts)) or literal('')})")
    cells = ", ".join(
        f"coalesce(enum_code({field.text}::levels{i})::INTEGER, -1) AS x{i}" for i, field in enumerate(fields)
    )
    found = table.connection.execute(f"SELECT {cells} FROM {table.relation}").fetchnumpy()
    return [np.asarray(found[f"x{i}"], np.int32) for i in range(len(fields))]


def read_all_codes(table: OpenTable, field: Field) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Return each cell's place among all texts of the column, however many, and these; -1 where it is empty."""
    texts = f"SELECT DISTINCT {field.text} AS t FROM {table.relation}"
    table.connection.execute("DROP TYPE IF EXISTS levels")
    table.connection.execute(f"CREATE TYPE levels AS ENUM (SELECT t FROM ({texts}) WHERE t IS NOT NULL)")
    cells = f"coalesce(enum_code(({field.text})::levels)::INTEGER, -1) AS x"
    found = table.connection.execute(f"SELECT {cells} FROM {table.relation}").fetchnumpy()["x"]
    (levels,) = table.connection.execute("SELECT enum_range(NULL::levels)").fetchone() or ((),)
    return np.asarray(found, np.int32), tuple(levels)


def read_levels(table: OpenTable, field: Field, rows: int | None = None) -> list[tuple[str | None, int]]:
    """Return the distinct texts of the column's first `rows`, or of all, with their counts."""
    limited = f"(SELECT {field.sql} FROM {table.relation} LIMIT {rows})" if rows else table.relation
    grouped = f"SELECT {field.sql} AS t, count(*) AS n FROM {limited} GROUP BY ALL"
    return table.connection.execute(f"SELECT CAST(t AS VARCHAR), n FROM ({grouped})").fetchall()


def estimate_distinct(table: OpenTable, fields: Sequence[Field]) -> list[int]:
    """Return about how many distinct texts each column has."""
    if not fields:
        return []
    wanted = ", ".join(f"approx_count_distinct({field.sql})" for field in fields)
    return list(table.connection.execute(f"SELECT {wanted} FROM {table.relation}").fetchone() or ())


def survey(table: OpenTable, fields: Sequence[Field]) -> list[Counts]:
    """Count all of these columns in one pass."""
    cells = ", ".join(f"{field.sql} AS t{i}, {field.number} AS x{i}" for i, field in enumerate(fields))
    wanted = ", ".join(_aggregates(field, f"t{i}", f"x{i}") for i, field in enumerate(fields))
    row: Any = table.connection.execute(f"SELECT {wanted} FROM (SELECT {cells} FROM {table.relation})").fetchone()
    width = len(row) // len(fields)
    parts = [row[i * width : (i + 1) * width] for i in range(len(fields))]
    return [Counts(*(n or 0 for n in part[:7]), *part[7:9], *(n or 0 for n in part[9:])) for part in parts]


def _aggregates(field: Field, t: str, x: str) -> str:
    if field.is_nested:
        return f"count({t}), 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0"
    numbers = (
        f"count({x}), count_if({x} = trunc({x}) AND isfinite({x})), count_if(isinf({x})), "
        f"{{}}, min({x}) FILTER (isfinite({x})), max({x}) FILTER (isfinite({x}))"
    )
    if field.is_text:
        zeros = f"{t} >= '0' AND {t} < '1' AND regexp_matches({t}, '^0[0-9]+\\s*$')"
        texts = f"count_if({zeros}), count_if({no_number_sql(t)})"
        present = f"count_if(NOT {is_missing_sql(t)})"
        return f"{present}, approx_count_distinct({t}), {numbers.format(texts)}, min(strlen({t})), max(strlen({t}))"
    return f"count({t}), approx_count_distinct({t}), {numbers.format('0, 0')}, 0, 0"
