"""Dates and times in text: the accepted forms, and their conversion to seconds.

A column is read in one order of day and month. Where its own cells do not settle it (a number above 12), the
separator does, and the column says so. Times are seconds since 1970-01-01; an offset is applied, none is UTC.
`seconds_of` reads one cell, `find_dates` a series of texts by the same patterns, in polars.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from traind.data.limits import VALUE_CHARS

if TYPE_CHECKING:
    import polars as pl

Order = Literal["dmy", "mdy"]

ZONES = {"z": 0.0, "utc": 0.0, "gmt": 0.0, "wet": 0.0, "west": 1.0, "bst": 1.0, "cet": 1.0, "cest": 2.0, "eet": 2.0}
ZONES |= {"eest": 3.0, "msk": 3.0, "ist": 5.5, "jst": 9.0, "aest": 10.0, "aedt": 11.0, "est": -5.0, "edt": -4.0}
ZONES |= {"cst": -6.0, "cdt": -5.0, "mst": -7.0, "mdt": -6.0, "pst": -8.0, "pdt": -7.0}
_ZERO = r"^0{1,4}[-/.]0{1,2}[-/.]0{1,4}(?:[T ]00:00(?::00)?(?:\.0{1,9})?)?$"  # what databases write for missing
ZERO = re.compile(_ZERO)
_TIME = (
    r"(?:(?:T|,? {1,3})(?P<H>[0-9]{1,2}):(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})(?P<f>[.,][0-9]{1,9})?)?"
    r" ?(?P<p>[AaPp]\.?[Mm]\.?)?"
    rf" ?(?P<z>[+-][0-9]{{2}}:?[0-9]{{2}}|[+-][0-9]{{2}}|(?i:{'|'.join(ZONES)}))?(?: ?\([A-Za-z ]{1, 30}\))?)?$"
)
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<b>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}\.?,? {1,3})?"
_PATTERNS = {
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
_COMPILED = {way: re.compile(pattern) for way, pattern in _PATTERNS.items()}
_CENTURY = 40  # years of two digits from here on are 19xx
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


class Dates(Struct, frozen=True):
    """The result of `find_dates`: the share of cells that are dates, their form, day or month first."""

    share: float
    ways: tuple[str, ...]
    order: Order
    is_settled: bool
    zeros: int = 0  # cells such as 0000-00-00


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


def find_dates(texts: "pl.Series", counts: NDArray[Any]) -> Dates | None:
    """Return the dates among distinct texts, which occur `counts` times each; None where few are dates."""
    total = max(1, int(counts.sum()))
    parts = _parts(texts, counts, least=total / 2)
    if parts is None:
        return None
    order, is_settled = _order(parts.get("13/10/2014"), counts)
    is_date = np.zeros(len(texts), np.bool_)
    for way, found in parts.items():
        is_date |= ~np.isnan(_all_seconds(found, order)) if way != "2014-10" or not _are_seasons(found) else False
    is_zero = texts.str.contains(_ZERO).to_numpy()
    if not is_date.any():
        return None
    share = float(counts[is_date | is_zero].sum() / total)
    return Dates(share, tuple(sorted(parts)), order, is_settled, int(counts[is_zero & ~is_date].sum()))


def all_seconds(texts: "pl.Series", order: Order) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return `seconds_of` for each text, NaN for those that are no dates, and which are zero dates."""
    seconds = np.full(len(texts), np.nan)
    for found in (_parts(texts, np.ones(len(texts)), least=0.0) or {}).values():
        seconds = np.where(np.isnan(seconds), _all_seconds(found, order), seconds)
    is_zero = texts.str.contains(_ZERO).to_numpy()
    return seconds, is_zero & np.isnan(seconds)


def order_of(texts: "pl.Series", counts: NDArray[Any]) -> tuple[Order, bool]:
    """Return the order of day and month in these cells, and whether a cell settles it."""
    return _order((_parts(texts, counts, least=0.0) or {}).get("13/10/2014"), counts)


def _parts(texts: "pl.Series", counts: NDArray[Any], least: float) -> "dict[str, pl.DataFrame] | None":
    """Return the parts of the dates by form; None where fewer than `least` cells are dates."""
    import polars as pl

    left = pl.select(pl.when(texts.str.len_chars() <= VALUE_CHARS).then(texts)).to_series()
    found, matched = {}, 0.0
    for way, pattern in _PATTERNS.items():
        parts = left.str.extract_groups(pattern).struct.unnest()
        if not (is_this := parts["Y"].is_not_null()).any():
            continue
        found[way] = parts
        mask = is_this.to_numpy()
        matched += float(counts[mask].sum())
        left = pl.select(pl.when(~is_this).then(left)).to_series()
        if left.null_count() == len(left):
            break
    return found if found and matched >= least else None


def _are_seasons(parts: "pl.DataFrame") -> bool:
    """Return whether values like 2009-10, 2010-11 are pairs of years rather than year and month."""
    import polars as pl

    years, months = parts["Y"].cast(pl.Int64, strict=False), parts["m"].cast(pl.Int64, strict=False)
    return bool(((years + 1) % 100 == months).all()) and years.n_unique() > 2


