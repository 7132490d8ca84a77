"""Dates and times in text: the accepted forms, and their conversion to seconds.

A column is read in one order of day and month. Where its own cells do not settle it (a number above 12), the
separator does, and the column says so. Times are seconds since 1970-01-01; an offset is applied, none is UTC.
`seconds_of` reads one cell, `date_columns` the texts of columns by the same patterns, in polars.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Literal

from traind.data.limits import VALUE_CHARS

Order = Literal["dmy", "mdy"]

ZONES = {"z": 0.0, "utc": 0.0, "gmt": 0.0, "wet": 0.0, "west": 1.0, "bst": 1.0, "cet": 1.0, "cest": 2.0, "eet": 2.0}
ZONES |= {"eest": 3.0, "msk": 3.0, "ist": 5.5, "jst": 9.0, "aest": 10.0, "aedt": 11.0, "est": -5.0, "edt": -4.0}
ZONES |= {"cst": -6.0, "cdt": -5.0, "mst": -7.0, "mdt": -6.0, "pst": -8.0, "pdt": -7.0}
ZERO_DATE = r"^0{1,4}[-/.]0{1,2}[-/.]0{1,4}(?:[T ]00:00(?::00)?(?:\.0{1,9})?)?$"  # what databases write for missing
ZERO = re.compile(ZERO_DATE)
_TIME = (
    r"(?:(?:T|,? {1,3})(?P<H>[0-9]{1,2}):(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})(?P<f>[.,][0-9]{1,9})?)?"
    r" ?(?P<p>[AaPp]\.?[Mm]\.?)?"
    rf" ?(?P<z>(?i:GMT|UTC)?[+-][0-9]{{2}}:?[0-9]{{2}}|[+-][0-9]{{2}}|(?i:{'|'.join(ZONES)}))?"
    r"(?: ?\([A-Za-z ]{1,30}\)|\[[A-Za-z_/]{1,30}\])?)?$"
)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<b>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}\.?,? {1,3})?"
PATTERNS = {
    "2014-10-13": r"^(?P<Y>[0-9]{4})(?P<s>[-/.])(?P<m>[0-9]{1,2})(?P<t>[-/.])(?P<d>[0-9]{1,2})" + _TIME,
    "20141013": (
        r"^(?P<Y>(?:19|20)[0-9]{2})(?P<m>[0-9]{2})(?P<d>[0-9]{2})(?:T(?P<H>[0-9]{2})(?P<M>[0-9]{2})(?P<S>[0-9]{2}))?$"
    ),
    "13/10/2014": r"^(?P<x>[0-9]{1,2})(?P<s>[-/.])(?P<y>[0-9]{1,2})(?P<t>[-/.])(?P<Y>[0-9]{4}|[0-9]{2})" + _TIME,
    "13 Oct 2014": (
        rf"(?i)^{_WEEKDAY}(?P<d>[0-9]{{1,2}})(?:st|nd|rd|th|\.)?[ -]{_MONTH},?[ -](?P<Y>[0-9]{{4}}|[0-9]{{2}}){_TIME}"
    ),
    "Oct 13, 2014": (
        rf"(?i)^{_WEEKDAY}{_MONTH}(?:-| {{1,3}})(?P<d>[0-9]{{1,2}})(?:st|nd|rd|th)?(?:[-,]|,? {{1,3}})"
        rf"(?P<Y>[0-9]{{4}}){_TIME}"
    ),
    "Mon Oct 13 06:00:00 2014": (
        rf"(?i)^{_WEEKDAY}{_MONTH} {{1,3}}(?P<d>[0-9]{{1,2}}) (?P<H>[0-9]{{2}}):(?P<M>[0-9]{{2}}):(?P<S>[0-9]{{2}})"
        rf"(?: (?P<z>{'|'.join(ZONES)}))? (?P<Y>[0-9]{{4}})$"
    ),
    "2014-Q4": r"(?i)^(?P<Y>[0-9]{4})[-/ ]?Q(?P<q>[1-4])$",
    "Q4 2014": r"(?i)^Q(?P<q>[1-4])[-/ ]?(?P<Y>[0-9]{4})$",
    "2014-W42": r"(?i)^(?P<Y>[0-9]{4})[- ]?W(?P<w>[0-9]{1,2})$",
    "2014M10": r"^(?P<Y>[0-9]{4})M(?P<m>[0-9]{1,2})$",
    "2014-10": r"^(?P<Y>[0-9]{4})-(?P<m>[0-9]{2})$",
    "10/2014": r"^(?P<m>[0-9]{1,2})[/.](?P<Y>(?:19|20)[0-9]{2})$",
    "Oct 2014": rf"(?i)^{_MONTH}[ -](?P<Y>[0-9]{{4}})$",
}
_COMPILED = {way: re.compile(pattern) for way, pattern in PATTERNS.items()}
CENTURY = 40  # years of two digits from here on are 19xx
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def way_of(text: str) -> str | None:
    """Return an example of the form of the date in a stripped cell, None if it is no date."""
    if len(text) > VALUE_CHARS:
        return None
    return next((way for way, pattern in _COMPILED.items() if pattern.match(text)), None)


def seconds_of(text: str, order: Order) -> float | None:
    """Return the time in a stripped cell as seconds since 1970, NaN for a zero date, None if it is no date."""
    if len(text) > VALUE_CHARS:
        return None
    for pattern in _COMPILED.values():
        if found := pattern.match(text):
            seconds = _seconds(found.groupdict(), order)
            return float("nan") if seconds is None and ZERO.match(text) else seconds
    return float("nan") if ZERO.match(text) else None


def _seconds(parts: dict[str, str | None], order: Order) -> float | None:
    year: str = parts["Y"] or ""
    if len(year) == 2:
        year = f"{'19' if int(year) >= CENTURY else '20'}{year}"
    if parts.get("s") != parts.get("t"):
        return None
    day: str | None = parts.get("d")
    month = parts.get("m")
    if parts.get("w"):
        week = int(parts["w"] or 0)
        days = datetime(int(year), 1, 4, tzinfo=UTC) - _EPOCH
        return ((days.days - (days.days + 3) % 7 + 7 * (week - 1)) * 86_400.0) if 1 <= week <= 53 else None
    if parts.get("q"):
        month = str(3 * int(parts["q"] or 0) - 2)
    if name := parts.get("b"):
        month = str(MONTHS.index(name[:3].lower()) + 1)
    elif "x" in parts:
        day, month = (parts["x"], parts["y"]) if order == "dmy" else (parts["y"], parts["x"])
    hour = int(parts.get("H") or 0)
    if half := parts.get("p"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (half[0] in "pP")
    clock = hour, int(parts.get("M") or 0), int(parts.get("S") or 0)
    try:
        time = datetime(int(year), int(month or 1), int(day or 1), *clock, tzinfo=UTC)
    except ValueError:
        return None
    fraction = float("0." + (parts.get("f") or ".0")[1:])
    return (time - _EPOCH) / timedelta(seconds=1) + fraction - offset_of(parts.get("z"))


def offset_of(text: str | None) -> float:
    """Return the seconds by which a zone is ahead of UTC."""
    if not text:
        return 0.0
    if text[-1].isdigit():
        text = text.lstrip("GMTUCgmtuc")
    if text[0] not in "+-":
        return ZONES[text.lower()] * 3_600.0
    digits = text[1:].replace(":", "").ljust(4, "0")
    seconds = int(digits[:2]) * 3_600.0 + int(digits[2:]) * 60.0
    return seconds if text[0] == "+" else -seconds
