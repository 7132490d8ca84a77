"""Decides what each column is, from its profile, and says why. Rules only: the same table always gives the same."""

import re
from dataclasses import dataclass

from traind.data.columns.profile import Profile
from traind.data.table.cell_text import boolean_of
from traind.data.table.dates import order_of, way_of
from traind.data.table.schema import Column, Kind, Role
from traind.data.table.units import CLOCK, unit_of

_ID_NAME = re.compile(r"(?i:(^|[_\W])(id|uuid|guid|key|index|rownum|row|no|nr)$)|[a-z](Id|ID)$|^column_1$")
_NUMBER_NAME = re.compile(r"(^|_|\b)(phone|mobile|fax|isbn|ean|upc|ssn|imei|iban|barcode)", re.IGNORECASE)
_KEY_NAME = re.compile(r"(?i:(^|[_\W])(id|uuid|guid|key)$)|[a-z](Id|ID)$")
_CODE_NAME = re.compile(r"zip|postal|post_?code|plz|area_?code|(^|_)(code|fips|naics|sic|icd)s?(_|$)", re.IGNORECASE)
_MOSTLY = 0.98  # share from which the rest of a column counts as wrong cells, not as values of another kind
_UNIQUE = 0.95  # share of distinct values from which a column names rows


@dataclass(frozen=True, slots=True)
class _Choice:
    kind: Kind
    evidence: str
    reason: str = ""  # why it is left out, where it is
    day_order: str = "dmy"
    mark: str | None = None


def decide(facts: Profile, override: Kind | None = None, *, is_target: bool = False) -> Column:
    """Return what the column is; `override` is what the user says it is."""
    if override is not None:
        choice = _Choice(override, "as set by the request", _reason_for(override))
        if override == "datetime":
            choice = _Choice("datetime", choice.evidence, "", _dates(facts).day_order)
        elif override == "numeric":
            choice = _Choice("numeric", choice.evidence, mark=_mark(facts))
    else:
        choice = _decide(facts, is_target=is_target)
    role: Role = "target" if is_target else ("ignored" if choice.reason else "feature")
    return Column(
        name=facts.name,
        kind=choice.kind,
        evidence=choice.evidence,
        role=role,
        role_reason="" if is_target else choice.reason,
        missing=facts.missing,
        distinct=facts.distinct,
        day_order="mdy" if choice.day_order == "mdy" else "dmy",
        has_decimal_comma=facts.field.has_decimal_comma,
        mark=choice.mark,
    )


def _reason_for(kind: Kind) -> str:
    return {"ignore": "as set by the request", "text": "text is not used"}.get(kind, "")


def _decide(facts: Profile, *, is_target: bool) -> _Choice:
    if facts.field.is_nested:
        return _Choice("ignore", "cells hold lists, objects or bytes", "lists, objects and bytes are not used")
    if not facts.present:
        return _Choice("ignore", "every cell is missing", "every cell is missing")
    if facts.distinct == 1 and not facts.missing and not is_target:
        return _Choice("ignore", f"every cell is {facts.levels[0][0]!r}", "constant")
    if facts.field.is_time:
        return _Choice("datetime", "typed as a date or time in the file")
    if facts.is_counted and facts.distinct <= 2 and all(boolean_of(t) is not None for t, _ in facts.levels):
        return _Choice("boolean", f"the only values are {_listed(facts)}")
    if facts.numbers and facts.numbers + facts.no_numbers >= facts.present * _MOSTLY and _is_number_like(facts):
        return _number(facts, is_target=is_target)
    return _text(facts, is_target=is_target)


def _is_number_like(facts: Profile) -> bool:
    """Tell whether what is no number would be a wrong cell: in a column of few values, `3+` is one of them."""
    return facts.numbers + facts.no_numbers == facts.present or not facts.is_counted or facts.distinct > 20


def _number(facts: Profile, *, is_target: bool) -> _Choice:
    wrong = facts.present - facts.numbers - facts.no_numbers
    evidence = f"{facts.distinct:,} distinct numbers" if not wrong else f"numbers, but for {wrong:,} cells"
    if facts.integers < facts.numbers or wrong or is_target:
        return _Choice("numeric", evidence)
    if facts.leading_zeros:
        return _code(facts, "digits with leading zeros")
    if _is_days(facts):
        return _Choice("datetime", "eight digits that are all days, as in 20141013")
    if _is_row_name(facts):
        return _Choice("text", f"{facts.distinct:,} distinct whole numbers in {facts.present:,} cells", "identifier")
    width = facts.shortest
    is_code = width == facts.longest and facts.round_numbers < facts.present / 2 and facts.smallest is not None
    repeats = facts.present / max(facts.distinct, 1)
    is_named = bool(_CODE_NAME.search(facts.name)) and width >= 3
    if is_code and facts.smallest > 0 and (width >= 5 or is_named) and repeats >= 10 and facts.is_counted:  # type: ignore[operator]
        return _code(
            facts, f"whole numbers of {width} digits each, {facts.distinct:,} of them, {repeats:.0f} cells each"
        )
    if _KEY_NAME.search(facts.name) and repeats >= 2 and facts.distinct > 2:
        return _Choice(
            "categorical", f"{facts.distinct:,} distinct whole numbers called an id: names, not quantities"
        )
    return _Choice("numeric", f"{facts.distinct:,} distinct whole numbers")


