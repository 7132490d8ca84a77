"""JSON lines: one object a line, as rows of text, each value as a CSV file would hold it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from traind.data.errors import BadCell, BadTable
from traind.data.limits import CELLS_A_BYTE, LEAST_CELLS
from traind.data.reading.dialect import MAX_LINE, check_names
from traind.data.reading.formats import Format, open_bytes
from traind.data.table.cell_text import text_of

LISTED = 100  # bad lines named in one error


class Rows:
    """The objects of a file as rows of text, with what no cell holds kept apart: lists and objects."""

    def __init__(self) -> None:
        self.keys: list[str] = []  # of the objects so far, in the order of their first appearance
        self._odd: list[BadCell] = []
        self._nested: Counter[str] = Counter()
        self._plain: Counter[str] = Counter()

    def read(self, path: Path, form: Format, at_once: int) -> Iterator[list[list[str | None]]]:
        """Yield the rows, so many at a time, as wide as there are keys so far; absent ones are missing values.

        Raises:
            BadTable: a line is no object, or the table would be nearly all absent keys, or of no keys at all.
        """
        found, seen, n_rows, n_empty = objects(path, form), dict[str, None](), 0, 0
        most = max(LEAST_CELLS, CELLS_A_BYTE * path.stat().st_size)
        while some := list(islice(found, at_once)):
            n_rows += len(some)
            for _, row in some:
                seen.update(dict.fromkeys(row))
            if n_rows * len(seen) > most:
                message = f"the table has more than {most:,} cells, nearly all of them absent keys"
                raise BadTable(message, hint="write the keys that all rows share")
            if not seen:
                n_empty += len(some)
                continue
            if len(seen) > len(self.keys):
                self.keys = list(seen)
                check_names([name.strip() for name in self.keys], None)
            if n_empty:
                yield [[None] * len(self.keys)] * n_empty
                n_empty = 0
            yield [[self._cell(row.get(key), key, line) for key in self.keys] for line, row in some]
        if not seen:
            raise BadTable("the file holds no rows", hint="one JSON object a line is expected")

    def nested(self) -> set[str]:
        """Return the keys that hold lists or objects at least as often as plain values.

        Raises:
            BadTable: lists and objects in a column of plain values, each named.
        """
        found = {key for key, n in self._nested.items() if n >= self._plain[key]}
        bad = [cell for cell in self._odd if cell.column not in found]
        if bad:
            message = f"line {bad[0].line}, column {bad[0].column!r}: {bad[0].message}"
            raise BadTable(message, cells=tuple(bad[:LISTED]))
        return found

    def _cell(self, value: Any, key: str, line: int) -> str | None:
        if value is None:
            return None
        try:
            text = value if type(value) is str else text_of(value)
        except TypeError as error:
            self._nested[key] += 1
            if self._nested[key] <= LISTED:
                self._odd.append(BadCell(line, key, written(value)[:200], str(error)))
            return written(value)
        self._plain[key] += 1
        return text


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
                yield line, decoder.decode(data if form.charset == "utf-8" else data.decode(form.charset))
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
