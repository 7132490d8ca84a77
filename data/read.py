"""Opens a file as a table that SQL can ask. Only here is duckdb set up; runs in worker processes only.

A text file's cells are taken as text. What they mean is decided by `infer` from all of them and checked again when
`load` loads a column, so that no cell is read as something that it does not say.
"""

# ruff: noqa: S608 - SQL is made of quoted identifiers and literals of ours

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from traind.data.cells import is_plain_sql, number_sql, text_sql
from traind.data.dialect import MAX_LINE, Dialect, check_names, sniff
from traind.data.errors import BadCell, BadTable
from traind.data.formats import Format, open_text
from traind.data.jsonl import to_csv
from traind.data.lines import locate
from traind.data.scan import scan

if TYPE_CHECKING:
    import duckdb

LISTED = 100  # bad cells named in one error
MEMORY_MB = 1_000  # what duckdb may hold before it spills to disk
COLUMN_MEMORY_KB = 256  # more for each column: buffers that are reserved, mostly not touched
_COPY = "-copy"
_AT_ONCE = 256  # columns a query
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
    is_plain: bool = False  # every cell is stripped, and none looks like a number to duckdb alone

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
    def number(self) -> str:
        """Return SQL for the cell as a number, a time in seconds since 1970; NULL where it is none."""
        if self.is_text:
            text = f"replace({self.sql}, ',', '.')" if self.has_decimal_comma else self.sql
            return number_sql(text, is_plain=self.is_plain)
        if self.is_time:
            return f"epoch({self.sql})"
        return f"CAST({self.sql} AS DOUBLE)" if self.is_number else "NULL::DOUBLE"

    @property
    def text(self) -> str:
        """Return SQL for the cell as text."""
        return self.sql if self.is_text else f"CAST({self.sql} AS VARCHAR)"


@dataclass(frozen=True, slots=True)
class OpenTable:
    """A file that SQL can ask, while `open_table` holds it open. Text is stripped, missing cells are NULL."""

    connection: "duckdb.DuckDBPyConnection"
    relation: str
    fields: dict[str, Field]  # by name, in the order of the file
    n_rows: int
    path: Path
    form: Format
    dialect: Dialect | None


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
            "memory_limit": f"{MEMORY_MB}MB",
            "temp_directory": scratch,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        connection = duckdb.connect(config=settings)
        try:
            yield _open(connection, path, form, Path(scratch))
        except duckdb.OutOfMemoryException as error:
            raise BadTable(f"the table does not fit in memory: {_first_line(error)}") from None
        finally:
            connection.close()


def _open(connection: "duckdb.DuckDBPyConnection", path: Path, form: Format, scratch: Path) -> OpenTable:
    plain = scratch / "table"
    dialect = None
    cells: set[str] = set()
    if form.kind != "parquet":
        scan(path, form)
    if form.kind == "jsonl":
        dialect = to_csv(path, form, plain)
        cells = _load_csv(connection, plain, Format("csv"), dialect)
    else:
        plain.symlink_to(path.resolve())  # a path is a glob to duckdb: one of ours holds no * ? [
        if form.kind == "parquet":
            _view_parquet(connection, plain)
        else:
            dialect = sniff(path, form)
            cells = _load_csv(connection, plain, form, dialect)
    described = connection.execute("DESCRIBE t").fetchall()
    names = dialect.names if dialect else tuple(row[0] for row in described)
    check_names(list(names), None)
    decimal_comma = bool(dialect and dialect.has_decimal_comma)
    fields = {
        name: Field(name, _quoted(row[0]), row[1], has_decimal_comma=decimal_comma, is_plain=row[0] in cells)
        for name, row in zip(names, described, strict=True)
    }
    (n_rows,) = connection.execute("SELECT count(*) FROM t").fetchone() or (0,)
    if not n_rows:
        raise BadTable("the table has a header but no rows" if dialect else "the table has no rows")
    return OpenTable(connection, "t", fields, int(n_rows), path, form, dialect)


