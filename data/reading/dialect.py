"""The dialect of a CSV file: delimiter, names, first row. Inferred from its first part, by rules.

Imports neither numpy nor polars.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from traind.data.errors import BadCell, BadTable
from traind.data.limits import COLUMNS, HEADER_CHARS, LINE_CHARS, NAME_CHARS, clipped
from traind.data.reading.formats import Format, open_text

if TYPE_CHECKING:
    from _csv import Reader

MAX_COLUMNS, MAX_LINE = COLUMNS, LINE_CHARS
_SAMPLE = 1_000_000  # characters to infer from
_SAMPLE_LINES = 20  # lines to infer from, if they are long
_SAMPLE_RECORDS = 200  # records to infer the delimiter from
_DELIMITERS = (",", ";", "\t", "|")
_SEP_LINE = re.compile(r"(?i)\ufeff?\"?sep=([^\r\n])\"?\r?\n?\Z")  # Excel's


@dataclass(frozen=True, slots=True)
class Dialect:
    """The dialect of a CSV file. `skip` counts the lines above the header, `first` those above the first row."""

    delimiter: str
    names: tuple[str, ...] = ()
    skip: int = 0
    first: int = 1
    quote: str | None = '"'
    has_backslash: bool = False  # a quote within quotes is written \\" instead of ""
    comment: str | None = None
    has_header: bool = True


def sniff(path: Path, form: Format) -> Dialect:
    """Return the dialect of a CSV or TSV file; raise `BadTable` where it has no usable header."""
    options = form.options
    text, is_whole = _sample(path, form)
    lines = list(StringIO(text, newline=""))
    skip = options.skip
    delimiter = options.delimiter
    if skip < len(lines) and (said := _SEP_LINE.match(lines[skip])):
        delimiter, skip = delimiter or said[1], skip + 1
    skip += next((i for i, line in enumerate(lines[skip:]) if _is_content(line, options.comment)), len(lines))
    body = "".join(lines[skip:])
    if not body.strip():
        raise BadTable("the file is empty", hint="the first line must hold the names of the columns")
    quote = '"' if options.quote is None else options.quote or None
    has_backslash = quote == '"' and '\\"' in body and '""' not in body
    dialect = Dialect("\t", skip=skip, quote=quote, has_backslash=has_backslash, comment=options.comment)
    if form.kind == "csv" or delimiter:
        dialect = replace(dialect, delimiter=delimiter or _delimiter(body, dialect))
    return _with_names(body, dialect, is_whole=is_whole, has_header=options.header)


def _with_names(body: str, dialect: Dialect, *, is_whole: bool, has_header: bool) -> Dialect:
    line = dialect.skip + 1
    if not _first_records(body, dialect, _SAMPLE_RECORDS, is_whole=is_whole):
        raise BadTable(f"line {line} begins a row that does not end", hint="is a quote left open?")
    reader = read_records(StringIO(body, newline=""), dialect, is_strict=True)
    try:
        header = next(reader)
    except csv.Error:
        raise BadTable(f"line {line}, the header, cannot be read: text stands behind a closing quote") from None
    if not has_header:
        names = tuple(f"column_{i}" for i in range(1, len(header) + 1))
        check_names(list(names), None)
        return replace(dialect, names=names, first=dialect.skip, has_header=False)
    first = dialect.skip + reader.line_num
    if dialect.delimiter == " " and len(next(iter(_rows_after(reader)), ())) == len(header) + 1:
        header = ["", *header]
    return replace(dialect, names=_names(header, line), first=first)


def _rows_after(reader: "Reader") -> Iterator[list[str]]:
    """Yield the rows that can be read."""
    with suppress(csv.Error):
        yield from filter(None, reader)


def _is_content(line: str, comment: str | None) -> bool:
    return bool(line.strip("\r\n\ufeff")) and not (comment and line.startswith(comment))


def without_comments(lines: Iterable[str], comment: str | None) -> Iterator[str]:
    """Yield the lines, comments as blank ones, so that line numbers stay right."""
    for line in lines:
        yield "\n" if comment and line.startswith(comment) else line


def read_records(lines: Iterable[str], dialect: Dialect, *, is_strict: bool = False) -> "Reader":
    """Return a reader of the lines' records; a strict one raises `csv.Error` where quotes are out of place."""
    csv.field_size_limit(MAX_LINE)
    lines = without_comments(lines, dialect.comment) if dialect.comment else lines
    return csv.reader(
        (line.rstrip(" \r\n") + "\n" for line in lines) if dialect.delimiter == " " else lines,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote or '"',
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        doublequote=not dialect.has_backslash,
        escapechar="\\" if dialect.has_backslash else None,
        skipinitialspace=True,  # also makes several spaces one delimiter
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
    return " " if best_score[1] == 0 and _has_spaces_between(body, replace(dialect, delimiter=" ")) else best


def _has_spaces_between(body: str, dialect: Dialect) -> bool:
    """Return whether spaces separate cells: rows are equally wide, and a column holds numbers.

    Rows may have one cell more than the header, in front: R names rows so.
    """
    header, *rows = _first_records(body, dialect, _SAMPLE_RECORDS, is_whole=True) or [[]]
    width = max(len(header), *map(len, rows[:1])) if rows else 0
    if width - len(header) > 1 or len(header) < 2 or any(len(row) != width for row in rows[:-1] or rows):
        return False
    return any(all(map(_is_number, cells)) for cells in zip(*rows, strict=False))


def _first_records(body: str, dialect: Dialect, limit: int, *, is_whole: bool) -> list[list[str]]:
    """Return the first records of the text, without the last one, unless the text is the whole file."""
    reader = read_records(StringIO(body, newline=""), dialect)
    try:
        records = list(islice((record for record in reader if record), limit + 1))
    except csv.Error:
        return []
    return records if is_whole or len(records) > limit else records[:-1]


def _names(header: list[str], line: int) -> tuple[str, ...]:
    """Return the columns' names; a nameless column (such as a saved index) is called by its position."""
    names = [name.strip("\ufeff \t\r\n") or f"column_{i}" for i, name in enumerate(header, 1)]
    if all(_is_number(name) for name in names) and not _is_count(names):
        raise BadTable(
            f"line {line} looks like values, not names: {clipped(', '.join(names[:5]))}",
            hint='the first line must hold the names of the columns; if it has none, say "header": false',
        )
    check_names(names, line)
    return tuple(names)


def check_names(names: list[str], line: int | None) -> None:
    """Raise `BadTable` where two columns share a name, or there are too many."""
    if len(names) > MAX_COLUMNS:
        raise BadTable(f"the table has {len(names):,} columns; at most {MAX_COLUMNS:,} can be read")
    long = next((place for place, name in enumerate(names) if len(name) > NAME_CHARS), None)
    if long is not None:
        said = f"has a name of {len(names[long]):,} characters: {clipped(names[long])!r}"
        raise BadTable(f"column {long + 1} {said}; at most {NAME_CHARS:,} can be read")
    if sum(map(len, names)) > HEADER_CHARS:
        raise BadTable(f"the names of the columns have more than {HEADER_CHARS:,} characters together")
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
    """Return whether the names are 0, 1, 2 ... or 1, 2, 3 ..., which programs write for nameless columns."""
    return names in ([str(i) for i in range(len(names))], [str(i + 1) for i in range(len(names))])
