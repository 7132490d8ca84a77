"""Opens a file as a table that SQL can ask, and loads columns from it. The only module that knows duckdb.

A file's cells are taken as text; what they mean is decided by `schema` from all of them and checked again when a
column is loaded, so that no cell is read as something that it does not say. Runs in worker processes only.
"""

# ruff: noqa: S608 - SQL is made of quoted identifiers and literals of ours

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from traind.data.cells import is_unclean_sql, no_number_sql, number_sql, text_sql
from traind.data.dates import seconds_of
from traind.data.dialect import MAX_LINE, Dialect, check_names, not_decodable, sniff
from traind.data.errors import BadCell, BadTable
from traind.data.formats import Format
from traind.data.jsonl import to_csv
from traind.data.lines import locate
from traind.data.scan import scan
from traind.data.schema import Column
from traind.data.table import Cells, Codes, Numbers

if TYPE_CHECKING:
    import duckdb

LISTED = 100  # bad cells named in one error
MEMORY = "1GB"  # what duckdb may hold before it spills to disk
_AT_ONCE = 64  # columns a query
_NESTED = re.compile(r"\[\]|STRUCT|MAP|UNION|BLOB|ARRAY")
_NUMBERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL")
_TIMES = re.compile(r"DATE|TIMESTAMP")


@dataclass(frozen=True, slots=True)
class Field:
    """A column of an open table: its name in the file, and how SQL says it."""

    name: str
    sql: str  # the column as an SQL identifier
    type: str  # as duckdb has it
    has_decimal_comma: bool = False

    @property
    def is_text(self) -> bool:
        """Tell whether the file leaves open what the cells are."""
        return self.type == "VARCHAR"

    @property
    def is_number(self) -> bool:
        """Tell whether the file says that these are numbers."""
        return bool(_NUMBERS.match(self.type)) and not self.is_nested

    @property
    def is_time(self) -> bool:
        """Tell whether the file says that these are dates or times."""
        return bool(_TIMES.match(self.type))

    @property
    def is_nested(self) -> bool:
        """Tell whether cells hold lists, objects or bytes."""
        return bool(_NESTED.search(self.type))

    @property
    def text(self) -> str:
        """Return SQL for the cell as text."""
        return self.sql if self.is_text else f"CAST({self.sql} AS VARCHAR)"


@dataclass(frozen=True, slots=True)
class OpenTable:
    """A file that SQL can ask, while `open_table` holds it open. Text is stripped, missing cells are NULL."""

    connection: "duckdb.DuckDBPyConnection"
    relation: str
    fields: tuple[Field, ...]
    n_rows: int
    path: Path
    form: Format
    dialect: Dialect | None

    def field(self, name: str) -> Field:
        """Return the column called `name`, which is there."""
        return next(field for field in self.fields if field.name == name)


@contextmanager
def open_table(path: Path, form: Format, threads: int = 1) -> Iterator[OpenTable]:
    """Open the file, checking that every row has as many cells as the header has names.

    Raises:
        BadTable: the file is no table; ragged rows are named by line.
    """
    import duckdb

    with tempfile.TemporaryDirectory(prefix="traind-") as scratch:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": MEMORY,
            "temp_directory": scratch,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        connection = duckdb.connect(config=settings)
        try:
            yield _open(connection, path, form, Path(scratch))
        except duckdb.OutOfMemoryException as error:
            raise BadTable(f"the table does not fit in memory: {error}") from None
        finally:
            connection.close()


def _open(connection: "duckdb.DuckDBPyConnection", path: Path, form: Format, scratch: Path) -> OpenTable:
    plain = scratch / "table"
    dialect = None
    if form.kind != "parquet":
        scan(path, form)
    if form.kind == "jsonl":
        dialect = to_csv(path, form, plain)
        _load_csv(connection, plain, Format("csv"), dialect)
    else:
        plain.symlink_to(path.resolve())  # a path is a glob to duckdb: one of ours holds no * ? [
        if form.kind == "parquet":
            _view_parquet(connection, plain)
        else:
            dialect = sniff(path, form)
            _load_csv(connection, plain, form, dialect)
    described = connection.execute("DESCRIBE t").fetchall()
    names = dialect.names if dialect else tuple(row[0] for row in described)
    check_names(list(names), None)
    decimal_comma = bool(dialect and dialect.has_decimal_comma)
    fields = tuple(
        Field(name, _quoted(row[0]), row[1], has_decimal_comma=decimal_comma)
        for name, row in zip(names, described, strict=True)
    )
    (n_rows,) = connection.execute("SELECT count(*) FROM t").fetchone() or (0,)
    if not n_rows:
        raise BadTable("the table has a header but no rows" if dialect else "the table has no rows")
    return OpenTable(connection, "t", fields, int(n_rows), path, form, dialect)


