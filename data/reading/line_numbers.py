"""Finds the line of a row in a CSV file, when an error has to name it."""

import csv
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from traind.data.reading.dialect import Dialect, read_records
from traind.data.reading.formats import Format, open_text


def locate(path: Path, form: Format, dialect: Dialect, rows: Sequence[int]) -> list[tuple[int, list[str]]]:
    """Return the line (from 1) and the cells of each row, counted from 0 below the header."""
    wanted, found = set(rows), dict[int, tuple[int, list[str]]]()
    with open_text(path, form) as file:
        for _ in range(dialect.first):
            file.readline()
        reader = read_records(file, dialect)
        row, line = 0, 1
        while len(found) < len(wanted):
            try:
                cells = next(reader, None)
            except csv.Error:  # a quote that opens a field and never closes: the rest is one cell
                break
            if cells is None:
                break
            if row in wanted:
                found[row] = (line + dialect.first, cells)
            row += bool(cells) or len(dialect.names) == 1
            line = reader.line_num + 1
    return [found.get(row, (row + dialect.first + 1, [])) for row in rows]


class RowLines:
    """The line of each row of a CSV file; the file is read again at first use."""

    def __init__(self, path: Path, form: Format, dialect: Dialect) -> None:
        self._file = path, form, dialect

    @cached_property
    def lines(self) -> list[int]:
        """Return the line of each row, in order."""
        path, form, dialect = self._file
        with open_text(path, form) as file:
            for _ in range(dialect.first):
                file.readline()
            reader = read_records(file, dialect)
            ends = [(reader.line_num, bool(record) or len(dialect.names) == 1) for record in reader]
        begins = [1, *(end + 1 for end, _ in ends)]
        return [begin + dialect.first for begin, (_, is_row) in zip(begins, ends, strict=False) if is_row]


class Lines(Sequence[int]):
    """The lines of some rows."""

    def __init__(self, file: RowLines, rows: range) -> None:
        self._file = file
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        return self._file.lines[self._rows[place]]
