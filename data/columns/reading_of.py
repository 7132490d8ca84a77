"""How the cells of a column can be read, by shares of its cells: plain numbers, in a style, dates, or not at all."""

from dataclasses import dataclass, replace

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from traind.data.columns.held import as_codes
from traind.data.columns.profile import HALF, MANY, Profile
from traind.data.table.arrays import Mixed
from traind.data.table.cell_text import NOT_A_NUMBER
from traind.data.table.date_columns import Dates, all_seconds, find_dates
from traind.data.table.number_columns import are_units, read_all, read_plain
from traind.data.table.number_style import FoundStyle, find_style
from traind.data.table.numbers import Style
from traind.data.table.texts import Texts

MOSTLY = 0.98  # share of cells from which the rest of a column counts as wrong cells, not as words
_FEW = MANY  # words up to which each is a feature
_LETTERED = "^(?:[0-9]+[A-Za-z]|[A-Za-z]{1,2}-?[0-9]+)$"
_SINGLE = 3  # words that may stand in one cell each


class Marks(Struct, frozen=True):
    """What is known of a file's numbers beforehand: from its reader's options, or from other columns."""

    decimal: str | None = None
    thousands: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a column: the share of its cells that can be, and the words that cannot."""

    share: float
    words: tuple[str, ...] = ()  # more than wrong cells, few enough to be features
    style: Style | None = None
    found: FoundStyle | None = None
    dates: Dates | None = None

    @property
    def is_whole(self) -> bool:
        """Tell whether the column is what this reads: nearly all cells are, or all but a few words that repeat."""
        return self.share >= MOSTLY or bool(self.words)


def readings(facts: Profile, marks: Marks) -> list[Reading]:
    """Return the ways in which at least half of the column's cells can be read, the plain one first."""
    if isinstance(facts.cells, Mixed):
        words = facts.cells.words
        share = 1.0 - sum(n for text, n in facts.words if text.lower() not in NOT_A_NUMBER) / max(1, facts.present)
        numbers = facts.distinct - len(words.levels)
        return [_reading(share, words.levels, numbers)] if share > HALF else []
    codes = as_codes(facts.cells) if facts.cells is not None else None
    if codes is None or not codes.levels:
        return []
    if not facts.may_be_read:
        return []
    known = facts.known
    texts, counts, is_plain = _plain(facts.written(), codes.counts())
    found = []
    asked = marks.decimal == "," or marks.thousands is not None
    if counts[is_plain].sum() > HALF * known and not (asked and texts.match("[.,]").any()):
        found.append(_of_levels(texts, counts, is_plain))
        if found[0].words and _are_codes(texts, is_plain):
            found[0] = replace(found[0], words=())
        if found[0].share >= MOSTLY:
            return found
    if facts.likely < HALF * known:
        return found
    others, weights = _but_for_the_usual(facts, texts, counts)
    if dates := find_dates(others, weights):
        seconds, is_zero = all_seconds(texts, dates.order)
        found.append(_of_levels(texts, counts, ~np.isnan(seconds) | is_zero, dates=dates))
    if style := find_style(others, weights, decimal=marks.decimal, thousands=marks.thousands):
        values = read_all(texts, style.style)
        is_read = ~np.isnan(values) | are_units(texts, style.style, values)
        found.append(_of_levels(texts, counts, is_read, style=style))
    return [one for one in found if one.share * counts.sum() > HALF * known]


def _plain(texts: Texts, counts: NDArray[np.int64]) -> tuple[Texts, NDArray[np.int64], NDArray[np.bool_]]:
    """Return the texts that do not stand for a missing number, with their counts, and which are plain numbers."""
    _, is_plain, is_none = texts.of(read_plain)
    if not is_none.any():
        return texts, counts, is_plain
    return texts.take(~is_none), counts[~is_none], is_plain[~is_none]


def _but_for_the_usual(facts: Profile, texts: Texts, counts: NDArray[np.int64]) -> tuple[Texts, NDArray[np.int64]]:
    """Return the texts without the word in half of the cells or more, with their counts."""
    if facts.usual_word is None:
        return texts, counts
    is_other = counts < facts.levels[0][1]
    return texts.take(is_other), counts[is_other]


def _are_codes(texts: Texts, is_plain: NDArray[np.bool_]) -> bool:
    """Tell whether whole numbers and 207a, 229b ... are names of one kind."""
    is_whole, is_lettered = texts.match("^[0-9]+$"), texts.match(_LETTERED)
    return bool(is_whole[is_plain].all()) and 2 * int(is_lettered[~is_plain].sum()) > int((~is_plain).sum())


def _of_levels(
    texts: Texts,
    counts: NDArray[np.int64],
    is_read: NDArray[np.bool_],
    *,
    style: FoundStyle | None = None,
    dates: Dates | None = None,
) -> Reading:
    n_words = int(counts[~is_read].sum())
    share = 1.0 - n_words / max(1, int(counts.sum()))
    words = tuple(texts.take(np.flatnonzero(~is_read)[: _FEW + 1]).to_list()) if n_words else ()
    if len(words) > _SINGLE and n_words < 2 * len(words):
        words = ()  # each stands for itself
    if style and style.clashing:
        share, words = min(share, MOSTLY - 0.01), ()
    found = _reading(share, words, _FEW + 1 if dates else int(is_read.sum()))
    return Reading(found.share, found.words, style.style if style else None, style, dates)


def _reading(share: float, words: tuple[str, ...], values: int) -> Reading:
    if words and values <= _FEW:
        return Reading(min(share, MOSTLY - 0.01))  # in a column of few values, 3+ is one of them
    return Reading(share, words if 0 < len(words) <= _FEW and share < MOSTLY else ())
