"""Guesses from a file's first records which columns hold numbers and nothing else, so that they are parsed once.

A guess only saves time: a cell that breaks it sends the column back to be read as text. What a column is, is
decided by `infer` from all cells. Imports neither numpy nor duckdb.
"""

import re
from collections.abc import Sequence
from typing import Literal

from traind.data.cells import text_of

_LEAST = 50  # cells that must be there
_FEW_FRACTIONS = 50  # distinct fractions up to which their spelling may matter: they may be labels
_WHOLE = re.compile(r"-?(?:0|[1-9]\d{0,14})\Z")  # exact as a float, and as its own spelling
_FRACTION = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z")


def number_columns(records: Sequence[Sequence[str]], width: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the places of the columns that hold numbers alone, and of those among them that hold whole numbers."""
    regular = [record for record in records if len(record) == width]
    found = [(place, _numbers(cells)) for place, cells in enumerate(zip(*regular, strict=True))]
    return tuple(place for place, kind in found if kind), tuple(place for place, kind in found if kind == "whole")


def _numbers(cells: Sequence[str]) -> Literal["whole", "fractions"] | None:
    texts = {text for cell in set(cells) if (text := text_of(cell)) is not None}
    if sum(1 for cell in cells if cell) < _LEAST:
        return None
    others = [text for text in texts if not _WHOLE.match(text)]
    if not others:
        return "whole"
    are_fractions = all(_FRACTION.match(text) and not text.lstrip("+-").isdigit() for text in others)
    return "fractions" if are_fractions and len(texts) > _FEW_FRACTIONS else None


def missing_words(records: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the spellings of a missing cell that these records have."""
    return tuple(sorted({cell for record in records for cell in set(record) if cell and text_of(cell) is None}))
