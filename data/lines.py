"""Finds on which line of a CSV file a record stands: asked only when a cell has to be named."""

import csv
from collections.abc import Sequence
from pathlib import Path

from traind.data.dialect import Dialect, read_records
from traind.data.formats import Format, open_text


def locate(
    path: Path, form: Format, dialect: Dialect, records: Sequence[int], *, count_blank: bool = False
) -> list[tuple[int, list[str]]]:
    """Return the line (from 1) and the cells of each record; record 0 is the header.

    Blank lines are no records, unless they are counted, or the table has one column.
    """
    wanted = set(records)
    found: dict[int, tuple[int, list[str]]] = {}
    is_counting = count_blank or len(dialect.names) == 1
    with open_text(path, form) as file:
        for _ in range(dialect.skip):
            file.readline()
        reader = read_records(file, dialect)
        record, line = 0, 1
        while len(found) < len(wanted):
            try:
                cells = next(reader, None)
            except csv.Error:  # a quote that opens a field and never closes: the rest is one cell
                cells = []
                found |= dict.fromkeys(wanted - found.keys(), (line + dialect.skip, cells))
            if cells is None:
                break
            if record in wanted:
                found[record] = (line + dialect.skip, cells)
            record += bool(cells) or is_counting
            line = reader.line_num + 1
    return [found.get(record, (record + 1, [])) for record in records]