def _view_parquet(connection: "duckdb.DuckDBPyConnection", plain: Path) -> None:
    import duckdb

    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({_literal(plain)})").fetchall()
    except duckdb.Error as error:
        said = _first_line(error).partition(" in file ")[0]
        raise BadTable(f"the file is not a whole Parquet file: {said}") from None
    cells = ", ".join(f"{_present_sql(_quoted(name), kind)} AS {_quoted(name)}" for name, kind, *_ in described)
    connection.execute(f"CREATE VIEW t AS SELECT {cells} FROM read_parquet({_literal(plain)})")


def _present_sql(cell: str, kind: str) -> str:
    """Return SQL for the typed cell; NULL where its value says that it is missing."""
    if kind == "VARCHAR":
        return text_sql(cell)
    return f"CASE WHEN isnan({cell}) THEN NULL ELSE {cell} END" if kind in {"FLOAT", "DOUBLE"} else cell


def _load_csv(connection: "duckdb.DuckDBPyConnection", plain: Path, form: Format, dialect: Dialect) -> set[str]:
    """Load the file's cells as text into the table `t`; return the columns that are plain."""
    import duckdb

    connection.execute(f"SET memory_limit='{MEMORY_MB + len(dialect.names) * COLUMN_MEMORY_KB // 1_000}MB'")
    try:
        connection.execute(_csv_query(plain, form, dialect))
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        if "invalid state" not in str(error) or plain.name.endswith(_COPY):
            raise BadTable(f"the file cannot be read as CSV: {_first_line(error)}") from None
        copy = _with_equal_line_ends(plain, form)  # the parser takes one kind only, joined files have two
        return _load_csv(connection, copy, Format("csv"), dialect)
    rejects = connection.execute(
        "SELECT line, error_type, error_message FROM reject_errors ORDER BY line LIMIT ?", [LISTED]
    ).fetchall()
    if rejects:
        raise _ragged(plain, form, dialect, rejects)
    return _clean(connection, [f"c{i}" for i in range(len(dialect.names))])


def _csv_query(plain: Path, form: Format, dialect: Dialect) -> str:
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(dialect.names)))
    escape = "\\" if dialect.has_backslash else '"'
    return (
        f"CREATE TABLE t AS SELECT * FROM read_csv({_literal(plain)}, auto_detect=false, header=true, "
        f"skip={dialect.skip}, columns={{{columns}}}, delim={_literal(dialect.delimiter)}, "
        f"quote='\"', escape='{escape}', encoding='{form.charset}', "
        f"compression='{'gzip' if form.is_gzip else 'none'}', "
        f"max_line_size={MAX_LINE}, store_rejects=true, rejects_limit={LISTED})"
    )


def _with_equal_line_ends(plain: Path, form: Format) -> Path:
    """Return a copy of the file in which every line ends alike."""
    copy = plain.with_name(plain.name + _COPY)
    with open_text(plain, form) as file, copy.open("w", encoding="utf-8", newline="\n") as out:
        file.reconfigure(newline=None)
        shutil.copyfileobj(file, out, 1 << 20)
    return copy


def _clean(connection: "duckdb.DuckDBPyConnection", cells: list[str]) -> set[str]:
    """Strip the columns that need it, and return the others: rewriting them all would cost more than reading did."""
    plain = set()
    for start in range(0, len(cells), _AT_ONCE):
        some = cells[start : start + _AT_ONCE]
        counts = ", ".join(f"count_if(NOT {is_plain_sql(cell)})" for cell in some)
        row = connection.execute(f"SELECT {counts} FROM t").fetchone() or ()
        for cell, count in zip(some, row, strict=True):
            if count:
                connection.execute(f"ALTER TABLE t ALTER COLUMN {cell} TYPE VARCHAR USING ({text_sql(cell)})")
            else:
                plain.add(cell)
    return plain


def _ragged(plain: Path, form: Format, dialect: Dialect, rejects: list[tuple[int, str, str]]) -> BadTable:
    """Return the error for rows that are no rows."""
    width = len(dialect.names)
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


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str | Path) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(": ")[2] or str(error).partition("\n")[0]
