"""Dates and times in text: which ways of writing them are read, and as what.

A column is read in one order of day and month. Where its own cells do not settle it (a number above 12), the
separator does, and the column says so. Times are seconds since 1970-01-01; an offset is applied, none is UTC.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal

from traind.data.limits import VALUE_CHARS

Order = Literal["dmy", "mdy"]

_TIME = (
    r"(?:[T ]\s*+(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?P<f>[.,]\d++)?)?\s*+(?P<p>[AaPp]\.?[Mm]\.?)?"
    r"\s*+(?P<z>Z|UTC|[+-]\d{2}:?\d{2}|[+-]\d{2})?)?$"
)
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<b>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*+\.?,?\s++)?"
_PATTERNS = {
    "2014-10-13": re.compile(r"(?P<Y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})" + _TIME),
    "20141013": re.compile(
        r"(?P<Y>(?:19|20)\d{2})(?P<m>\d{2})(?P<d>\d{2})(?:T(?P<H>\d{2})(?P<M>\d{2})(?P<S>\d{2}))?$"
    ),
    "13/10/2014": re.compile(r"(?P<x>\d{1,2})(?P<s>[-/.])(?P<y>\d{1,2})(?P=s)(?P<Y>\d{4}|\d{2})" + _TIME),
    "13 Oct 2014": re.compile(
        _WEEKDAY + r"(?P<d>\d{1,2})[\s-]" + _MONTH + r",?[\s-](?P<Y>\d{4})" + _TIME, re.IGNORECASE
    ),
    "Oct 13, 2014": re.compile(_WEEKDAY + _MONTH + r"\s++(?P<d>\d{1,2}),?\s++(?P<Y>\d{4})" + _TIME, re.IGNORECASE),
    "2014-10": re.compile(r"(?P<Y>\d{4})-(?P<m>\d{2})$"),
    "Oct 2014": re.compile(_MONTH + r"[\s-](?P<Y>\d{4})$", re.IGNORECASE),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def way_of(text: str) -> str | None:
    """Return an example of the way the date in a stripped cell is written, None if it is no date."""
    if len(text) > VALUE_CHARS:
        return None
    for way, pattern in _PATTERNS.items():
        if pattern.match(text):
            return way
    return None


def order_of(texts: Iterable[str]) -> tuple[Order, bool]:
    """Return in which order these cells write day and month, and whether one of them settles it."""
    votes = {"dmy": 0, "mdy": 0}
    separators = {"/": 0, ".": 0, "-": 0}
    for text in texts:
        if len(text) <= VALUE_CHARS and (found := _PATTERNS["13/10/2014"].match(text)):
            separators[found["s"]] += 1
            votes["dmy"] += int(found["x"]) > 12
            votes["mdy"] += int(found["y"]) > 12
    if votes["dmy"] != votes["mdy"]:
        return ("dmy" if votes["dmy"] > votes["mdy"] else "mdy"), True
    return ("mdy" if separators["/"] > separators["."] + separators["-"] else "dmy"), not any(separators.values())


def seconds_of(text: str, order: Order) -> float | None:
    """Return the time in a stripped cell as seconds since 1970, None if it is none."""
    if len(text) > VALUE_CHARS:
        return None
    for pattern in _PATTERNS.values():
        if found := pattern.match(text):
            return _seconds(found.groupdict(), order)
    return None


def _seconds(parts: dict[str, str | None], order: Order) -> float | None:
    year: str = parts["Y"] or ""
    if len(year) == 2:
        year = f"{'19' if int(year) >= 70 else '20'}{year}"
    day: str | None = parts.get("d")
    month = parts.get("m")
    if name := parts.get("b"):
        month = str(_NAMES.index(name[:3].lower()) + 1)
    elif "x" in parts:
        day, month = (parts["x"], parts["y"]) if order == "dmy" else (parts["y"], parts["x"])
    hour = int(parts.get("H") or 0)
    if half := parts.get("p"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (half[0] in "pP")
    try:
        time = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            hour,
            int(parts.get("M") or 0),
            int(parts.get("S") or 0),
            tzinfo=_zone(parts.get("z")),
        )
    except ValueError:
        return None
    fraction = float("0." + (parts.get("f") or ".0")[1:])
    return (time - _EPOCH) / timedelta(seconds=1) + fraction


def _zone(text: str | None) -> timezone:
    if text in {None, "", "Z", "UTC"}:
        return UTC
    assert text is not None
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(offset if text[0] == "+" else -offset)
