"""Parses a CSV file into a table of SQL, in one pass where the guess of its number columns holds.

Cells of a column that was not guessed stay as they are written. Called by `read` alone.
"""

# ruff: noqa: S608 - SQL is made of quoted identifiers and literals of ours

import shutil
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING

from traind.data.errors import BadCell, BadTable
from traind.data.reading.dialect import MAX_LINE, Dialect
from traind.data.reading.formats import Format, open_text
from traind.data.reading.line_numbers import locate

if TYPE_CHECKING:
    import duckdb

LISTED = 100  # bad rows named in one error
_BUFFER_BYTES = 16 << 20  # several lines must fit
_COPY = "-copy"
_GUESSES = 2  # readings that are tried with some columns parsed as numbers


def parse(
    connection: "duckdb.DuckDBPyConnection",
    plain: Path,
    form: Format,
    dialect: Dialect,
    numbers: AbstractSet[int],
) -> None:
    """Load the file's cells into the table `t` of columns `c0`, `c1` ..., doubles or text.

    Raises:
        BadTable: rows that are no rows, each named by line.
    """
    import duckdb

    for attempt in range(_GUESSES + 1):
        parsed = numbers if attempt < _GUESSES else frozenset()
        connection.execute("DROP TABLE IF EXISTS reject_errors")  # of a reading before
        connection.execute("DROP TABLE IF EXISTS reject_scans")
        try:
            connection.execute(_query(plain, form, dialect, parsed))
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            if "invalid state" not in str(error) or plain.name.endswith(_COPY):
                raise BadTable(f"the file cannot be read as CSV: {first_line(error)}") from None
            copy = _with_equal_line_ends(plain, form)  # the parser takes one kind only, joined files have two
            return parse(connection, copy, Format("csv"), dialect, numbers)
        wrong = _wrong_guesses(connection, plain, form, dialect)
        if not wrong:
            return None
        numbers -= wrong
    raise AssertionError("a reading without a guess has no wrong one")


def _query(plain: Path, form: Format, dialect: Dialect, numbers: AbstractSet[int]) -> str:
    types = ("DOUBLE" if place in numbers else "VARCHAR" for place in range(len(dialect.names)))
    columns = ", ".join(f"'c{place}': '{kind}'" for place, kind in enumerate(types))
    missing = ", ".join(map(literal, ("", *dialect.guess.missing)))
    return (
        f"CREATE OR REPLACE TABLE t AS SELECT * FROM read_csv({literal(plain)}, auto_detect=false, header=true, "
        f"skip={dialect.skip}, columns={{{columns}}}, delim={literal(dialect.delimiter)}, nullstr=[{missing}], "
        f"quote='\"', escape='{chr(92) if dialect.has_backslash else chr(34)}', encoding='{form.charset}', "
        f"compression='{'gzip' if form.is_gzip else 'none'}', max_line_size={MAX_LINE}, "
        f"buffer_size={_BUFFER_BYTES}, store_rejects=true, rejects_limit={LISTED})"
    )


def _wrong_guesses(
    connection: "duckdb.DuckDBPyConnection", plain: Path, form: Format, dialect: Dialect
) -> frozenset[int]:
    """Return the columns that were parsed as numbers and hold something else; raise `BadTable` for ragged rows."""
    query = "SELECT line, error_type, error_message, column_idx FROM reject_errors ORDER BY line"
    rejects = connection.execute(query).fetchall()
    ragged = {line: (kind, message) for line, kind, message, _ in reversed(rejects) if kind != "CAST"}
    if ragged:
        raise _ragged(plain, form, dialect, sorted((line, *said) for line, said in ragged.items())[:LISTED])
    return frozenset(column - 1 for *_, column in rejects)


def _with_equal_line_ends(plain: Path, form: Format) -> Path:
    """Return a copy of the file in which every line ends alike."""
    copy = plain.with_name(plain.name + _COPY)
    with open_text(plain, form) as file, copy.open("w", encoding="utf-8", newline="\n") as out:
        file.reconfigure(newline=None)
        shutil.copyfileobj(file, out, 1 << 20)
    return copy


def _ragged(plain: Path, form: Format, dialect: Dialect, rejects: list[tuple[int, str, str]]) -> BadTable:
    """Return the error for rows that are no rows."""
    width = len(dialect.names)
    places = locate(plain, form, dialect, [int(line) - 1 for line, _, _ in rejects], count_blank=True)
    cells = []
    for (_, kind, message), (line, found) in zip(rejects, places, strict=True):
        if kind in {"MISSING COLUMNS", "TOO MANY COLUMNS"}:
            said = f"{len(found)} cells, where the header has {width} names"
        elif kind == "UNQUOTED VALUE":
            said = "a quote is left open, or text stands behind a closing one"
        else:
            said = message.rstrip(".")
        cells.append(BadCell(line, None, dialect.delimiter.join(found)[:200], said))
    more = " and others" if len(cells) > 1 else ""
    header = ", ".join(map(repr, dialect.names[:3])) + (", ..." if width > 3 else "")
    return BadTable(
        f"line {cells[0].line}{more} cannot be read: {cells[0].message}",
        hint=f"the header, line {dialect.skip + 1}, was read as {header}",
        cells=tuple(cells),
    )


def literal(text: str | Path) -> str:
    """Return the text as an SQL literal."""
    return "'" + str(text).replace("'", "''") + "'"


def first_line(error: Exception) -> str:
    """Return what an error of duckdb says, without its kind and what it shows of the query."""
    return str(error).partition("\n")[0].partition(": ")[2] or str(error).partition("\n")[0]
