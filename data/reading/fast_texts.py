"""The distinct texts of columns, and at which place among its column's each cell's stands, many cells at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traind.data.reading.fast_numbers import Cut, Words

MAX_TEXTS = 20_000  # of a column
MAX_BYTES = 256  # of a text
_SLOTS_LOG2 = 17  # of a column
_PER_TEXT = 300  # bytes of memory, beside its own: entries by bytes here, by characters where parts are joined
_PAGE = 4096
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio


class TooMany(Exception):
    """The texts are too many, or too long, to be kept apart so."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """Cells of texts: each with its column, its length, its last words, and the slot that its hash names."""

    cells: Cut
    columns: NDArray[np.int64]
    lengths: NDArray[np.int64]
    tails: list[Words]
    slots: NDArray[np.int64]

    def take(self, places: NDArray[np.int64]) -> "_Asked":
        tails = [word[places] for word in self.tails]
        return _Asked(self.cells.take(places), self.columns[places], self.lengths[places], tails, self.slots[places])


class Lexicon:
    """The texts of each column in the order in which they were looked up. The empty one is none of them.

    A text's hash names a slot of its column, the slot a text, and that is compared with the cell, word by word. What
    differs is looked up by its bytes: a new text, or one of two that share a slot.
    """

    def __init__(self, n_columns: int, max_bytes: float) -> None:
        self._columns: list[dict[bytes, int]] = [{b"": 0} for _ in range(n_columns)]  # places in what follows
        self._slots = np.zeros(n_columns << _SLOTS_LOG2, np.int32)
        self._lengths = np.zeros(1, np.int64)
        self._places = np.full(1, -1, np.int32)  # in their columns
        self._words = np.zeros((1, 1), np.uint64)  # of each text, the last first
        self._n_texts = 1
        self._n_bytes = 0.0  # about how much memory they take, beside these arrays
        self._max_bytes = max_bytes

    def texts(self, column: int) -> list[str]:
        """Return the texts of a column, or raise `UnicodeDecodeError`."""
        return [text.decode() for text in self._columns[column] if text]

    def codes(self, cells: Cut) -> NDArray[np.int32]:
        """Return each cell's place among the texts of its column, those that are new included; -1 where it is empty.

        The cells are of shape (columns, rows).
        """
        lengths = cells.ends - cells.starts
        codes = np.empty(lengths.shape, np.int32)
        n_words = (lengths.max(axis=1, initial=1) + 7) // 8
        for size in np.unique(n_words).tolist():
            columns = np.flatnonzero(n_words == size)
            if size * 8 > MAX_BYTES:
                raise TooMany
            is_all = len(columns) == len(codes)
            some = cells if is_all else cells.take(columns)
            found = self._codes(some.flat(), (lengths if is_all else lengths[columns]).ravel(), columns, size)
            codes[columns] = found.reshape(len(columns), -1)
        return codes

    def _codes(
        self, cells: Cut, lengths: NDArray[np.int64], columns: NDArray[np.int64], size: int
    ) -> NDArray[np.int32]:
        tails = cells.tails(lengths, size)
        of_columns = np.repeat(columns, len(lengths) // len(columns))
        asked = _Asked(cells, of_columns, lengths, tails, _slots(tails) + (of_columns << _SLOTS_LOG2))
        found, others = self._seen(asked)
        if others.size:
            rest = asked.take(others)
            _, first = np.unique(rest.slots, return_index=True)
            self._look_up(rest.take(np.sort(first)))
            found[others], unlike = self._seen(rest)
            found[others[unlike]] = self._look_up(rest.take(unlike))
        return self._places.take(found)

    def _seen(self, asked: _Asked) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the text that each cell's slot names, and which cells have another."""
        found = self._slots.take(asked.slots)
        differs = self._lengths.take(found) != asked.lengths
        for known, word in zip(self._words, asked.tails, strict=False):
            differs |= known.take(found) != word
        return found, np.flatnonzero(differs)

    def _look_up(self, asked: _Asked) -> list[int]:
        """Return each cell's text by its bytes, kept if it is new; its slot names it from now on."""
        found = []
        cells = zip(asked.cells.texts(), asked.columns.tolist(), asked.slots.tolist(), strict=True)
        for place, (text, column, slot) in enumerate(cells):
            known = self._columns[column]
            code = known.setdefault(text, self._n_texts)
            if code == self._n_texts:
                self._keep(len(known) - 2, text)
                for row, word in zip(self._words, asked.tails, strict=False):
                    row[code] = word[place]
            self._slots[slot] = code
            found.append(code)
        return found

    def _keep(self, place: int, text: bytes) -> None:
        """Keep a new text but for its words, or raise `TooMany`."""
        if place >= MAX_TEXTS:
            raise TooMany
        self._n_bytes += _PER_TEXT + 2 * len(text) + (_PAGE if place < (4 << _SLOTS_LOG2) // _PAGE else 0)
        height, width = self._words.shape
        n_words = max(height, (len(text) + 7) // 8)
        more = width if self._n_texts == width else 0
        if self._n_bytes + (width + more) * (8 * n_words + 12) > self._max_bytes:
            raise TooMany
        if more or n_words > height:
            self._words = np.pad(self._words, ((0, n_words - height), (0, more)))
            self._lengths, self._places = np.pad(self._lengths, (0, more)), np.pad(self._places, (0, more))
        self._lengths[self._n_texts], self._places[self._n_texts] = len(text), place
        self._n_texts += 1


def _slots(tails: list[Words]) -> NDArray[np.int64]:
    """Return the slot of each text: the upper bits of a hash of its words."""
    mixed = tails[0] * _GOLDEN
    for word in tails[1:]:
        mixed = ((mixed >> np.uint64(32)) ^ mixed ^ word) * _GOLDEN
    return (mixed >> np.uint64(64 - _SLOTS_LOG2)).view(np.int64)
