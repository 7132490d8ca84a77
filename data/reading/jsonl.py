"""JSON lines: one object a line. Turned into CSV on disk, so that one reader serves both, in bounded memory."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from traind.data.errors import BadCell, BadTable
from traind.data.reading.dialect import MAX_LINE, Dialect, check_names, guessed_from
from traind.data.reading.formats import Format, open_bytes
from traind.data.reading.number_guess import guess
from traind.data.table.cell_text import text_of

LISTED = 100  # bad lines named in one error


def to_csv(path: Path, form: Format, out: Path) -> Dialect:
    """Write the objects as CSV, keys as columns in the order of their first appearance; an absent key is missing.

    A column that holds lists or objects more often than plain values is written as JSON, and named as nested.

    Raises:
        BadTable: lines that are not objects, or lists and objects in a column of plain values, each named.
    """
    names: dict[str, None] = {}
    for _, row in objects(path, form):
        names.update(dict.fromkeys(row))
    if not names:
        raise BadTable("the file holds no rows", hint="one JSON object a line is expected")
    check_names([name.strip() for name in names], None)
    odd: list[BadCell] = []
    counts: Counter[str] = Counter()
    first: list[list[str]] = []
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(names)
        for line, row in objects(path, form):
            record = [_cell(row.get(name), name, line, odd, counts) for name in names]
            writer.writerow(record)
            if len(first) < guessed_from(len(names)):
                first.append(record)
    nested = _nested(path, form, counts)
    bad = [cell for cell in odd if cell.column not in nested]
    if bad:
        raise BadTable(f"line {bad[0].line}, column {bad[0].column!r}: {bad[0].message}", cells=tuple(bad[:LISTED]))
    places = frozenset(place for place, name in enumerate(names) if name in nested)
    return Dialect(",", tuple(name.strip() for name in names), guess=guess(first, len(names)), nested=places)


def _nested(path: Path, form: Format, counts: Counter[str]) -> set[str]:
    """Return the columns that hold lists or objects, so often as `counts` says, at least as often as plain values."""
    plain: Counter[str] = Counter()
    if counts:
        for _, row in objects(path, form):
            plain.update(name for name in counts if not isinstance(row.get(name), list | dict | None))
    return {name for name, count in counts.items() if count >= plain[name]}


def objects(path: Path, form: Format) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each line's number and object; blank lines are passed over."""
    decoder = msgspec.json.Decoder(dict[str, Any])
    with open_bytes(path, form) as file:
        line = 0
        while data := file.readline(MAX_LINE + 1):
            line += 1
            if len(data) > MAX_LINE:
                raise _bad(line, f"longer than {MAX_LINE:,} bytes")
            if line == 1:
                data = data.removeprefix(b"\xef\xbb\xbf")
            if not data.strip():
                continue
            try:
                yield line, decoder.decode(data)
            except msgspec.ValidationError:
                raise _bad(line, "not an object") from None
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise _bad(line, str(error)) from None


def locate_objects(path: Path, form: Format, records: Sequence[int]) -> list[int]:
    """Return the line of each record, counted from 0."""
    wanted = set(records)
    lines = {record: line for record, (line, _) in enumerate(objects(path, form)) if record in wanted}
    return [lines[record] for record in records]


def _bad(line: int, message: str) -> BadTable:
    return BadTable(f"line {line} is not a row: {message}", cells=(BadCell(line, None, None, message),))


def written(value: Any) -> str:
    """Return a list or an object as JSON."""
    return msgspec.json.encode(value).decode()


def _cell(value: Any, name: str, line: int, odd: list[BadCell], counts: Counter[str]) -> str:
    """Return a cell of CSV. One that is a list or an object is counted, and of each column the first are kept."""
    try:
        return text_of(value) or ""
    except TypeError as error:
        counts[name] += 1
        if counts[name] <= LISTED:
            odd.append(BadCell(line, name, written(value)[:200], str(error)))
        return written(value)
