"""Decides what each column is, from its profile, and says why. Rules only: the same table always gives the same."""

import re
from dataclasses import dataclass, replace

import numpy as np

from traind.data.columns.profile import Profile
from traind.data.columns.reading_of import Marks, Reading, readings
from traind.data.limits import clipped
from traind.data.table.arrays import Codes
from traind.data.table.cell_text import boolean_of
from traind.data.table.date_columns import order_of
from traind.data.table.dates import way_of
from traind.data.table.numbers import Style
from traind.data.table.schema import Column, Kind, Override, Role

_WHOSE_ID = (  # of names written in one case; grid, paid and humid are no ids
    "user|customer|client|member|subscriber|patient|employee|staff|student|passenger|person|people|account|order"
    "|invoice|transaction|trans|payment|session|device|sensor|station|machine|product|item|store|shop|movie|film|show"
    "|video|track|song|artist|player|team|game|match|race|listing|host|review|post|comment|tweet|message|record|row"
    "|case|sample|subject|loan|policy|claim|trip|ride|vehicle|event|ticket|visit|request|unique|object|location|city"
)
_KEY = rf"(?i:(^|[_\W])(id|uuid|guid|key)$|(^|[_\W])({_WHOSE_ID})id$)|[a-z](Id|ID)$"
_ID_NAME = re.compile(rf"{_KEY}|(?i:(^|[_\W])(index|rownum|row|no|nr)$)|^column_1$|^Unnamed: 0$")
_NUMBER_NAME = re.compile(
    r"(^|_|\b)(phone|telephone|msisdn|imsi|mobile|fax|isbn|ean|upc|ssn|imei|iban|barcode)", re.IGNORECASE
)
_KEY_NAME = re.compile(_KEY)
_CODE_NAME = re.compile(r"zip|postal|post_?code|plz|area_?code|(^|_)(code|fips|naics|sic|icd)s?(_|$)", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-fA-F-]{16,}\Z")  # of identifiers that programs make
_DIGIT = re.compile("[0-9]")
_UNIQUE = 0.95  # share of distinct values from which a column names rows
_EXAMPLES = 200  # texts looked at for what free text is like


@dataclass(frozen=True, slots=True)
class _Choice:
    kind: Kind
    evidence: str
    reason: str = ""  # why it is left out, where it is
    day_order: str = "dmy"
    style: Style | None = None
    words: tuple[str, ...] = ()
    undecided: str = ""
    missing: int = 0  # words for none and zero dates, where numbers or dates are expected


def decide(
    facts: Profile, override: Override | None = None, *, is_target: bool = False, marks: Marks | None = None
) -> Column:
    """Return what the column is; `override` is what the user says it is, `marks` what the file's numbers are like."""
    marks = marks or Marks()
    choice = _decide(facts, marks, is_target=is_target) if override is None else _told(facts, override, marks)
    role: Role = "target" if is_target else ("ignored" if choice.reason else "feature")
    return Column(
        name=facts.name,
        kind=choice.kind,
        evidence=choice.evidence,
        role=role,
        role_reason="" if is_target else choice.reason,
        missing=facts.missing + choice.missing,
        distinct=facts.distinct,
        day_order="mdy" if choice.day_order == "mdy" else "dmy",
        style=choice.style,
        words=() if is_target else choice.words,
        undecided=choice.undecided,  # type: ignore[arg-type]
    )


def _told(facts: Profile, override: Override, marks: Marks) -> _Choice:
    """Return the choice that the user made, with how the cells are read as that."""
    said = "as set by the request"
    found = readings(facts, marks) if override in {"numeric", "datetime", "duration"} else []
    if override == "datetime":
        reading = next((one for one in found if one.dates), None)
        order = reading.dates.order if reading and reading.dates else _order(facts)
        return _Choice("datetime", said, day_order=order, words=reading.words if reading else ())
    if override in {"numeric", "duration"}:
        reading = next((one for one in found if not one.dates), None)
        choice = _Choice(
            "numeric", said, style=reading.style if reading else None, words=reading.words if reading else ()
        )
        if override == "duration" and choice.style is not None and choice.style.clock:
            choice = replace(choice, style=Style(clock="m:s"))
        elif choice.style is None and marks.decimal == ",":
            choice = replace(choice, style=Style(",", "."))
        return choice
    return _Choice(override, said, said if override == "ignore" else "")  # type: ignore[arg-type]


