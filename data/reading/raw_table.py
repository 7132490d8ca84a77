"""A file as columns of cells as they stand in it: text, or what a Parquet file says that they are.

What cells mean is decided by `columns` from all of them. Runs in worker processes only: here polars is loaded, with
as many threads as the process was given.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from traind.data.errors import BadCell, BadTable
from traind.data.reading.dialect import Dialect, check_names, sniff
from traind.data.reading.formats import Format
from traind.data.reading.jsonl import Rows, locate_objects
from traind.data.reading.line_numbers import locate

if TYPE_CHECKING:
    import polars as pl

LISTED = 100  # bad cells named in one error
_JSON_ROWS = 20_000  # turned to text at once
Type = Literal["text", "number", "time", "nested"]


@dataclass(frozen=True, slots=True)
class RawTable:
    """The columns by name, in the order of the file. Those that are nested hold nothing but which cells are null."""

    columns: "dict[str, pl.Series]"
    n_rows: int
    path: Path
    form: Format
    dialect: Dialect | None = None
    nested: frozenset[str] = frozenset()
    index: frozenset[str] = field(default_factory=frozenset)  # what pandas saved along


def load_polars(threads: int) -> None:
    """Load polars, if it is not, with so many threads: it keeps them for the process's life."""
    if "polars" not in sys.modules:
        os.environ.setdefault("POLARS_MAX_THREADS", str(threads))


def read_table(path: Path, form: Format, threads: int = 1, *, may_be_empty: bool = False) -> RawTable:
    """Read the file, checking that every row has as many cells as the header has names.

    Raises:
        BadTable: the file is no table; ragged rows are named by line.
    """
    load_polars(threads)
    table = _read(path, form)
    if not table.n_rows and not may_be_empty:
        raise BadTable("the table has a header but no rows" if table.columns else "the table has no rows")
    return table


def _read(path: Path, form: Format) -> RawTable:
    import polars as pl

    if form.kind == "parquet":
        from traind.data.reading.typed_files import read_parquet

        columns, nested, index, n_rows = read_parquet(path)
        check_names(list(columns), None)
        return RawTable(columns, n_rows, path, form, nested=nested, index=index)
    if form.kind == "xlsx":
        from traind.data.reading.typed_files import read_workbook

        columns = read_workbook(path, form)
        return _of_frames(columns, path, form, None)
    if form.kind == "jsonl":
        return _read_jsonl(path, form)
    dialect, frames = csv_rows(path, form)
    found = list(frames)
    whole = (
        pl.concat(found, rechunk=False) if found else pl.DataFrame({str(i): [] for i in range(len(dialect.names))})
    )
    columns = dict(zip(dialect.names, whole.get_columns(), strict=True))
    return _of_frames(columns, path, form, dialect)


def _of_frames(columns: "dict[str, pl.Series]", path: Path, form: Format, dialect: Dialect | None) -> RawTable:
    import polars as pl

    n_rows = len(next(iter(columns.values()), ()))
    if words := form.options.missing:
        columns = {name: cells.cast(pl.String) for name, cells in columns.items()}
        columns = {
            name: cells.set(cells.str.strip_chars(" \t").is_in(words), None) for name, cells in columns.items()
        }
    return RawTable(columns, n_rows, path, form, dialect)


def csv_rows(path: Path, form: Format) -> "tuple[Dialect, Iterator[pl.DataFrame]]":
    """Return how a CSV file is written, and its rows in frames whose columns are called by their places."""
    from traind.data.reading.csv_frames import QuotesAreText, csv_frames
    from traind.data.reading.text_bytes import utf8_chunks

    try:
        dialect = sniff(path, form)
    except (BadTable, UnicodeError, OSError, EOFError) as error:
        for _ in utf8_chunks(path, form):  # if it is no text at all, that is what is to be said
            pass
        if isinstance(error, BadTable):
            raise
        raise BadTable(f"the file cannot be read: {error}") from None
    if form.kind == "tsv" and form.options.quote is None and dialect.quote:
        try:
            return dialect, iter(list(csv_frames(path, form, dialect)))
        except QuotesAreText:
            from dataclasses import replace

            dialect = replace(dialect, quote=None)
    return dialect, csv_frames(path, form, dialect)


def _read_jsonl(path: Path, form: Format) -> RawTable:
    import polars as pl

    from traind.data.reading.csv_frames import text_frame
    from traind.data.reading.text_bytes import utf8_chunks

    for _ in utf8_chunks(path, form):
        pass
    rows = Rows()
    frames = [text_frame(some, len(rows.keys)) for some in rows.read(path, form, _JSON_ROWS)]
    whole = pl.concat(frames, how="diagonal", rechunk=False)
    columns = {key.strip(): series for key, series in zip(rows.keys, whole.get_columns(), strict=True)}
    nested = frozenset(key.strip() for key in rows.nested())
    found = _of_frames(columns, path, form, None)
    return RawTable(found.columns, found.n_rows, path, form, nested=nested)


def bad_cells(
    table: RawTable, column: str, rows: Sequence[int] | Any, values: Sequence[str | None], message: str
) -> BadTable:
    """Return the error that names these rows' cells of the column by line and value, `values` as they were read."""
    first = [int(row) for row in rows[:LISTED]]
    lines: Sequence[int | None] = [None] * len(first)
    if table.dialect is not None:
        places = locate(table.path, table.form, table.dialect, first)
        index = table.dialect.names.index(column)
        lines = [line for line, _ in places]
        values = [cells[index] if cells else value for (_, cells), value in zip(places, values, strict=False)]
    elif table.form.kind == "jsonl":
        lines = list(locate_objects(table.path, table.form, first))
    elif table.form.kind == "xlsx":
        lines = [row + 2 + table.form.options.skip for row in first]
    cells = tuple(
        BadCell(line, column, None if value is None else value[:200], message)
        for line, value in zip(lines, values, strict=False)
    )
    where = f"line {lines[0]}" if lines[0] else f"row {first[0] + 1}"
    count = f" ({len(rows):,} such cells)" if len(rows) > 1 else ""
    return BadTable(
        f"{where}, column {column!r}: {cells[0].value!r} is {message}{count}",
        hint="correct the cells, leave them empty if they are missing, or say what kind the column is",
        cells=cells,
    )
