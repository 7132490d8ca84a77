"""What is counted in each column of an open table, over all rows: the facts that inference decides by.

A column of numbers is counted by numpy; one of few texts by its distinct texts, each read once, in Python; the rest
by SQL. Columns that were read on the way are held by the table, for whoever loads them.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from traind.data.columns.distinct import coded, count_distinct
from traind.data.columns.queries import (
    Counts,
    blocks,
    estimate_distinct,
    read_levels,
    read_numbers,
    read_written,
    survey,
)
from traind.data.reading.open_table import Field, OpenTable
from traind.data.table.arrays import Cells, Codes, Numbers, tidy
from traind.data.table.cell_text import number_of
from traind.data.threads import mapped

FEW = 2_000  # distinct values up to which they are all counted
FEW_ROWS = 5_000  # of a table whose texts are read into memory to be counted
TEXTS_AT_ONCE = 1_000_000  # of those
SAMPLE = 1_000  # rows whose distinct texts are looked at, where not all are
_FEW_FRACTIONS = 50  # distinct values up to which those of a column of fractions are counted
_LEADING_ZERO = re.compile(r"0[0-9]+\Z")
Levels = tuple[tuple[str, int], ...]
Keep = Callable[[str, Cells], None]


@dataclass(frozen=True, slots=True)
class Profile:
    """Counts of one column. `levels` are its most frequent texts with their counts, all of them if `is_counted`."""

    field: Field
    n_rows: int
    missing: int
    numbers: int = 0
    no_numbers: int = 0  # words such as "none" and "-"
    integers: int = 0
    infinite: int = 0
    leading_zeros: int = 0
    round_numbers: int = 0  # divisible by ten, where the levels are counted
    distinct: int = 0
    smallest: float | None = None  # of the finite
    largest: float | None = None
    shortest: int = 0  # text, in bytes
    longest: int = 0
    levels: Levels = ()
    is_counted: bool = False

    @property
    def name(self) -> str:
        """Return the column's name."""
        return self.field.name

    @property
    def present(self) -> int:
        """Return how many cells are not missing."""
        return self.n_rows - self.missing


def profile(table: OpenTable, keep: Keep) -> dict[str, Profile]:
    """Return the profile of every column, by name; `keep` gets the cells of each that were read on the way."""
    fields = list(table.fields.values())
    found: dict[str, Profile] = {}
    numbers = [field for field in fields if field.is_number and field.is_exact]
    for some in blocks(table, numbers):
        read = list(zip(some, read_numbers(table, some), strict=True))
        for facts in mapped(lambda one: _of_numbers(*one), read, table.threads if table.n_rows > FEW_ROWS else 1):
            found[facts.name] = facts
        for field, values in read:
            keep(field.name, values)
    texts = [field for field in fields if field.is_text]
    is_read = bool(table.plain) or table.n_rows <= FEW_ROWS
    for some in blocks(table, texts, TEXTS_AT_ONCE if is_read else None):
        found |= _of_read(table, some, keep) if is_read else _of_many_rows(table, some)
    others = [field for field in fields if field.name not in found]
    for some in blocks(table, others):
        for field, counts in zip(some, survey(table, some), strict=True):
            found[field.name] = _of_counts(table, field, counts)
    return {field.name: found[field.name] for field in fields}


def _of_read(table: OpenTable, fields: Sequence[Field], keep: Keep) -> dict[str, Profile]:
    """Count texts that are in memory."""
    found = {}
    for field, written in zip(fields, read_written(table, fields), strict=True):
        counts = np.bincount(written.codes + 1, minlength=len(written.levels) + 1)[1:]
        levels, meaning = tidy(written.levels, counts.tolist())
        codes = Codes(np.append(meaning, np.int32(-1))[written.codes], tuple(levels))
        first = np.bincount(codes.codes[:SAMPLE] + 1, minlength=len(levels) + 1)[1:].tolist()
        some = tuple((text, n) for text, n in zip(levels, first, strict=True) if n)
        found[field.name] = _of_levels(field, table.n_rows, levels, some)
        keep(field.name, codes)
    return found


def _of_many_rows(table: OpenTable, fields: Sequence[Field]) -> dict[str, Profile]:
    """Count texts by SQL, and leave columns of many distinct ones to the survey."""
    found = {}
    unknown = [field for field in fields if not field.is_few]
    about = dict(zip((field.name for field in unknown), estimate_distinct(table, unknown), strict=True))
    for field in fields:
        if about.get(field.name, 0) > FEW:
            continue
        written = read_levels(table, field)
        if len(written) <= 2 * FEW:
            table.levels[field.name] = tuple(text for text, _ in written if text is not None)
            levels, _ = tidy([text for text, _ in written], [count for _, count in written])
            found[field.name] = _of_levels(field, table.n_rows, levels)
    return found


