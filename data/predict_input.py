"""Tables for prediction: rows of JSON, columns, or a file, read by the rules that training fitted.

A JSON cell is read as the same cell of a CSV file. Columns unknown to the model are ignored; a missing one that it
needs is an error that names it; each cell that cannot be read is named.
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
from traind.data.reading.dialect import read_records, sniff
from traind.data.reading.formats import Format, detect, open_text, parse_format
from traind.data.reading.jsonl import objects, written
from traind.data.reading.line_numbers import Lines, RowLines
from traind.data.table.arrays import Cells, Mixed, Table, codes_of
from traind.data.table.cell_text import NOT_A_NUMBER, number_of, text_of
from traind.data.table.dates import seconds_of
from traind.data.table.schema import Column, Kind

LISTED = 100  # bad cells named in one error
_ALL = 1 << 31  # more rows than a table in memory has
_NO_CELL = "no cell: it holds text, a number, true, false or null, not "

Rows = Sequence[Mapping[str, Any]]
Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a file as text, by column, with their line numbers (None for files without lines)."""

    columns: dict[str, list[Any]]
    lines: Sequence[int | None]
    may_lack: bool = False  # rows are objects, which may lack optional keys


def table_from(data: Rows | Columns | str | Path, encoder: Encoder, form: str | None = None) -> Table:
    """Return the rows, the columns or the file as a table that `encoder` can encode.

    Raises:
        BadTable: a column is missing, or cells cannot be read, each named by row (from 1) or line.
    """
    if isinstance(data, str | Path):
        path = Path(data)
        (batch,) = batches_of(path, form or format_of(path), _ALL) or [Batch({}, [])]
        return parse(batch.columns, encoder, batch.lines, may_lack=batch.may_lack)
    table: Rows | Columns = plain_columns(data)
    if isinstance(table, Mapping):
        lengths = {name: len(cells) for name, cells in table.items()}
        if len(set(lengths.values())) > 1:
            raise BadTable(f"the columns are of different lengths: {lengths}")
        return parse(table, encoder)
    return parse(_columns_of(table, encoder), encoder)


def plain_columns(data: Any) -> Any:
    """Return a DataFrame, of pandas or polars, as lists by column, anything else as it is."""
    if isinstance(data, Mapping) or not hasattr(data, "columns"):
        return data
    return {str(name): data[name].to_list() for name in data.columns}


def _columns_of(rows: Rows, encoder: Encoder) -> dict[str, list[Any]]:
    """Return rows as columns; an absent key is a missing value, where training had any in its column."""
    wanted = [column.name for column in encoder.columns]
    optional = {column.name for column in encoder.columns if column.missing}
    lacking = (
        BadCell(i, name, None, "the column is missing")
        for i, row in enumerate(rows, 1)
        for name in wanted
        if name not in row and name not in optional
    )
    if bad := tuple(islice(lacking, LISTED)):
        raise BadTable(
            f"row {bad[0].line} lacks the column {bad[0].column!r}",
            hint="give null for a value that is not known",
            cells=bad,
        )
    if any(encoder.target in row for row in rows):
        wanted = [*wanted, encoder.target]
    return {name: [row.get(name) for row in rows] for name in wanted}


def parse(
    columns: Columns, encoder: Encoder, lines: Sequence[int | None] | None = None, *, may_lack: bool = False
) -> Table:
    """Return the columns as a table; `lines` says where each row stands, by default rows are counted from 1.

    With `may_lack` a column that is not there is missing throughout, where training had missing values in it.
    """
    n_rows = len(next(iter(columns.values()), ()))
    if may_lack:
        lacking = {one.name: [None] * n_rows for one in encoder.columns if one.missing and one.name not in columns}
        columns = {**columns, **lacking}
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
        wanted.append(encoder.target_column or Column(name=encoder.target, kind=kind, evidence="", role="target"))
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
    """Return one column's cells. Equal cells of one type are read once, since columns repeat values."""
    is_text = column.kind not in {"numeric", "datetime"}
    read = _text if is_text else _number
    known: dict[tuple[type, Any], Any] = {}
    found: list[Any] = []
    enough = len(bad) + LISTED  # the first ones of each column are the first ones of all
    for i, value in enumerate(values):
        try:
            key = (type(value), value)
            if key not in known:
                known[key] = read(column, value)
            found.append(known[key])
        except (TypeError, ValueError) as error:
            is_cell = isinstance(error, ValueError)
            bad.append(_bad(column, i, lines, value, str(error) if is_cell else _NO_CELL + type(value).__name__))
            found.append(None if is_text else math.nan)
            if len(bad) == enough:
                break
    if is_text:
        return codes_of(found)
    if not column.words:
        return np.array(found, np.float64)
    words = codes_of([cell if isinstance(cell, str) else None for cell in found])
    return Mixed(np.array([math.nan if isinstance(cell, str) else cell for cell in found], np.float64), words)


