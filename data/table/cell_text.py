"""What one cell of text means: missing, a number, yes or no. Called wherever cells are read, in Python or as SQL.

A value that came as JSON is first turned to the text it would have been in a CSV file, so that a file and rows
of JSON always read alike.
"""

import math
from datetime import date, datetime
from decimal import Decimal
from typing import Any

MISSING = frozenset({"", "?", "na", "n/a", "#n/a", "<na>", "nan", "null"})
NOT_A_NUMBER = frozenset({"none", "-", "--", ".", "missing", "unknown"})  # missing too, where numbers are expected
TRUE_WORDS = frozenset({"true", "t", "yes", "y", "1", "1.0"})
FALSE_WORDS = frozenset({"false", "f", "no", "n", "0", "0.0"})

STRIPPED = " \t\n\r\f"


def text_of(value: Any) -> str | None:
    """Return the value as a CSV cell would hold it, stripped; None where it is missing.

    Raises:
        TypeError: the value is a list, an object or something else that no cell holds.
    """
    match value:
        case None:
            return None
        case str():
            text = value.strip(STRIPPED)
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(float(value)) if not math.isnan(value) else None  # a numpy float is one too
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return str(value)
        case _ if hasattr(value, "item"):  # a numpy scalar
            return text_of(value.item())
        case _:
            raise TypeError(f"a cell holds text, a number, true, false or null, not {type(value).__name__}")
    return None if text.lower() in MISSING else text


def number_of(text: str) -> float | None:
    """Return the number in a stripped cell, NaN where the text stands for a missing one, None if it is none."""
    if not text.isascii() or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return math.nan if text.lower() in NOT_A_NUMBER else None


def boolean_of(text: str) -> bool | None:
    """Return what a stripped cell says, None if it is neither yes nor no."""
    word = text.lower()
    if word in TRUE_WORDS:
        return True
    return False if word in FALSE_WORDS else None


def canonical_number(text: str) -> str:
    """Return one spelling for all that mean the same number: `7`, `7.0` and `+7` are `7`. Others as they are."""
    number = number_of(text)
    if number is None or not math.isfinite(number):
        return text
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def is_missing_sql(cell: str) -> str:
    """Return SQL that is true where `text_of` finds the cell of the VARCHAR column `cell` missing."""
    words = ", ".join(f"'{word}'" for word in sorted(MISSING))
    return f"coalesce(lower(trim({cell}, e'{_escaped(STRIPPED)}')) IN ({words}), true)"


def number_sql(cell: str) -> str:
    """Return SQL for the number in a cell of text; NULL where `number_of` finds none, or it is not a number."""
    odd = f"contains({cell}, '_') OR starts_with({cell}, '+-')"
    return f"CASE WHEN {odd} THEN NULL ELSE nullif(TRY_CAST({cell} AS DOUBLE), 'nan'::DOUBLE) END"


def no_number_sql(text: str) -> str:
    """Return SQL that is true where `text` says that a number is missing."""
    words = ", ".join(f"'{word}'" for word in sorted(NOT_A_NUMBER))
    return f"coalesce(lower(trim({text}, e'{_escaped(STRIPPED)}')) IN ({words}), false)"


def _escaped(characters: str) -> str:
    return "".join(f"\\x{ord(character):02x}" for character in characters)
