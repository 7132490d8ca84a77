"""Opens a file as a table that SQL can ask. Only here is duckdb set up; runs in worker processes only.

Columns of a text file that hold nothing but numbers are parsed as such, all other cells are kept as they are written.
What they mean is decided by `infer` from all of them, in Python's terms: `cells` and `dates`.
"""

# ruff: noqa: S608 - SQL is made of quoted identifiers and literals of ours

import re
import tempfile
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from traind.data.errors import BadTable
from traind.data.reading.byte_scan import scan
from traind.data.reading.dialect import Dialect, check_names, sniff
from traind.data.reading.duckdb_csv import first_line, literal, parse
from traind.data.reading.fast_csv import read_plain
from traind.data.reading.formats import Format
from traind.data.reading.jsonl import to_csv
from traind.data.reading.odd_numbers import OddNumbers
from traind.data.table.arrays import Cells, Codes
from traind.data.table.cell_text import number_sql

if TYPE_CHECKING:
    import duckdb

MEMORY_MB = 1_000  # what duckdb may hold before it spills to disk
_COLUMN_MEMORY_KB = 256  # more for each column: buffers that are reserved, mostly not touched
_JSON = "STRUCT"  # what a column of lists or objects of JSON lines is, as duckdb would have it
_NESTED = re.compile(r"\[\]|STRUCT|MAP|UNION|BLOB|ARRAY")
_NUMBERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL")
_ISO = "[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}:[0-9]{2})?"
_EXACT = {"DOUBLE", "TINYINT", "UTINYINT", "SMALLINT", "USMALLINT", "INTEGER", "UINTEGER", "BIGINT", "UBIGINT"}
_TIMES = re.compile(r"DATE|TIMESTAMP")


@dataclass(frozen=True, slots=True)
class Field:
    """A column of an open table: its name in the file, and how SQL says it."""

    name: str
    sql: str  # the column, as an SQL expression
    type: str  # as duckdb has it
    has_decimal_comma: bool = False
    is_few: bool = False  # the first rows have few distinct texts

    @property
    def is_text(self) -> bool:
        """Tell whether the file leaves open what the cells are."""
        return self.type == "VARCHAR"

    @property
    def is_number(self) -> bool:
        """Tell whether all cells are numbers, or missing."""
        return bool(_NUMBERS.match(self.type)) and not self.is_nested

    @property
    def is_exact(self) -> bool:
        """Tell whether a column of numbers is the same as doubles, and spelled the same."""
        return self.type in _EXACT

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
        """Return SQL for the cell as a number, a time in seconds since 1970; NULL where it is none or missing."""
        if self.is_text:
            return number_sql(
                f"replace(replace({self.sql}, '.', '_'), ',', '.')" if self.has_decimal_comma else self.sql
            )
        if self.is_time:
            return f"epoch({self.sql})"
        return f"nullif(CAST({self.sql} AS DOUBLE), 'nan'::DOUBLE)" if self.is_number else "NULL::DOUBLE"

    @property
    def time(self) -> str:
        """Return SQL for the time in a cell of text, in seconds since 1970; NULL where it is not plainly written."""
        return f"CASE WHEN regexp_full_match({self.sql}, '{_ISO}') THEN epoch(TRY_CAST({self.sql} AS TIMESTAMP)) END"

    @property
    def text(self) -> str:
        """Return SQL for the cell as text, as it is written."""
        return self.sql if self.is_text else f"CAST({self.sql} AS VARCHAR)"


@dataclass(frozen=True, slots=True)
class OpenTable:
    """A file that SQL can ask, while `open_table` holds it open; or all its columns, where it was plainly written.

    `plain` are those, as they stand in the file, `held` columns that were read on the way, as what they mean.
    """

    connection: "duckdb.DuckDBPyConnection"
    relation: str
    fields: dict[str, Field]  # by name, in the order of the file
    n_rows: int
    path: Path
    form: Format
    dialect: Dialect | None
    threads: int = 1
    cells_at_once: int = 8_000_000  # read into memory by one query
    held: dict[str, Cells] = field(default_factory=dict)
    levels: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of columns of few texts, as they are written
    plain: dict[str, Cells] = field(default_factory=dict)


