"""How a CSV file is written: its delimiter, its names, where its rows begin. Found from its first part, by rules.

Imports neither numpy nor duckdb.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from traind.data.errors import BadCell, BadTable
from traind.data.reading.formats import Format, open_text
from traind.data.reading.number_guess import Guess, guess

if TYPE_CHECKING:
    from _csv import Reader

MAX_COLUMNS = 10_000
MAX_LINE = 4_000_000  # characters; a longer line is no table's
_SAMPLE = 1_000_000  # characters looked at
_SAMPLE_LINES = 100  # lines looked at, where they are long
_SAMPLE_RECORDS = 200  # that tell the delimiter
GUESS_RECORDS = 1_000  # that say which columns hold numbers
_LEAST_RECORDS = 64
_GUESS_CELLS = 200_000
_DELIMITERS = (",", ";", "\t", "|")
_COMMA_NUMBER = re.compile(r"\s*[+-]?\d+,\d+\s*\Z")
_GROUPED_NUMBER = re.compile(r"\s*[+-]?[1-9]\d{0,2}(?:\.\d{3})+\s*\Z")
_POINT_NUMBER = re.compile(r"\s*[+-]?\d*\.\d+\s*\Z")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file is written. `skip` counts blank lines above the header."""

    delimiter: str
    names: tuple[str, ...] = ()
    skip: int = 0
    has_decimal_comma: bool = False
    has_backslash: bool = False  # a quote within quotes is written \\" instead of ""
    guess: Guess = field(default_factory=Guess)  # not made where numbers have a decimal comma
    nested: frozenset[int] = frozenset()  # columns that JSON lines hold lists or objects in


def sniff(path: Path, form: Format) -> Dialect:
    """Return the dialect of a CSV or TSV file that was scanned; raise `BadTable` where it has no usable header."""
    text, is_whole = _sample(path, form)
    lines = list(StringIO(text, newline=""))
    skip = next((i for i, line in enumerate(lines) if line.strip("\r\n")), len(lines))
    body = "".join(lines[skip:])
    if not body.strip():
        raise BadTable("the file is empty", hint="the first line must hold the names of the columns")
    dialect = Dialect(",", has_backslash='\\"' in body and '""' not in body)
    dialect = replace(dialect, delimiter="\t" if form.kind == "tsv" else _delimiter(body, dialect))
    records = _first_records(body, dialect, GUESS_RECORDS, is_whole=is_whole)
    if not records:
        raise BadTable(f"line {skip + 1} begins a row that does not end", hint="is a quote left open?")
    _check_header(body, dialect, skip + 1)
    dialect = replace(dialect, names=_names(records[0], skip + 1), skip=skip)
    if dialect.delimiter != "," and _has_decimal_comma(records[1:]):
        return replace(dialect, has_decimal_comma=True)
    return replace(dialect, guess=guess(records[1 : guessed_from(len(records[0]))], len(records[0])))


def _check_header(body: str, dialect: Dialect, line: int) -> None:
    try:
        next(read_records(StringIO(body, newline=""), dialect, is_strict=True))
    except csv.Error:
        raise BadTable(f"line {line}, the header, cannot be read: text stands behind a closing quote") from None


def guessed_from(width: int) -> int:
    """Return how many records of so many cells a guess is made from."""
    return min(GUESS_RECORDS, max(_LEAST_RECORDS, _GUESS_CELLS // width))


def read_records(lines: Iterable[str], dialect: Dialect, *, is_strict: bool = False) -> "Reader":
    """Return a reader of the lines' records; a strict one raises `csv.Error` where quotes are out of place."""
    csv.field_size_limit(MAX_LINE)
    return csv.reader(
        lines,
        delimiter=dialect.delimiter,
        doublequote=not dialect.has_backslash,
        escapechar="\\" if dialect.has_backslash else None,
        skipinitialspace=True,
        strict=is_strict,
    )


def _sample(path: Path, form: Format) -> tuple[str, bool]:
    """Return the file's first characters, more where its first line is long, and whether they are all of it."""
    with open_text(path, form) as file:
        text = file.read(_SAMPLE)
        while (lines := text.count("\n")) < _SAMPLE_LINES and len(text) < (4 if lines else 1) * MAX_LINE:
            if not (more := file.read(_SAMPLE)):
                break
            text += more
        return text, not file.read(1)


def _delimiter(body: str, dialect: Dialect) -> str:
    """Return the delimiter under which most records have as many fields as the header, more fields preferred."""
    best, best_score = ",", (0.0, 0)
    for delimiter in _DELIMITERS:
        tried = replace(dialect, delimiter=delimiter)
        records = _first_records(body, tried, _SAMPLE_RECORDS, is_whole=False)
        records = records or _first_records(body, tried, _SAMPLE_RECORDS, is_whole=True)
        if not records:
            continue
        counts = Counter(len(record) for record in records[1:]) or Counter({len(records[0]): 1})
        width = len(records[0])
        score = (round(counts[width] / counts.total(), 1), width)
        if width > 1 and score > best_score:
            best, best_score = delimiter, score
    return best


def _first_records(body: str, dialect: Dialect, limit: int, *, is_whole: bool) -> list[list[str]]:
    """Return the first records of the text, without the last one, unless the text is the whole file."""
    reader = read_records(StringIO(body, newline=""), dialect)
    try:
        records = list(islice((record for record in reader if record), limit + 1))
    except csv.Error:
        return []
    return records if is_whole or len(records) > limit else records[:-1]


def _names(header: list[str], line: int) -> tuple[str, ...]:
    """Return the columns' names; a nameless one (an index that was saved along) is called by its position."""
    names = [name.strip() or f"column_{i}" for i, name in enumerate(header, 1)]
    check_names(names, line)
    if all(_is_number(name) for name in names) and not _is_count(names):
        raise BadTable(
            f"line {line} looks like values, not names: {', '.join(names[:5])}",
            hint="the first line must hold the names of the columns",
        )
    return tuple(names)


def check_names(names: list[str], line: int | None) -> None:
    """Raise `BadTable` where two columns share a name, or there are too many."""
    if len(names) > MAX_COLUMNS:
        raise BadTable(f"the table has {len(names):,} columns; at most {MAX_COLUMNS:,} can be read")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        places = [i for i, name in enumerate(names, 1) if name == twice[0]]
        raise BadTable(
            f"two columns are called {twice[0]!r}: numbers {' and '.join(map(str, places[:5]))}",
            hint="give each column a name of its own",
            cells=tuple(BadCell(line, name, name, "this name occurs more than once") for name in twice[:100]),
        )


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _is_count(names: list[str]) -> bool:
    """Tell whether the names are 0, 1, 2 ... or 1, 2, 3 ...: what programs write for columns without names."""
    return names in ([str(i) for i in range(len(names))], [str(i + 1) for i in range(len(names))])


def _has_decimal_comma(records: list[list[str]]) -> bool:
    """Tell whether numbers are written `3,14`: some cells look so, none has a point but to set thousands apart."""
    cells = [cell for record in records for cell in record]
    points = [cell for cell in cells if _POINT_NUMBER.match(cell)]
    return any(map(_COMMA_NUMBER.match, cells)) and all(map(_GROUPED_NUMBER.match, points))
