"""Tables for prediction: rows of JSON, columns, or a file, read by the rules that training fitted.

A cell given as JSON means what it would have meant in a CSV file. Columns the model does not know are passed
over; one that it needs and that is absent is an error that names it; each cell that cannot be read is named.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from traind.data.encoding.encoder import Encoder
from traind.data.errors import BadCell, BadTable
from traind.data.reading.byte_scan import scan
from traind.data.reading.dialect import read_records, sniff
from traind.data.reading.formats import Format, detect, open_text, parse_format
from traind.data.reading.jsonl import objects, written
from traind.data.reading.line_numbers import Lines, RowLines
from traind.data.table.arrays import Cells, Table, codes_of
from traind.data.table.cell_text import text_of
from traind.data.table.dates import seconds_of
from traind.data.table.schema import Column, Kind

LISTED = 100  # bad cells named in one error
_ALL = 1 << 31  # rows: more than a table in memory has
_NO_CELL = "no cell: it holds text, a number, true, false or null, not "

Rows = Sequence[Mapping[str, Any]]
Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a file as text, by column, with the line each stands on (None where a file has no lines)."""

    columns: dict[str, list[Any]]
    lines: Sequence[int | None]


def table_from(data: Rows | Columns | str | Path, encoder: Encoder, form: str | None = None) -> Table:
    """Return the rows, the columns or the file as a table that `encoder` can encode.

    Raises:
        BadTable: a column is missing, or cells cannot be read, each named by row (from 1) or line.
    """
    if isinstance(data, str | Path):
        path = Path(data)
        (batch,) = batches_of(path, form or format_of(path), _ALL) or [Batch({}, [])]
        return parse(batch.columns, encoder, batch.lines)
    if isinstance(data, Mapping):
        lengths = {name: len(cells) for name, cells in data.items()}
        if len(set(lengths.values())) > 1:
            raise BadTable(f"the columns are of different lengths: {lengths}")
        return parse(data, encoder)
    return parse(_columns_of(data, encoder), encoder)


def _columns_of(rows: Rows, encoder: Encoder) -> dict[str, list[Any]]:
    """Return rows as columns; a column that the model needs must be in every row."""
    wanted = [column.name for column in encoder.columns]
    bad = [
        BadCell(i, name, None, "the column is missing")
        for i, row in enumerate(rows, 1)
        for name in wanted
        if name not in row
    ]
    if bad:
        raise BadTable(
            f"row {bad[0].line} lacks the column {bad[0].column!r}",
            hint="give null for a value that is not known",
            cells=tuple(bad[:LISTED]),
        )
    if any(encoder.target in row for row in rows):
        wanted = [*wanted, encoder.target]
    return {name: [row.get(name) for row in rows] for name in wanted}


def parse(columns: Columns, encoder: Encoder, lines: Sequence[int | None] | None = None) -> Table:
    """Return the columns as a table; `lines` says where each row stands, by default rows are counted from 1."""
    absent = [column.name for column in encoder.columns if column.name not in columns]
    if absent:
        raise BadTable(
            f"the column {absent[0]!r} is missing" + (f", and {len(absent) - 1} more" if len(absent) > 1 else ""),
            hint=f"the model needs {', '.join(column.name for column in encoder.columns)}",
            cells=tuple(BadCell(None, name, None, "the column is missing") for name in absent[:LISTED]),
        )
    bad: list[BadCell] = []
    wanted = list(encoder.columns)
    if encoder.target in columns:
        kind: Kind = "categorical" if encoder.labels else "numeric"
        wanted.append(Column(name=encoder.target, kind=kind, evidence="", role="target"))
    n_rows = len(next(iter(columns.values()), ()))
    table = {column.name: _cells(column, columns[column.name], lines, bad) for column in wanted}
    if bad:
        bad.sort(key=lambda cell: cell.line or 0)
        where = "line" if lines is not None else "row"
        raise BadTable(
            f"{where} {bad[0].line}, column {bad[0].column!r}: {bad[0].value!r} is {bad[0].message}",
            cells=tuple(bad[:LISTED]),
        )
    return Table(table, n_rows)