@contextmanager
def open_table(
    path: Path,
    form: Format,
    threads: int = 1,
    *,
    as_text: AbstractSet[str] | None = frozenset(),
    memory_mb: int = MEMORY_MB,
    may_be_empty: bool = False,
) -> Iterator[OpenTable]:
    """Open the file, checking that every row has as many cells as the header has names.

    Cells of the columns `as_text` (of all, where it is None) are kept as they are written, numbers or not.

    Raises:
        BadTable: the file is no table; ragged rows are named by line.
    """
    import duckdb

    with tempfile.TemporaryDirectory(prefix="traind-") as scratch:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": f"{memory_mb}MB",
            "temp_directory": scratch,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        connection = duckdb.connect(config=settings)
        try:
            opened = _Opening(connection, path, form, Path(scratch), memory_mb, threads)
            table = opened.table(as_text)
            if not table.n_rows and not may_be_empty:
                raise BadTable("the table has a header but no rows" if table.dialect else "the table has no rows")
            yield table
        except duckdb.OutOfMemoryException as error:
            raise BadTable(f"the table does not fit in memory: {first_line(error)}") from None
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class _Opening:
    """A file on its way to a table."""

    connection: "duckdb.DuckDBPyConnection"
    path: Path
    form: Format
    scratch: Path
    memory_mb: int
    threads: int

    def table(self, as_text: AbstractSet[str] | None) -> OpenTable:
        plain, form = self.scratch / "table", self.form
        if form.kind == "jsonl":
            scan(self.path, form)
            dialect, form = to_csv(self.path, form, plain), Format("csv")
        else:
            plain.symlink_to(self.path.resolve())  # a path is a glob to duckdb: one of ours holds no * ? [
            if form.kind == "parquet":
                _view_parquet(self.connection, plain)
                return self._asked(None)
            dialect = self._sniffed()
        guessed = dialect.guess.numbers if as_text is not None and form.charset != "utf-16" else ()
        numbers = frozenset(place for place in guessed if dialect.names[place] not in (as_text or ()))
        if as_text is not None and self.form.kind != "jsonl":
            found = read_plain(plain, form, dialect, numbers, max_bytes=self.memory_mb * 1e6, threads=self.threads)
            if found:
                return self._held(dialect, found)
        limit = self.memory_mb + len(dialect.names) * _COLUMN_MEMORY_KB // 1_000
        self.connection.execute(f"SET memory_limit='{limit}MB'")
        self._parse(plain, form, dialect, numbers)
        return self._asked(dialect)

    def _held(self, dialect: Dialect, columns: dict[int, Cells]) -> OpenTable:
        """Return the table whose columns these are, by place."""
        types = [("VARCHAR" if isinstance(cells, Codes) else "DOUBLE") for _, cells in sorted(columns.items())]
        fields = _fields(dialect, [(f"c{place}", kind) for place, kind in enumerate(types)])
        plain = {name: columns[place] for place, name in enumerate(dialect.names)}
        first = columns[0]
        n_rows = len(first.codes if isinstance(first, Codes) else first)
        return OpenTable(
            self.connection, "t", fields, n_rows, self.path, self.form, dialect, self.threads, plain=plain
        )

    def _asked(self, dialect: Dialect | None) -> OpenTable:
        """Return the table that `t` of the connection is."""
        fields = _fields(dialect, [row[:2] for row in self.connection.execute("DESCRIBE t").fetchall()])
        (n_rows,) = self.connection.execute("SELECT count(*) FROM t").fetchone() or (0,)
        return OpenTable(self.connection, "t", fields, int(n_rows), self.path, self.form, dialect, self.threads)

    def _parse(self, plain: Path, form: Format, dialect: Dialect, numbers: frozenset[int]) -> None:
        """Parse the file while its bytes are looked at, one after the other where there is one thread for both."""
        has_whole = bool(numbers & dialect.guess.whole)
        oddities = OddNumbers(dialect.delimiter, has_whole=has_whole) if numbers else None
        if self.threads == 1 or form.is_gzip:
            scan(plain, form, oddities)
            parse(self.connection, plain, form, dialect, _without(oddities, numbers, dialect))
            return
        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(scan, plain, form, oddities)
            try:
                parse(self.connection, plain, form, dialect, numbers)
            finally:
                looking.result()  # what it finds wrong comes first
        if (left := _without(oddities, numbers, dialect)) != numbers:
            parse(self.connection, plain, form, dialect, left)

    def _sniffed(self) -> Dialect:
        try:
            return sniff(self.path, self.form)
        except Exception:
            scan(self.path, self.form)  # if it is no text at all, that is what is to be said
            raise


def _fields(dialect: Dialect | None, described: Sequence[tuple[str, str]]) -> dict[str, Field]:
    """Return the columns of SQL, each with its type, by their names in the file."""
    names = dialect.names if dialect else tuple(column for column, _ in described)
    check_names(list(names), None)
    has_comma = bool(dialect and dialect.has_decimal_comma)
    few = dialect.guess.few if dialect else frozenset()
    nested = dialect.nested if dialect else frozenset()
    return {
        name: Field(name, _quoted(column), kind, has_decimal_comma=has_comma, is_few=place in few)
        if place not in nested
        else Field(name, f"nullif({_quoted(column)}, '')", _JSON)
        for place, (name, (column, kind)) in enumerate(zip(names, described, strict=True))
    }


def _without(oddities: OddNumbers | None, numbers: frozenset[int], dialect: Dialect) -> frozenset[int]:
    """Return those of the columns that may be parsed as numbers although the file holds these oddities."""
    if oddities is None or oddities.has_odd_numbers:
        return frozenset()
    return numbers - dialect.guess.whole if oddities.has_leading_zeros else numbers


def _view_parquet(connection: "duckdb.DuckDBPyConnection", plain: Path) -> None:
    import duckdb

    try:
        connection.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet({literal(plain)})")
    except duckdb.Error as error:
        said = re.split(" (?:in|at end of) file ", first_line(error))[0]
        raise BadTable(f"the file is not a whole Parquet file: {said}") from None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
