"""Numbers that carry a mark: `$1,234.50`, `12.5 %`, `(300)`, `36 months`, `1.234,56 EUR`, `07:30`.

A column is read so only where its cells carry one mark, or none; `infer` finds out which. Imports neither numpy nor
duckdb.
"""

import re
from collections.abc import Iterable

from traind.data.limits import VALUE_CHARS

CLOCK = ":"  # the mark of times of day and durations: read as seconds

_CURRENCY = r"(?:[A-Z]{0,2}[$€£¥₹]|USD|EUR|GBP|CHF|JPY|CAD|AUD|CNY|INR|SEK|NOK|DKK|PLN)"
_MARKED = re.compile(
    rf"(?P<open>\()?+\s*+(?P<sign>[+-])?+\s*+(?P<before>{_CURRENCY})?\s*+(?P<inner>-)?+"
    r"(?P<number>\d{1,3}(?:[,'\u2019\u00a0 ]\d{3})+(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)"
    rf"\s*+(?P<after>{_CURRENCY}|%|[A-Za-z°µ][A-Za-z°/²³]{{0,14}}\.?)?\s*+(?P<close>\))?\Z"
)
_CLOCK = re.compile(r"(?P<h>\d{1,3}):(?P<m>[0-5]\d)(?::(?P<s>[0-5]\d(?:\.\d+)?))?\Z")
_SWAPPED = str.maketrans(",.", ".,")


def number_with_unit(text: str, mark: str, *, has_decimal_comma: bool = False) -> float | None:
    """Return the number in a stripped cell that carries `mark` or none; None if it is none, or carries another."""
    found = _read(text, has_decimal_comma=has_decimal_comma)
    return found[0] if found and found[1] in {"", mark} else None


def unit_of(texts: Iterable[str], *, has_decimal_comma: bool = False) -> tuple[str, int] | None:
    """Return the one mark of these texts and how many of them are numbers with it, None where there are several."""
    read = [_read(text, has_decimal_comma=has_decimal_comma) for text in texts]
    marks = {found[1] for found in read if found} - {""}
    return (next(iter(marks), ""), sum(found is not None for found in read)) if len(marks) <= 1 else None


def _read(text: str, *, has_decimal_comma: bool) -> tuple[float, str] | None:
    if len(text) > VALUE_CHARS:
        return None
    if clock := _CLOCK.match(text):
        return int(clock["h"]) * 3_600.0 + int(clock["m"]) * 60.0 + float(clock["s"] or 0.0), CLOCK
    found = _MARKED.match(text.translate(_SWAPPED) if has_decimal_comma else text)
    if found is None or bool(found["open"]) != bool(found["close"]) or (found["before"] and found["after"]):
        return None
    digits = re.sub(r"[^\d.]", "", found["number"])
    if len(digits) > 1 and digits[0] == "0" and digits[1] != ".":
        return None  # a code
    negative = found["open"] or "-" in {found["sign"], found["inner"]}
    mark = found["before"] or (found["after"] or "").rstrip(".")
    return float(digits) * (-1.0 if negative else 1.0), mark.removesuffix("s") if len(mark) > 3 else mark