def _of_levels(field: Field, n_rows: int, levels: dict[str, int], first: Levels = ()) -> Profile:
    """Count a column by its distinct texts; `first` are those of some rows, where there are many."""
    present = sum(levels.values())
    known = [(text, n, _number(field, text)) for text, n in levels.items()]
    numbers = [(text, n, x) for text, n, x in known if x is not None and not math.isnan(x)]
    finite = [x for _, _, x in numbers if math.isfinite(x)]
    integers = sum(n for _, n, x in numbers if x.is_integer())
    n_numbers = sum(n for _, n, _ in numbers)
    lengths = [len(text.encode()) for text in levels]
    is_counted = len(levels) <= FEW
    shown = tuple(levels.items()) if is_counted else first
    return Profile(
        field=field,
        n_rows=n_rows,
        missing=n_rows - present,
        numbers=n_numbers,
        no_numbers=sum(n for _, n, x in known if x is not None and math.isnan(x)),
        integers=integers,
        infinite=sum(n for _, n, x in numbers if math.isinf(x)),
        leading_zeros=sum(n for text, n, _ in numbers if _LEADING_ZERO.match(text)) if integers == n_numbers else 0,
        round_numbers=sum(n for text, n, _ in numbers if text.endswith("0")),
        distinct=len(levels),
        smallest=min(finite, default=None),
        largest=max(finite, default=None),
        shortest=min(lengths, default=0),
        longest=max(lengths, default=0),
        levels=shown,
        is_counted=is_counted,
    )


def _number(field: Field, text: str) -> float | None:
    if not field.has_decimal_comma:
        return number_of(text)
    return None if "." in text else number_of(text.replace(",", "."))  # 1.500 may be a thousand and a half


def _of_numbers(field: Field, values: Numbers) -> Profile:
    """Count a column of numbers."""
    is_missing = np.isnan(values)
    present = values[~is_missing] if is_missing.any() else values
    is_finite = np.isfinite(present)
    finite = present if is_finite.all() else present[is_finite]
    smallest, largest = (float(finite.min()), float(finite.max())) if len(finite) else (None, None)
    integers = int(np.count_nonzero(finite == np.trunc(finite)))
    distinct = count_distinct(present)
    is_counted = distinct <= (FEW if integers == len(present) else _FEW_FRACTIONS)
    levels = _levels(present if is_counted else present[:SAMPLE]) if is_counted or integers == len(present) else ()
    lengths = [len(f"{x:.0f}") for x in (smallest, largest) if x is not None] or [0]
    return Profile(
        field=field,
        n_rows=len(values),
        missing=len(values) - len(present),
        numbers=len(present),
        integers=integers,
        infinite=len(present) - len(finite),
        round_numbers=sum(n for text, n in levels if text.endswith("0")),
        distinct=distinct,
        smallest=smallest,
        largest=largest,
        shortest=lengths[0],
        longest=lengths[-1],
        levels=levels,
        is_counted=is_counted,
    )


def _levels(present: Numbers) -> Levels:
    codes = coded(present)
    counts = np.bincount(codes.codes, minlength=len(codes.levels))
    return tuple(zip(codes.levels, counts.tolist(), strict=True))


def _of_counts(table: OpenTable, field: Field, counts: Counts) -> Profile:
    """Count a column by what SQL counted, and look at some of its texts."""
    is_few = counts.distinct <= FEW
    has_levels = not field.is_nested
    rows = None if is_few else SAMPLE
    levels = read_levels(table, field, rows) if has_levels else []
    told, _ = tidy([text for text, _ in levels], [n for _, n in levels])
    is_counted = has_levels and is_few
    shortest, longest = counts.shortest, counts.longest
    if not field.is_text and counts.smallest is not None and counts.largest is not None:
        shortest, longest = len(f"{counts.smallest:.0f}"), len(f"{counts.largest:.0f}")
    return Profile(
        field=field,
        n_rows=table.n_rows,
        missing=table.n_rows - counts.present,
        numbers=counts.numbers,
        no_numbers=counts.no_numbers if counts.numbers else 0,
        integers=counts.integers,
        infinite=counts.infinite,
        leading_zeros=counts.leading_zeros if counts.integers + counts.infinite == counts.numbers else 0,
        round_numbers=sum(n for text, n in told.items() if text.endswith("0") and number_of(text) is not None),
        distinct=len(told) if is_counted else min(counts.distinct, counts.present),
        smallest=counts.smallest,
        largest=counts.largest,
        shortest=shortest,
        longest=longest,
        levels=tuple(told.items()),
        is_counted=is_counted,
    )
