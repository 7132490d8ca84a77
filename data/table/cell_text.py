"""The meaning of one cell of text: missing, a number, yes or no. Used wherever cells are read.

A JSON value is first converted to the text that it would be in a CSV file, so that files and JSON rows are read in
the same way.
"""

import math
import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

_EXCEL_ERRORS = ("#div/0!", "#n/a", "#name?", "#null!", "#num!", "#ref!", "#value!")
PLAIN_MISSING = frozenset(
    {"", "?", "na", "n/a", "#n/a", "<na>", "nan", "null"}
)  # usual words for missing, without a warning
MISSING = PLAIN_MISSING | {"..", "\\n", "n.a.", "n.a", "(null)", "(blank)", "#n/a n/a", *_EXCEL_ERRORS}
NO_TIME = "NaT"  # as numpy and pandas write it; Nat is a name
NOT_A_NUMBER = frozenset(  # missing in columns of numbers or dates
    {"none", "-", "--", "---", "\u2013", "\u2014", ".", "...", "\u2026", "*", "missing", "unknown", "not available"}
    | {"nil", "n.d.", "nd", "no data", "tbd", "tba"}
)
TRUE_WORDS = frozenset({"true", "t", "yes", "y", "1", "1.0"})
FALSE_WORDS = frozenset({"false", "f", "no", "n", "0", "0.0"})

STRIPPED = " \t\n\r\f\v\u00a0\u202f\ufeff\u200b\x1a"
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}\Z")


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
        case int() | Decimal():
            return str(value)
        case float():
            return repr(float(value)) if not math.isnan(value) else None  # also for numpy floats
        case _ if type(value).__name__ in {"NAType", "NaTType"}:  # pandas', the latter a datetime
            return None
        case datetime() | date():
            return value.isoformat()
        case _ if hasattr(value, "item"):  # a numpy scalar
            return text_of(value.item())
        case _:
            raise TypeError(f"a cell holds text, a number, true, false or null, not {type(value).__name__}")
    return None if is_missing(text) else text


def is_missing(text: str) -> bool:
    """Tell whether a stripped cell is empty or a word for missing."""
    return text.lower() in MISSING or text == NO_TIME


def number_of(text: str) -> float | None:
    """Return the number in a stripped cell, NaN for a word for missing, None if it is no number."""
    if text.isascii() and "_" not in text:
        try:
            return float(text)
        except ValueError:
            pass
    return math.nan if text.lower() in NOT_A_NUMBER else None


def boolean_of(text: str) -> bool | None:
    """Return the boolean in a stripped cell, None if it is neither yes nor no."""
    word = text.lower()
    if word in TRUE_WORDS:
        return True
    return False if word in FALSE_WORDS else None


def typed_labels(labels: Sequence[str]) -> list[str] | list[int] | list[float] | list[bool]:
    """Return labels in their original type: integers, numbers, booleans; others as text."""
    if {label.lower() for label in labels} <= {"true", "false"}:
        return [label.lower() == "true" for label in labels]
    if all(canonical_number(label) == label and _WHOLE.match(label) for label in labels):
        whole = [int(label) for label in labels]
        return whole if all(abs(number) < 2**53 for number in whole) else list(labels)
    numbers = [number_of(label) for label in labels]
    if all(number is not None and repr(number) == label for number, label in zip(numbers, labels, strict=True)):
        return [float(label) for label in labels]
    return list(labels)


def canonical_number(text: str) -> str:
    """Return one spelling for the same number: `7`, `7.0` and `+7` become `7`; other text is unchanged.

    A whole number of any size keeps all its digits.
    """
    if _WHOLE.match(text):
        return str(int(text))
    number = number_of(text)
    if number is None or not math.isfinite(number):
        return text
    return text_of_number(number)


def text_of_number(number: float) -> str:
    """Return a number as text, an integer without a decimal point."""
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