def _order(facts: Profile) -> str:
    return order_of(facts.written(), facts.cells.counts())[0] if isinstance(facts.cells, Codes) else "dmy"


def _decide(facts: Profile, marks: Marks, *, is_target: bool) -> _Choice:
    if facts.type == "nested":
        return _Choice("ignore", "cells hold lists, objects or bytes", "lists, objects and bytes are not used")
    if not facts.present:
        return _Choice("ignore", "every cell is missing", "every cell is missing")
    if facts.is_index and not is_target:
        return _Choice("ignore", "the index of a DataFrame that was saved along", "index")
    if facts.distinct == 1 and not facts.missing and not is_target:
        shown = repr(clipped(facts.levels[0][0])) if facts.levels else facts.smallest
        return _Choice("ignore", f"every cell is {shown}", "constant")
    if facts.type == "time":
        return _Choice("datetime", "typed as a date or time in the file")
    return _of_cells(facts, marks, is_target=is_target)


def _of_cells(facts: Profile, marks: Marks, *, is_target: bool) -> _Choice:
    if facts.is_counted and facts.distinct <= 2 and all(boolean_of(text) is not None for text, _ in facts.levels):
        return _Choice("boolean", f"the only values are {' and '.join(repr(text) for text, _ in facts.levels)}")
    if facts.type == "number":
        return _number(facts, Reading(1.0), is_target=is_target)
    found = readings(facts, marks)
    best = max((one for one in found if one.is_whole), key=lambda one: (one.share >= 0.98, one.share), default=None)
    if best is not None and best.found and (_CODE_NAME.search(facts.name) or _NUMBER_NAME.search(facts.name)):
        best, found = None, []  # 606xx and 014038572X are no numbers
    if best is None:
        return _text(facts, found, is_target=is_target)
    if best.dates:
        return _dates(facts, best)
    return _number(facts, best, is_target=is_target) if best.found is None else _styled(facts, best)


def _styled(facts: Profile, best: Reading) -> _Choice:
    """Return the choice of numbers that are not plainly written."""
    assert best.found is not None
    texts = [text for text, _ in facts.levels]
    marked = (text for text in texts if not text[:1].isdigit() or not text[-1:].isdigit())
    example = next(filter(_DIGIT.search, marked), None) or max(
        filter(_DIGIT.search, texts), key=len, default=texts[0]
    )
    evidence = f"{best.found.what} written like {example!r}"
    if best.found.is_open:
        evidence += f", {best.found.style.decimal!r} assumed to be the decimal mark"
    if best.found.currencies:
        evidence += f", in several currencies: {', '.join(best.found.currencies)}"
    return _Choice("numeric", evidence + _beside(best), style=best.style, words=best.words, missing=facts.no_numbers)


def _dates(facts: Profile, best: Reading) -> _Choice:
    assert best.dates is not None
    evidence = f"dates written as {' and '.join(best.dates.ways)}"
    if best.dates.ways == ("20141013",):
        evidence = "eight digits that are all days, as in 20141013"
    if "13/10/2014" in best.dates.ways:
        first = "day" if best.dates.order == "dmy" else "month"
        evidence += f", the {first} first" + ("" if best.dates.is_settled else " (assumed: no cell settles it)")
    missing = facts.no_numbers + best.dates.zeros
    if best.dates.zeros:
        evidence += f", {best.dates.zeros:,} zero dates taken as missing"
    return _Choice("datetime", evidence + _beside(best), "", best.dates.order, words=best.words, missing=missing)


def _beside(reading: Reading) -> str:
    if not reading.words:
        return ""
    named = ", ".join(map(repr, reading.words[:3])) + (", ..." if len(reading.words) > 3 else "")
    return f", beside {named} in {1.0 - reading.share:.1%} of the cells"