def _order(parts: "pl.DataFrame | None", counts: NDArray[Any]) -> tuple[Order, bool]:
    if parts is None:
        return "dmy", True
    x, y = (_ints(parts[key]) for key in "xy")
    first, second = int(counts[x > 12].sum()), int(counts[y > 12].sum())
    if first != second:
        return ("dmy" if first > second else "mdy"), True
    slashes = int(counts[(parts["s"] == "/").fill_null(value=False).to_numpy()].sum())
    return ("mdy" if 2 * slashes > int(counts[x >= 0].sum()) else "dmy"), False


def _ints(texts: "pl.Series") -> NDArray[np.int64]:
    import polars as pl

    found: NDArray[np.int64] = texts.cast(pl.Int64, strict=False).fill_null(-1).to_numpy()
    return found


def _all_seconds(parts: "pl.DataFrame", order: Order) -> NDArray[np.float64]:
    """Return the seconds of each date in parts, NaN for no date."""
    days, is_day = _days(parts, order)
    clock, is_clock = _clock(parts)
    return np.where(is_day & is_clock, days * 86_400.0 + clock, np.nan)


def _days(parts: "pl.DataFrame", order: Order) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the days since 1970, and which of them are valid."""
    import polars as pl

    names = set(parts.columns)
    year = _ints(parts["Y"])
    is_short = (parts["Y"].str.len_bytes() == 2).fill_null(value=False).to_numpy()
    year = np.where(is_short, year + np.where(year >= _CENTURY, 1900, 2000), year)
    day, month = (_ints(parts[key]) if key in names else np.ones(len(year), np.int64) for key in "dm")
    if "q" in names:
        month = 3 * _ints(parts["q"]) - 2
    if "x" in names:
        day, month = (_ints(parts[key]) for key in ("xy" if order == "dmy" else "yx"))
    if "b" in names:
        places = {name: i for i, name in enumerate(_NAMES, 1)}
        named = parts["b"].str.slice(0, 3).str.to_lowercase()
        month = named.replace_strict(places, default=-1, return_dtype=pl.Int64).fill_null(-1).to_numpy()
    is_day = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    is_day &= day <= _DAYS[np.clip(month, 1, 12) - 1]
    is_day &= ~((month == 2) & (day == 29) & ((year % 4 != 0) | ((year % 100 == 0) & (year % 400 != 0))))
    if "t" in names:
        is_day &= (parts["s"] == parts["t"]).fill_null(value=False).to_numpy()
    if "w" in names:
        return _weeks(year, _ints(parts["w"]))
    months = np.where(is_day, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int64) + np.where(is_day, day, 1) - 1, is_day


def _weeks(year: NDArray[np.int64], week: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the Mondays of weeks as ISO 8601 counts them, the first being that of 4 January."""
    is_week = (year >= 1) & (week >= 1) & (week <= 53)
    fourth = np.where(is_week, year - 1970, 0).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64) + 3
    return fourth - (fourth + 3) % 7 + 7 * (week - 1), is_week


def _clock(parts: "pl.DataFrame") -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the seconds since midnight UTC, 0 without a time of day, and which of them are valid."""
    import polars as pl

    names = set(parts.columns)
    none = np.zeros(len(parts), np.int64)
    hour, minute, second = (np.maximum(_ints(parts[key]), 0) if key in names else none for key in "HMS")
    is_clock = (hour < 24) & (minute < 60) & (second < 60)
    if "p" in names:
        half = parts["p"].str.slice(0, 1).str.to_lowercase()
        has_half, is_late = half.is_not_null().to_numpy(), (half == "p").fill_null(value=False).to_numpy()
        is_clock &= ~has_half | ((hour >= 1) & (hour <= 12))
        hour = np.where(has_half, hour % 12 + 12 * is_late, hour)
    seconds = hour * 3_600.0 + minute * 60.0 + second
    if "f" in names:
        fractions = ("0" + parts["f"].str.replace(",", ".", literal=True)).cast(pl.Float64)
        seconds = seconds + fractions.fill_null(0.0).to_numpy()
    if "z" in names and (zones := parts["z"].unique().drop_nulls().to_list()):
        offsets = {zone: _offset(zone) for zone in zones}
        ahead = parts["z"].replace_strict(offsets, default=0.0, return_dtype=pl.Float64)
        seconds = seconds - ahead.fill_null(0.0).to_numpy()
    return np.asarray(seconds, np.float64), is_clock


def _seconds(parts: dict[str, str | None], order: Order) -> float | None:
    year: str = parts["Y"] or ""
    if len(year) == 2:
        year = f"{'19' if int(year) >= _CENTURY else '20'}{year}"
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
        month = str(_NAMES.index(name[:3].lower()) + 1)
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
    return (time - _EPOCH) / timedelta(seconds=1) + fraction - _offset(parts.get("z"))


def _offset(text: str | None) -> float:
    """Return the seconds by which a zone is ahead of UTC."""
    if not text:
        return 0.0
    if text[0] not in "+-":
        return ZONES[text.lower()] * 3_600.0
    digits = text[1:].replace(":", "").ljust(4, "0")
    seconds = int(digits[:2]) * 3_600.0 + int(digits[2:]) * 60.0
    return seconds if text[0] == "+" else -seconds
