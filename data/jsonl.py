"""JSON lines: one object a line. Turned into CSV on disk, so that one reader serves both, in bounded memory."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from traind.data.cells import text_of
from traind.data.dialect import MAX_LINE, Dialect, check_names, guessed_from
from traind.data.errors import BadCell, BadTable
from traind.data.formats import Format, open_bytes
from traind.data.guess import guess

LISTED = 100  # bad lines named in one error


def to_csv(path: Path, form: Format, out: Path) -> Dialect:
    """Write the objects as CSV, keys as columns in the order of their first appearance; an absent key is missing.

    Raises:
        BadTable: lines that are not objects of plain values, each named.
    """
    names: dict[str, None] = {}
    for _, row in objects(path, form):
        names.update(dict.fromkeys(row))
    if not names:
        raise BadTable("the file holds no rows", hint="one JSON object a line is expected")
    check_names([name.strip() for name in names], None)
    bad: list[BadCell] = []
    first: list[list[str]] = []
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(names)
        for line, row in objects(path, form):
            record = [_cell(row.get(name), name, line, bad) for name in names]
            writer.writerow(record)
            if len(first) < guessed_from(len(names)):
                first.append(record)
            if len(bad) >= LISTED:
                break
    if bad:
        raise BadTable(f"line {bad[0].line}, column {bad[0].column!r}: {bad[0].message}", cells=tuple(bad))
    return Dialect(",", tuple(name.strip() for name in names), guess=guess(first, len(names)))


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


def _cell(value: Any, name: str, line: int, bad: list[BadCell]) -> str:
    try:
        return text_of(value) or ""
    except TypeError as error:
        bad.append(BadCell(line, name, str(value)[:200], str(error)))
        return ""
