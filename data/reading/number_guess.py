"""Guesses from a file's first records which columns hold numbers and nothing else, so that they are parsed once.

A guess only saves time: a cell that breaks it sends the column back to be read as text. What a column is, is
decided by `infer` from all cells. Imports neither numpy nor duckdb.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from traind.data.table.cell_text import text_of

_LEAST = 50  # cells that must be there
_FEW_FRACTIONS = 50  # distinct fractions up to which their spelling may matter: they may be labels
_REPEATS = 2  # of a text, on average, where there are few
_WHOLE = re.compile(r"\s*-?(?:0|[1-9]\d{0,14})\s*\Z")  # exact as a float, and as its own spelling
_FRACTION = re.compile(r"\s*[+-]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d+)?\s*\Z")


@dataclass(frozen=True, slots=True)
class Guess:
    """Which columns seem to hold numbers alone, by place, which of those whole ones, how gaps are written."""

    numbers: frozenset[int] = frozenset()
    whole: frozenset[int] = frozenset()
    missing: tuple[str, ...] = ()
    few: frozenset[int] = frozenset()  # columns of few distinct texts


def guess(records: Sequence[Sequence[str]], width: int) -> Guess:
    """Return what these records show."""
    numbers, whole, few = set(), set(), set()
    missing: set[str] = set()
    for place, cells in enumerate(zip(*(record for record in records if len(record) == width), strict=True)):
        distinct = set(cells)
        others = [cell for cell in distinct if not _WHOLE.match(cell)]
        words = [cell for cell in others if not _FRACTION.match(cell)]
        if len(distinct) * _REPEATS < len(cells):
            few.add(place)
        if any(text_of(word) is not None for word in words) or sum(map(bool, cells)) < _LEAST:
            continue
        if len(others) > len(words) and len(distinct) <= _FEW_FRACTIONS:
            continue
        missing.update(words)
        numbers.add(place)
        if len(others) == len(words):
            whole.add(place)
    return Guess(frozenset(numbers), frozenset(whole), tuple(sorted(missing - {""})), frozenset(few))