def _text(column: Column, value: Any) -> str | None:
    text = text_of(value)
    return None if text in column.missing_words else text


def _number(column: Column, value: Any) -> float | str:
    """Return the number, time or word in a cell, NaN for a missing one. Raises `TypeError`, `ValueError`."""
    if type(value) is float and column.kind == "numeric":
        return value
    text = _text(column, value)
    if text is None:
        return math.nan
    number = _seconds(text, column) if column.kind == "datetime" else _plain_number(value, text, column)
    if number is None and text in column.words:
        return text
    if number is None:
        raise ValueError("not a number" if column.kind == "numeric" else "not a date")
    return number


def _seconds(text: str, column: Column) -> float | None:
    seconds = seconds_of(text, column.day_order)
    return math.nan if seconds is None and text.lower() in NOT_A_NUMBER else seconds


def _plain_number(value: Any, text: str, column: Column) -> float | None:
    """Return the number in a cell; only text is read in the column's style."""
    return column.number(text) if isinstance(value, str) else number_of(text)


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
        yield from _jsonl_batches(path, parsed, size)
    elif parsed.kind in {"csv", "tsv"}:
        yield from _csv_batches(path, parsed, size)
    else:
        yield from _typed_batches(path, parsed, size)


def _jsonl_batches(path: Path, form: Format, size: int) -> Iterator[Batch]:
    from traind.data.reading.text_bytes import utf8_chunks

    for _ in utf8_chunks(path, form):
        pass
    names: dict[str, None] = {}
    for _, row in objects(path, form):
        names.update(dict.fromkeys(row))
    rows = objects(path, form)
    while some := list(islice(rows, size)):
        yield Batch(
            {name.strip(): [row.get(name) for _, row in some] for name in names},
            [line for line, _ in some],
            may_lack=True,
        )


def _csv_batches(path: Path, form: Format, size: int) -> Iterator[Batch]:
    """Yield rows from the reader of training, so that prediction accepts and refuses the same."""
    from traind.data.reading.raw_table import csv_rows, load_polars

    load_polars(1)
    dialect, frames = csv_rows(path, form)
    file, row = RowLines(path, form, dialect), 0
    for frame in frames:
        for some in frame.iter_slices(size):
            columns = {name: cells.to_list() for name, cells in zip(dialect.names, some.get_columns(), strict=True)}
            yield Batch(columns, Lines(file, range(row, row + len(some))))
            row += len(some)
    if not row:
        yield Batch({name: [] for name in dialect.names}, [])


def _typed_batches(path: Path, form: Format, size: int) -> Iterator[Batch]:
    from traind.data.reading.raw_table import read_table

    table = read_table(path, form, may_be_empty=True)
    for row in range(0, max(1, table.n_rows), size):
        columns = {name: cells.slice(row, size).to_list() for name, cells in table.columns.items()}
        yield Batch(columns, range(row + 1, min(table.n_rows, row + size) + 1))


def first_rows(path: Path, form: Format, size: int) -> tuple[list[str], list[list[Any]]]:
    """Return the names of the columns and the first rows, without reading more."""
    if form.kind == "jsonl":
        objects_read = [row for _, row in islice(objects(path, form), size)]
        names = list(dict.fromkeys(name for row in objects_read for name in row))
        return names, [[_plain(row.get(name)) for name in names] for row in objects_read]
    if form.kind in {"csv", "tsv"}:
        return sniffed_rows(path, form, size)
    from traind.data.reading.raw_table import load_polars

    load_polars(1)
    from traind.data.reading.typed_files import head_of

    columns = head_of(path, form, size)
    return list(columns), [[_shown(cell) for cell in row] for row in zip(*columns.values(), strict=True)]


def sniffed_rows(path: Path, form: Format, size: int) -> tuple[list[str], list[list[Any]]]:
    """Return the names and the first rows of a CSV file, as written."""
    dialect = sniff(path, form)
    with open_text(path, form) as file:
        for _ in range(dialect.first):
            file.readline()
        records = (record for record in read_records(file, dialect) if record)
        return list(dialect.names), [record[: len(dialect.names)] for record in islice(records, size)]


def _shown(value: Any) -> Any:
    return _plain(value) if isinstance(value, list | dict | None | str | int | float) else str(value)


def _plain(value: Any) -> Any:
    return written(value) if isinstance(value, list | dict) else value
