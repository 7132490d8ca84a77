"""Reads many numbers as they are written in a file at once: each step of arithmetic is on all of them.

A number's last 8, 16 or 24 characters are words of 64 bits, in which eight digits become a number by three
multiplications (Lemire, "Quickly parsing eight digits", 2018). Quotients are exact as `float` has them: a whole
number below 2^53 over a power of ten up to 22 is rounded once (Clinger, 1990); a longer one is divided in two parts
(Dekker, 1971), and where these leave the last bit open, or a cell is written otherwise, it is left to the caller.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Positions = NDArray[np.int64]
_U = np.uint64
_MINUS = ord("-")
_MAX_WORDS = 3  # of a number
_EXACT = _U(1 << 53)


def _eight(byte: int) -> np.uint64:
    return _U(int.from_bytes(bytes([byte] * 8), "little"))


_ONES, _HIGHS, _ZEROS = _eight(0x01), _eight(0x80), _eight(ord("0"))
_POINT = ord(".") ^ ord("0")
_POINTS, _NO_DIGIT = _eight(_POINT), _eight(0x80 - 10)
_KEPT = np.array([(1 << 64) - (1 << (64 - 8 * n)) for n in range(9)], np.uint64)  # the last n bytes of a word
_SIGNS = np.array([1.0, -1.0])
_TENS = np.array([10**n for n in range(20)], np.uint64)
# By how many bits lie below the mark of a point, see `_points`; 64 where there is none.
_BEHIND = np.array([8 * (7 - bits % 8) + 7 - bits // 8 for bits in range(64)] + [0])  # digits behind the point
_MOST_BEHIND = 22  # 10^22 is the last power of ten that is exact
_POWERS = np.array([float(10 ** min(n, _MOST_BEHIND)) for n in _BEHIND.tolist()])
_WIDER = np.append(10.0 * _POWERS[:-1], np.inf)
_GAPS = np.append(9 * _TENS[np.minimum(_BEHIND[:-1], 18)], _U(0))


@dataclass(frozen=True, slots=True)
class Cut:
    """Cells of a block of bytes: where each begins and ends. At least 64 bytes stand before the first."""

    data: NDArray[np.uint8]
    words: Words  # the same bytes
    starts: Positions
    ends: Positions

    def take(self, places: NDArray[Any] | slice) -> "Cut":
        """Return some of the cells."""
        return Cut(self.data, self.words, self.starts[places], self.ends[places])

    def flat(self) -> "Cut":
        """Return the cells as one row."""
        return Cut(self.data, self.words, self.starts.ravel(), self.ends.ravel())

    def texts(self) -> list[bytes]:
        """Return the cells' bytes."""
        pairs = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return [self.data[start:end].tobytes() for start, end in pairs]

    def tails(self, lengths: Positions, n_words: int, flipped: np.uint64 = _U(0)) -> list[Words]:  # noqa: B008 - a number
        """Return the last 8 of so many bytes of each cell, the 8 before ... as words; absent bytes are 0."""
        at = self.ends >> 3
        right_shift = ((self.ends & 7) << 3).view(np.uint64)
        left_shift = _U(64) - right_shift
        found, later = [], self.words.take(at)
        for place in range(n_words):
            earlier = self.words.take(at - (place + 1))
            word = (later << left_shift) | (earlier >> right_shift)
            word ^= flipped
            word &= _KEPT.take(lengths - 8 * place, mode="clip")
            found.append(word)
            later = earlier
        return found


def read_numbers(cells: Cut) -> tuple[NDArray[np.float64], Positions]:
    """Return the number in each cell, NaN where it is empty, and the places of those that are not plainly written."""
    is_negative = cells.data.take(cells.starts) == _MINUS
    lengths = cells.ends - cells.starts
    is_empty = lengths == 0
    lengths -= is_negative
    longest = int(lengths.max(initial=0))
    n_words = 2 if longest <= 16 else _MAX_WORDS
    tails = cells.tails(lengths, n_words, _ZEROS)
    points, is_odd = _points(tails)
    if longest > 8 * n_words:
        is_odd |= lengths > 8 * n_words
    bits = np.bitwise_count(points - _U(1)).astype(np.intp)
    whole = _digits(tails[0]) + _digits(tails[1]) * _TENS[8]
    if n_words == _MAX_WORDS:
        most = _digits(tails[2])
        is_odd |= most >= _U(1_000)
        whole += most * _TENS[16]
    integers = np.floor(whole / _WIDER.take(bits) + 0.45)  # what stands before the point, which was read as a zero
    if n_words == _MAX_WORDS:
        is_odd |= (integers >= 1e15) | (_BEHIND.take(bits) > _MOST_BEHIND)
    whole -= integers.astype(np.uint64) * _GAPS.take(bits)
    is_odd |= (lengths <= (bits < 64)) & ~is_empty  # a sign or a point alone
    _mark_leading_zeros(is_odd, lengths, bits, whole)
    powers = _POWERS.take(bits)
    values = whole / powers
    if (long := np.flatnonzero(whole >= _EXACT)).size:
        values[long], is_open = _quotients(whole[long], powers[long])
        is_odd[long] |= is_open
    values *= _SIGNS.take(is_negative)
    values[np.flatnonzero(is_empty)] = np.nan
    return values, np.flatnonzero(is_odd)


def _points(tails: list[Words]) -> tuple[Words, NDArray[np.bool_]]:
    """Return where each number has its point, and which hold what is no digit. Points become zeros.

    The mark of byte i of word n is bit 8 i + 7 - n.
    """
    points = np.zeros_like(tails[0])
    wrong = np.zeros_like(tails[0])
    for place, word in enumerate(tails):
        found = word ^ _POINTS
        found = (found - _ONES) & ~found & _HIGHS  # the lowest mark is of a point
        found &= ~found + _U(1)
        np.bitwise_xor(word, (found >> _U(7)) * _U(_POINT), out=word)
        wrong |= (word + _NO_DIGIT) | word
        points |= found >> _U(place)
    return points, ((wrong & _HIGHS) | (points & (points - _U(1)))) != 0


def _digits(word: Words) -> Words:
    """Return the number that eight digits are, the first in the lowest byte."""
    word = (word * _U(10) + (word >> _U(8))) & _U(0x00FF00FF00FF00FF)
    word = (word * _U(100) + (word >> _U(16))) & _U(0x0000FFFF0000FFFF)
    return (word * _U(10_000) + (word >> _U(32))) & _U(0xFFFFFFFF)


def _mark_leading_zeros(is_odd: NDArray[np.bool_], lengths: Positions, bits: Positions, whole: Words) -> None:
    """Mark whole numbers such as 007."""
    places = np.flatnonzero((bits == 64) & (lengths > 1))
    is_odd[places] |= whole[places] < _TENS[np.minimum(lengths[places] - 1, 19)]


def _quotients(whole: Words, powers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return quotients of numbers below 2^64, rounded once, and where that is not certain."""
    is_open = whole >= _U(1 << 63)
    high = whole.astype(np.float64)
    high[is_open] = 0.0
    low = (whole - high.astype(np.uint64)).view(np.int64).astype(np.float64)
    found = high / powers
    product = found * powers
    (a, b), (c, d) = _halves(found), _halves(powers)
    rounded_off = ((a * c - product) + a * d + b * c) + b * d
    rest = (((high - product) - rounded_off) + low) / powers
    margin = found * 2.0**-90
    return found + rest, is_open | (found + (rest - margin) != found + (rest + margin))


def _halves(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two numbers of half as many bits whose sum each is."""
    wide = values * 134_217_729.0
    high = wide - (wide - values)
    return high, values - high
