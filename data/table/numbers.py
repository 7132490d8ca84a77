"""Numbers as people write them: `1,234.50`, `1.234,56 €`, `12.5 %`, `(300)`, `1.3K`, `512 GB`, `9h 56m`.

A column is read in one `Style`, which `number_style` takes from all its cells. `read` reads one cell,
`number_columns` the texts of columns by the same patterns, in polars.
"""

import re
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from traind.data.limits import VALUE_CHARS

CLOCK = ":"  # the mark of times of day in models of 0.1.0
Clock = Literal["h:m", "m:s"]  # what two parts of a clock mean
CURRENCY = (
    r"(?:[A-Z]{0,3}[$€£¥₹₽₩₺₴₪฿₫₱]|USD|EUR|GBP|CHF|JPY|CAD|AUD|NZD|CNY|RMB|INR|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR|"
    r"TRY|RUB|KRW|SGD|HKD|Rs\.?|kr\.?|zł|Kč|Fr\.?|TL)"
)
_UNIT = (
    r"(?:%|‰|/ ?[0-9]{1,4}|out of [0-9]{1,4}(?: [A-Za-z]{1,14})?|[★☆⭐\"*#]{1,2}|"  # 4.5/5
    r"\+|(?:\+ ?)?[A-Za-z°µμ][A-Za-z°µμ/²³]{0,14}\.?(?: [A-Za-z]{1,14}\.?){0,3})"  # 3.1M views
)
ANY_DIGITS = r"(?:[0-9][0-9.,' ]{0,40}|[.,][0-9]{1,40})"
CLOCKS = (
    r"^(?P<sign>-)?(?:(?P<d>[0-9]{1,6}) ?d(?:ays?)?,? {1,3})?"
    r"(?P<a>[0-9]{1,6}):(?P<b>[0-5][0-9])(?::(?P<c>[0-5][0-9]))?(?P<f>[.,][0-9]{1,12})?"
    r"(?: ?(?P<p>[AaPp])\.?[Mm]\.?)?$"
)
DOTTED_CLOCK = r"^([01][0-9]|2[0-3])\.([0-5][0-9])\.([0-5][0-9])$"  # 18.30.00
FEET = (
    r"^(?P<a>[0-9]{1,2}) ?(?:'|ft\.?|feet|foot)"
    r" ?(?:(?P<b>[0-9]{1,2}(?:\.[0-9]{1,3})?) ?(?:\"|''|in\.?|inch(?:es)?)?)?$"
)
SPAN_UNITS = (
    ("y", r"y(?:ears?|rs?)?", 31_557_600.0),
    ("mo", r"mo(?:nths?|ns?|s)?", 2_629_800.0),
    ("w", r"w(?:eeks?|ks?)?", 604_800.0),
    ("d", r"d(?:ays?)?", 86_400.0),
    ("h", r"h(?:ours?|rs?)?", 3_600.0),
    ("m", r"m(?:in(?:ute)?s?)?", 60.0),
    ("s", r"s(?:ec(?:ond)?s?)?", 1.0),
)
SPAN = (
    "(?i)^P?"  # PT4M13S is one too
    + "T?".join(rf"(?:(?P<{key}>[0-9]{{1,12}}(?:\.[0-9]{{1,12}})?) ?{unit}\.?,? ?)?" for key, unit, _ in SPAN_UNITS)
    + "$"
)
SPELLED = {"\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2007": " ", "\u2019": "'"}
SPELLED |= {"\u2032": "'", "\u2033": '"'}  # minus signs, spaces and apostrophes as on a keyboard
_TRANSLATED = str.maketrans(SPELLED)


class Style(Struct, frozen=True):
    """How the numbers of a column are written. `units` may stand beside a number, and multiply it."""

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ","] = ""  # spaces and apostrophes set thousands apart in any style
    units: dict[str, float] = {}
    clock: Clock | None = None
    has_spans: bool = False  # such as 9h 56m, in seconds
    has_feet: bool = False  # such as 5'11", in inches


def legacy_style(mark: str, *, has_decimal_comma: bool) -> Style:
    """Return the style of a column whose numbers carry this one mark: how models of 0.1.0 have it."""
    decimal, thousands = (",", ".") if has_decimal_comma else (".", ",")
    if mark == CLOCK:
        return Style(clock="h:m")
    return Style(decimal, thousands, {mark: 1.0} if mark else {})  # type: ignore[arg-type]