def _cells(column: Column, values: Sequence[Any], lines: Sequence[int | None] | None, bad: list[BadCell]) -> Cells:
    """Return one column's cells. What is equal and of one type is read once: columns say the same again and again."""
    is_text = column.kind not in {"numeric", "datetime"}
    known: dict[tuple[type, Any], Any] = {}
    found: list[Any] = []
    for i, value in enumerate(values):
        try:
            key = (type(value), value)
            if key not in known:
                known[key] = text_of(value) if is_text else _number(column, value)
            found.append(known[key])
        except (TypeError, ValueError) as error:
            is_cell = isinstance(error, ValueError)
            bad.append(_bad(column, i, lines, value, str(error) if is_cell else _NO_CELL + type(value).__name__))
            found.append(None if is_text else math.nan)
    return codes_of(found) if is_text else np.array(found, np.float64)


def _number(column: Column, value: Any) -> float:
    """Return the number or the time in a cell, NaN where there is none. Raises `TypeError` and `ValueError`."""
    if type(value) is float and column.kind == "numeric":
        return value
    text = text_of(value)
    if text is None:
        return math.nan
    number = seconds_of(text, column.day_order) if column.kind == "datetime" else column.number(text)
    if number is None:
        raise ValueError("not a number" if column.kind == "numeric" else "not a date")
    return number


def _bad(column: Column, i: int, lines: Sequence[int | None] | None, value: Any, message: str) -> BadCell:
    line = i + 1 if lines is None else lines[i]
    return BadCell(line, column.name, str(value)[:200], message)


def format_of(path: Path) -> str:
    """Return the format of a file by its content and its name, or raise `BadTable`."""
    if not path.is_file():
        raise BadTable(f"there is no file {str(path)!r}")
    return str(detect(path, path.name))


def batches_of(path: Path, form: str, size: int) -> Iterator[Batch]:
    """Yield the file's rows in batches of `size`, in bounded memory; a header alone is one batch of none.

    Raises:
        BadTable: the file is no table, or a row has not as many cells as the header.
    """
    parsed = parse_format(form)
    if not path.exists():
        raise BadTable(f"there is no file {str(path)!r}")
    if parsed.kind == "jsonl":
        scan(path, parsed)
        yield from _jsonl_batches(path, parsed, size)
    else:
        yield from _sql_batches(path, parsed, size)


def _jsonl_batches(path: Path, form: Format, size: int) -> Iterator[Batch]:
    names: dict[str, None] = {}
    for _, row in objects(path, form):
        names.update(dict.fromkeys(row))
    rows = objects(path, form)
    while some := list(islice(rows, size)):
        yield Batch({name.strip(): [row.get(name) for _, row in some] for name in names}, [line for line, _ in some])


def _sql_batches(path: Path, form: Format, size: int) -> Iterator[Batch]:
    """Yield rows as the reader of training has them: whatever it takes or refuses, so does prediction."""
    from traind.data.reading.open_table import open_table

    with open_table(path, form, as_text=None, may_be_empty=True) as table:
        fields = ", ".join(field.text for field in table.fields.values())
        cursor = table.connection.execute(f"SELECT {fields} FROM {table.relation}")  # noqa: S608 - quoted names
        file = RowLines(path, form, table.dialect) if table.dialect else None
        row = 0
        while some := cursor.fetchmany(size):
            columns = {name: list(c) for name, c in zip(table.fields, zip(*some, strict=True), strict=True)}
            rows = range(row, row + len(some))
            yield Batch(columns, Lines(file, rows) if file else range(row + 1, row + len(some) + 1))
            row += len(some)
        if not row:
            yield Batch({name: [] for name in table.fields}, [])


def _first_records(path: Path, form: Format, size: int) -> tuple[list[str], list[list[str]]]:
    dialect = sniff(path, form)
    with open_text(path, form) as file:
        for _ in range(dialect.skip):
            file.readline()
        records = (record for record in read_records(file, dialect) if record)
        next(records, None)
        return list(dialect.names), [record[: len(dialect.names)] for record in islice(records, size)]


def first_rows(path: Path, form: Format, size: int) -> tuple[list[str], list[list[Any]]]:
    """Return the names of the columns and the first rows, without reading further than that."""
    if form.kind == "jsonl":
        objects_read = [row for _, row in islice(objects(path, form), size)]
        names = list(dict.fromkeys(name for row in objects_read for name in row))
        return names, [[_plain(row.get(name)) for name in names] for row in objects_read]
    if form.kind != "parquet":
        return _first_records(path, form, size)
    batch = next(_sql_batches(path, form, size))
    return list(batch.columns), [list(row) for row in zip(*batch.columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    return written(value) if isinstance(value, list | dict) else value