def _number(facts: Profile, best: Reading, *, is_target: bool) -> _Choice:
    """Return the choice for plain numbers."""
    wrong = 0 if best.words else facts.present - facts.numbers - facts.no_numbers
    evidence = f"{facts.distinct:,} distinct numbers" if not wrong else f"numbers, but for {wrong:,} cells"
    if facts.leading_zeros and facts.integers == facts.numbers and not is_target:
        return _code(facts, "digits with leading zeros")
    if facts.integers < facts.numbers or wrong or is_target or best.words:
        return _Choice("numeric", evidence + _beside(best), words=best.words, missing=facts.no_numbers)
    if _is_days(facts):
        return _Choice("datetime", "eight digits that are all days, as in 20141013")
    whole = f"{facts.distinct:,} distinct whole numbers"
    if _is_row_name(facts):
        undecided = "counter" if is_counter(facts) else ""
        return _Choice("text", f"{whole} in {facts.present:,} cells", "identifier", undecided=undecided)
    width, repeats = facts.shortest, facts.present / max(facts.distinct, 1)
    is_code = width == facts.longest and facts.round_numbers < facts.present / 2 and (facts.smallest or 0) > 0
    if is_code and width >= 3 and repeats >= 10 and facts.is_counted and _CODE_NAME.search(facts.name):
        return _code(facts, f"whole numbers of {width} digits each, {facts.distinct:,} of them, called a code")
    if _KEY_NAME.search(facts.name) and repeats >= 2 and facts.distinct > 2:
        return _Choice("categorical", f"{whole} called an id: names, not quantities")
    if is_code and width >= 5 and repeats >= 10 and facts.is_counted:
        return _Choice("numeric", f"{whole} of {width} digits each", undecided="code")
    return _Choice("numeric", whole, missing=facts.no_numbers)


def _code(facts: Profile, why: str) -> _Choice:
    if facts.distinct > facts.present * 0.5:
        reason = "" if _CODE_NAME.search(facts.name) else "identifier"
        return _Choice("text", f"{why}, nearly all distinct", reason)
    return _Choice("categorical", f"{why}: a code, not a quantity")


def _is_row_name(facts: Profile) -> bool:
    """Tell whether whole numbers only name rows: nearly all distinct, and called an id or counted up in steps."""
    if facts.distinct < facts.present * _UNIQUE - 1 or facts.present < 10:
        return False
    return _is_called_id(facts) or is_counter(facts)


def _is_called_id(facts: Profile) -> bool:
    return bool(_ID_NAME.search(facts.name) or _NUMBER_NAME.search(facts.name))


def is_counter(facts: Profile) -> bool:
    """Tell whether whole numbers count the rows as they stand, from 0 or 1, under a name that does not say so."""
    if facts.distinct != facts.n_rows or facts.smallest not in (0, 1) or _is_called_id(facts):
        return False
    if isinstance(facts.cells, np.ndarray):
        return bool((np.diff(facts.cells) == 1.0).all())  # 3, 1, 2 is a rank
    return (facts.largest or 0) - facts.smallest + 1 == facts.n_rows


def _is_days(facts: Profile) -> bool:
    if not (facts.shortest == facts.longest == 8) or not facts.levels:
        return False
    return all(way_of(text) == "20141013" and _is_day(text) for text, _ in facts.levels)


def _is_day(text: str) -> bool:
    return 1 <= int(text[4:6]) <= 12 and 1 <= int(text[6:8]) <= 31


def _text(facts: Profile, found: list[Reading], *, is_target: bool) -> _Choice:
    """Return the choice for a column of words: categories, free text, or names of rows."""
    evidence = f"{facts.distinct:,} distinct texts in {facts.present:,} cells"
    if found:
        what = "dates" if found[0].dates else "numbers"
        evidence += f", {found[0].share:.1%} of them {what}"
        if found[0].found and found[0].found.clashing:
            evidence += f" in units of different kinds: {', '.join(found[0].found.clashing[:3])}"
    if is_target:
        return _Choice("categorical", evidence)
    if not is_free_text(facts):
        return _Choice("categorical", evidence)
    if _are_identifiers(facts):
        return _Choice("text", evidence + ": names of rows", "identifier")
    return _Choice("text", f"{evidence}, read by their words and letters")


def is_free_text(facts: Profile) -> bool:
    """Tell whether too few cells repeat to be categories."""
    return facts.distinct > max(50, facts.present * 0.5)


def _are_identifiers(facts: Profile) -> bool:
    """Tell whether texts that are all distinct only name rows: by their name, or as programs make them."""
    if facts.distinct < facts.present * _UNIQUE - 1:
        return False
    texts = [text for text, _ in facts.levels[:_EXAMPLES]]
    is_one_word = sum(" " not in text for text in texts) > 0.9 * len(texts)
    if _NUMBER_NAME.search(facts.name):
        return True
    return is_one_word and (_is_called_id(facts) or all(_HEX.match(text) for text in texts))