def read(text: str, style: Style) -> float | None:
    """Return the number in a stripped cell, times in seconds; NaN for a unit alone, None if it is no number."""
    if len(text) > VALUE_CHARS:
        return None
    text = text.translate(_TRANSLATED)
    if style.clock and (found := _compiled(CLOCKS).match(_compiled(DOTTED_CLOCK).sub(r"\1:\2:\3", text))):
        parts = found.groupdict()
        two = (60.0, 1.0) if style.clock == "m:s" and parts["c"] is None else (3_600.0, 60.0)
        first = float(parts["a"]) if parts["p"] is None else float(parts["a"]) % 12 + 12.0 * (parts["p"] in "Pp")
        whole = float(parts["d"] or 0) * 86_400.0 + first * two[0] + float(parts["b"]) * two[1]
        whole = whole + float(parts["c"] or 0) + float("0" + (parts["f"] or ".0").replace(",", "."))
        return -whole if parts["sign"] else whole
    if style.has_spans and (found := _compiled(SPAN).match(text)) and any(found.groups()):
        return sum(float(found[key] or 0.0) * seconds for key, _, seconds in SPAN_UNITS)
    if style.has_feet and (found := _compiled(FEET).match(text)):
        return 12.0 * float(found["a"]) + float(found["b"] or 0.0)
    found = _compiled(pattern_of(style.decimal, style.thousands)).match(text)
    if found is None or bool(found["open"]) != bool(found["close"]):
        return float("nan") if text.lower() in map(str.lower, style.units) else None
    scale = scale_of(found["before"], style) * scale_of(found["after"], style)
    digits = _plain(found["digits"], style) + (found["exp"] or "")
    if scale != scale or _is_padded(digits):  # noqa: PLR0124 - a unit that the style has not
        return None
    is_negative = bool(found["open"]) or "-" in {found["sign"], found["inner"]}
    return float(digits) * (-scale if is_negative else scale)


def unit_key(unit: str) -> str:
    """Return one spelling for a unit: `Months.` is `month`."""
    key = unit.rstrip(".").lower().replace("/ ", "/")
    return key.removesuffix("s") if len(key) > 3 else key


def scale_of(unit: str | None, style: Style) -> float:
    """Return what the unit multiplies by: 1 for none, NaN for one that the style has not."""
    if not unit:
        return 1.0
    if unit in style.units:
        return style.units[unit]
    key = unit_key(unit)
    return next((scale for known, scale in style.units.items() if unit_key(known) == key), float("nan"))


def frame(digits: str) -> str:
    """Return the pattern of a number whose digits and marks match `digits`, with all that may stand around."""
    return (
        rf"^(?P<open>\()? {{0,3}}(?P<sign>[+-])? {{0,3}}(?P<before>{CURRENCY})? {{0,3}}(?P<inner>-)? {{0,3}}"
        rf"(?P<digits>{digits})(?P<exp>[eE][+-]?[0-9]{{1,3}})? {{0,3}}"
        rf"(?P<after>{CURRENCY}|{_UNIT})? {{0,3}}(?P<close>\))?$"
    )


@lru_cache(maxsize=16)
def pattern_of(decimal: str, thousands: str) -> str:
    """Return the pattern of numbers with these marks."""
    point, groups = re.escape(decimal), re.escape(thousands)
    fraction = rf"(?:{point}[0-9]{{0,40}})?"
    forms = [
        rf"[0-9]{{1,3}}(?:[{groups}' ][0-9]{{3}}){{1,12}}{fraction}",
        rf"[0-9]{{1,40}}{fraction}",
        rf"{point}[0-9]{{1,40}}",
    ]
    if thousands == ",":
        forms.insert(1, rf"[0-9]{{1,2}}(?:,[0-9]{{2}}){{1,12}},[0-9]{{3}}{fraction}")  # lakh and crore
    return frame("|".join(forms))


_compiled = lru_cache(maxsize=32)(re.compile)


def _plain(digits: str, style: Style) -> str:
    digits = re.sub(r"[ ']", "", digits)
    return (digits.replace(style.thousands, "") if style.thousands else digits).replace(style.decimal, ".")


def _is_padded(digits: str) -> bool:
    return len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
