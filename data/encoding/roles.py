"""Decides open roles of columns by the target, on training rows: code or quantity, counter or not."""

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from traind.data.columns.distinct import coded
from traind.data.encoding.leaks import Explains
from traind.data.table.arrays import Table
from traind.data.table.schema import Column, Remark, Schema

_WORTH = 0.05  # share of the target that must be explained to count
_ORDERED = 0.5  # a quantity's order must explain this share of what its values as names explain
_COUNTS = 0.2  # share of the target that a counter must explain


def settle(schema: Schema, table: Table, train: NDArray[np.int64]) -> tuple[Schema, Table]:
    """Return the schema and the table with all open columns decided."""
    open_ones = [column for column in schema.columns if column.undecided and column.name in table.columns]
    if not open_ones:
        return schema, table
    explains = Explains(schema, table, train)
    columns, cells, remarks = dict[str, Column](), dict(table.columns), list[Remark]()
    for column in open_ones:
        name = column.name
        if column.undecided == "counter":
            share = explains.by_order(table.numbers(name))
            if share >= _COUNTS:
                columns[name] = replace(column, kind="numeric", role="feature", role_reason="", undecided="")
                message = f"{name!r} counts the rows, and is used: it explains {share:.1%} of the target"
                remarks.append(Remark("counter", message, name))
            else:
                remarks.append(Remark("identifier", f"{name!r} is left out: {column.evidence}", name))
            continue
        codes = coded(table.numbers(name))
        by_name, by_order = explains.by_level(codes), explains.by_order(table.numbers(name))
        if by_name >= _WORTH and by_order < _ORDERED * by_name:
            evidence = f"{column.evidence}: a code, not a quantity, as their order says little about the target"
            columns[name] = replace(column, kind="categorical", evidence=evidence)
            cells[name] = codes
    changed = tuple(columns.get(column.name, column) for column in schema.columns)
    return replace(schema, columns=changed, warnings=(*schema.warnings, *remarks)), Table(cells, table.n_rows)