def _view_parquet(connection: "duckdb.DuckDBPyConnection", plain: Path) -> None:
    import duckdb

    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({_literal(plain)})").fetchall()
    except duckdb.Error as error:
        raise BadTable(f"the file is not a whole Parquet file: {_first_line(error)}") from None
    cells = ", ".join(f"{_present_sql(_quoted(name), kind)} AS {_quoted(name)}" for name, kind, *_ in described)
    connection.execute(f"CREATE VIEW t AS SELECT {cells} FROM read_parquet({_literal(plain)})")


def _present_sql(cell: str, kind: str) -> str:
    """Return SQL for the typed cell; NULL where its value says that it is missing."""
    if kind == "VARCHAR":
        return text_sql(cell)
    return f"CASE WHEN isnan({cell}) THEN NULL ELSE {cell} END" if kind in {"FLOAT", "DOUBLE"} else cell


def _load_csv(connection: "duckdb.DuckDBPyConnection", plain: Path, form: Format, dialect: Dialect) -> None:
    """Load the file's cells as text into the table `t`."""
    import duckdb

    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(dialect.names)))
    query = (
        f"CREATE TABLE t AS SELECT * FROM read_csv({_literal(plain)}, auto_detect=false, header=true, "
        f"skip={dialect.skip}, columns={{{columns}}}, delim={_literal(dialect.delimiter)}, quote='\"', escape='\"', "
        f"compression='{'gzip' if form.is_gzip else 'none'}', encoding='{form.charset}', "
        f"max_line_size={MAX_LINE}, store_rejects=true, rejects_limit={LISTED})"
    )
    try:
        connection.execute(query)
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise BadTable(f"the file cannot be read as CSV: {_first_line(error)}") from None
    rejects = connection.execute(
        "SELECT line, error_type, error_message FROM reject_errors ORDER BY line LIMIT ?", [LISTED]
    ).fetchall()
    if rejects:
        raise _ragged(plain, form, dialect, rejects)
    _clean(connection, [f"c{i}" for i in range(len(dialect.names))])


def _clean(connection: "duckdb.DuckDBPyConnection", cells: list[str]) -> None:
    """Strip the columns that need it: rewriting them all would cost more than reading them did."""
    for start in range(0, len(cells), _AT_ONCE):
        some = cells[start : start + _AT_ONCE]
        counts = ", ".join(f"count_if({is_unclean_sql(cell)})" for cell in some)
        row = connection.execute(f"SELECT {counts} FROM t").fetchone() or ()
        for cell, count in zip(some, row, strict=True):
            if count:
                connection.execute(f"ALTER TABLE t ALTER COLUMN {cell} TYPE VARCHAR USING ({text_sql(cell)})")


def _ragged(plain: Path, form: Format, dialect: Dialect, rejects: list[tuple[int, str, str]]) -> BadTable:
    """Return the error for rows that are no rows."""
    width = len(dialect.names)
    if any(kind == "INVALID ENCODING" for _, kind, _ in rejects):
        return not_decodable(form, b"?", rejects[0][0])
    places = locate(plain, form, dialect, [int(line) - 1 for line, _, _ in rejects], count_blank=True)
    cells = []
    for (record, kind, message), (line, found) in zip(rejects, places, strict=True):
        del record
        if kind in {"MISSING COLUMNS", "TOO MANY COLUMNS"}:
            said = f"{len(found)} cells, where the header has {width} names"
        else:
            said = message.rstrip(".")
        cells.append(BadCell(line, None, dialect.delimiter.join(found)[:200], said))
    more = " and others" if len(cells) > 1 else ""
    return BadTable(f"line {cells[0].line}{more} cannot be read: {cells[0].message}", cells=tuple(cells))


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
    index = next(i for i, field in enumerate(table.fields) if field.name == column)
    if table.dialect is None or table.form.kind == "jsonl":
        field = table.field(column)
        query = f"SELECT {field.text} FROM {table.relation} LIMIT 1 OFFSET ?"
        values = [(table.connection.execute(query, [row]).fetchone() or (None,))[0] for row in first]
        lines = [None if table.dialect is None else row + 1 for row in first]
    else:
        places = locate(table.path, table.form, table.dialect, [row + 1 for row in first])
        lines, values = [line for line, _ in places], [cells[index] for _, cells in places]
    cells = tuple(
        BadCell(line, column, None if value is None else str(value)[:200], message)
        for line, value in zip(lines, values, strict=True)
    )
    where = f"line {lines[0]}" if lines[0] else f"row {first[0] + 1}"
    count = f" ({len(rows):,} such cells)" if len(rows) > 1 else ""
    return BadTable(
        f"{where}, column {column!r}: {cells[0].value!r} is {message}{count}",
        hint="correct the cells, leave them empty if they are missing, or say what kind the column is",
        cells=cells,
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str | Path) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(": ")[2] or str(error).partition("\n")[0]
