"""The distinct texts of a column, and at which place among them each cell's stands, many cells at once."""

import numpy as np
from numpy.typing import NDArray

from traind.data.numerals import Cut, Words

MAX_TEXTS = 20_000
MAX_BYTES = 256  # of a text
_SLOTS_LOG2 = 17
_PER_TEXT = 300  # bytes of memory, beside its own: entries by bytes here, by characters where parts are joined
_PAGE = 4096
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio


class TooMany(Exception):
    """The texts are too many, or too long, to be kept apart so."""


class Lexicon:
    """Texts in the order in which they came. The empty one is none of them.

    A text's hash names a slot, the slot a text, and that is compared with the cell, word by word. What differs is
    looked up by its bytes: a new text, or one of two that share a slot.
    """

    def __init__(self) -> None:
        self._codes: dict[bytes, int] = {b"": 0}
        self._slots = np.zeros(1 << _SLOTS_LOG2, np.int32)
        self._words = np.zeros((1, 64), np.uint64)  # of each text, the last first
        self._n_characters = 0

    @property
    def n_bytes(self) -> int:
        """Return about how much memory the texts take."""
        touched = min(len(self._codes) * _PAGE, self._slots.nbytes)
        return touched + self._words.nbytes + len(self._codes) * _PER_TEXT + 2 * self._n_characters

    def texts(self) -> list[str]:
        """Return the texts, or raise `UnicodeDecodeError`."""
        return [text.decode() for text in self._codes if text]

    def codes(self, cells: Cut) -> NDArray[np.int32]:
        """Return each cell's place among the texts, those that are new included; -1 where the cell is empty."""
        lengths = cells.ends - cells.starts
        n_words = (int(lengths.max(initial=1)) + 7) // 8
        if n_words * 8 > MAX_BYTES:
            raise TooMany
        tails = cells.tails(lengths, n_words)
        slots = _slots(tails)
        found = self._slots.take(slots)
        differs = np.zeros(len(found), np.bool_)
        for place in range(max(n_words, len(self._words))):
            known = self._words[place].take(found) if place < len(self._words) else np.uint64(0)
            differs |= known != (tails[place] if place < n_words else np.uint64(0))
        if (others := np.flatnonzero(differs)).size:
            found[others] = self._looked_up(cells.take(others), [word[others] for word in tails], slots[others])
        found -= 1
        return found

    def _looked_up(self, cells: Cut, tails: list[Words], slots: NDArray[np.int64]) -> list[int]:
        """Return the codes of cells by their bytes, and keep those that are new."""
        found = []
        for place, text in enumerate(cells.texts()):
            code = self._codes.setdefault(text, len(self._codes))
            self._n_characters += len(text) if code == len(self._codes) - 1 else 0
            self._make_room(code, len(tails))
            for i, word in enumerate(tails):
                self._words[i, code] = word[place]
            self._slots[slots[place]] = code
            found.append(code)
        return found

    def _make_room(self, code: int, n_words: int) -> None:
        if code > MAX_TEXTS:
            raise TooMany
        height, width = self._words.shape
        if n_words > height or code >= width:
            grown = np.zeros((max(height, n_words), width * 2 if code >= width else width), np.uint64)
            grown[:height, :width] = self._words
            self._words = grown


def _slots(tails: list[Words]) -> NDArray[np.int64]:
    """Return the slot of each text: the upper bits of a hash of its words."""
    mixed = tails[0] * _GOLDEN
    for word in tails[1:]:
        mixed = ((mixed >> np.uint64(32)) ^ mixed ^ word) * _GOLDEN
    return (mixed >> np.uint64(64 - _SLOTS_LOG2)).view(np.int64)