def _code(facts: Profile, why: str) -> _Choice:
    if facts.distinct > facts.present * 0.5:
        return _Choice("text", f"{why}, nearly all distinct", "identifier")
    return _Choice("categorical", f"{why}: a code, not a quantity")


def _is_row_name(facts: Profile) -> bool:
    """Tell whether whole numbers only name rows: nearly all distinct, and called an id or counted up in steps."""
    if facts.distinct < facts.present * _UNIQUE - 1 or facts.present < 10:
        return False
    return _is_called_id(facts) or is_counter(facts)


def _is_called_id(facts: Profile) -> bool:
    return bool(_ID_NAME.search(facts.name) or _NUMBER_NAME.search(facts.name))


def is_counter(facts: Profile) -> bool:
    """Tell whether distinct whole numbers count the rows, from 0 or 1, under a name that does not say so."""
    span = (facts.largest or 0) - (facts.smallest or 0) + 1
    return span == facts.n_rows and facts.smallest in (0, 1) and not facts.missing and not _is_called_id(facts)


def _is_days(facts: Profile) -> bool:
    if not (facts.shortest == facts.longest == 8) or not facts.levels:
        return False
    return all(way_of(text) == "20141013" and _is_day(text) for text, _ in facts.levels)


def _is_day(text: str) -> bool:
    return 1 <= int(text[4:6]) <= 12 and 1 <= int(text[6:]) <= 31


def _text(facts: Profile, *, is_target: bool) -> _Choice:
    dates = _dates(facts)
    if dates.kind == "datetime":
        return dates
    mark = _mark(facts)
    if mark is not None and not _CODE_NAME.search(facts.name):
        written = next((text for text, _ in facts.levels if not text[:1].isdigit() or not text[-1:].isdigit()), None)
        example = written or max((text for text, _ in facts.levels), key=len)
        what = "times, read as seconds" if mark == CLOCK else "numbers"
        return _Choice("numeric", f"{what} written like {example!r}", mark=mark)
    distinct = f"{facts.distinct:,} distinct texts in {facts.present:,} cells"
    if facts.numbers >= facts.present * 0.5:
        distinct += f", {facts.numbers / facts.present:.1%} of them numbers"
    if is_target:
        return _Choice("categorical", distinct)
    if facts.distinct >= facts.present * 0.9 and facts.distinct > 50:
        return _Choice("text", distinct, "text is not used")
    if facts.distinct > max(50, facts.present * 0.5):
        return _Choice("text", f"{distinct}: too few repeat", "text is not used")
    return _Choice("categorical", distinct)


def _mark(facts: Profile) -> str | None:
    """Return the mark of the numbers in a column of text, None where they have none or it is no such column."""
    texts = [text for text, _ in facts.levels]
    if not facts.field.is_text or facts.distinct <= 2 or facts.numbers == facts.present:
        return None
    found = unit_of(texts, has_decimal_comma=facts.field.has_decimal_comma)
    least = len(texts) if facts.is_counted and facts.distinct <= 20 else len(texts) * _MOSTLY
    return found[0] if found and found[1] >= least else None


def _dates(facts: Profile) -> _Choice:
    """Return the choice of datetime where nearly all texts looked at are dates, of ignore otherwise."""
    ways: dict[str, int] = {}
    for text, _ in facts.levels:
        if way := way_of(text):
            ways[way] = ways.get(way, 0) + 1
    if sum(ways.values()) < max(1.0, len(facts.levels) * _MOSTLY):
        return _Choice("ignore", "no dates")
    order, is_settled = order_of(text for text, _ in facts.levels)
    evidence = f"dates written as {' and '.join(sorted(ways))}"
    if "13/10/2014" in ways:
        first = "day" if order == "dmy" else "month"
        evidence += f", the {first} first" + ("" if is_settled else " (assumed: no cell settles it)")
    return _Choice("datetime", evidence, "", order)


def _listed(facts: Profile) -> str:
    return " and ".join(repr(text) for text, _ in facts.levels)
