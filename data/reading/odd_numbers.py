"""Looks for numbers whose spelling says more than their value, as a file's bytes go by: `1_000`, `+-5`, `007`.

The parser of numbers would take them silently. Where a file holds one, columns are read as text first.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEPT = 64  # bytes looked at again with the next chunk, since a cell may be cut in two
_DIGITS = 24  # of a whole number followed to its end; a longer one counts as odd
_ZERO, _POINT, _UNDERSCORE = b"0._"
_ENDS = np.zeros(256, np.bool_)  # what stands behind a cell
_ENDS[list(b',;|\t\r\n" ')] = True
_MAY_LEAD = np.zeros(256, np.bool_)  # what may stand between a delimiter and a leading zero
_MAY_LEAD[list(b'" +-')] = True


class OddNumbers:
    """What was found so far; leading zeros are looked for where there are whole numbers."""

    def __init__(self, delimiter: str, *, has_whole: bool = True) -> None:
        self.has_odd_numbers = False
        self.has_leading_zeros = False
        self._has_whole = has_whole
        self._is_start = np.zeros(256, np.bool_)  # what stands before a cell
        self._is_start[[*delimiter.encode(), *b"\r\n"]] = True
        self._last = b"\n"

    def look(self, chunk: bytes) -> None:
        """Look at the next bytes."""
        view = self._last + chunk
        self._last = view[-_KEPT:]
        found: NDArray[Any] = np.frombuffer(view, np.uint8)
        is_digit = (found - _ZERO) < 10  # unsigned: what is below wraps around
        if not self.has_odd_numbers and b"_" in view:
            self.has_odd_numbers = bool((is_digit[:-2] & is_digit[2:] & (found[1:-1] == _UNDERSCORE)).any())
        self.has_odd_numbers = self.has_odd_numbers or (b"+" in view and b"+-" in view)
        if self._has_whole and not self.has_leading_zeros:
            is_first = (found[1:-1] == _ZERO) & is_digit[2:] & ~is_digit[:-2] & (found[:-2] != _POINT)
            places = self._starts_of_cells(found, np.flatnonzero(is_first) + 1)
            self.has_leading_zeros = _has_whole(found, is_digit, places)

    def _starts_of_cells(self, found: NDArray[Any], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of the places that begin a cell, but for quotes, signs and spaces."""
        before = places - 1
        for _ in range(3):
            before = np.where(_MAY_LEAD[found[before]], np.maximum(before - 1, 0), before)
        starts: NDArray[np.int64] = places[self._is_start[found[before]]]
        return starts


def _has_whole(found: NDArray[Any], is_digit: NDArray[np.bool_], places: NDArray[np.int64]) -> bool:
    """Tell whether one of the numbers at these places is of digits alone."""
    for _ in range(_DIGITS):
        places = places[places < len(found) - 1] + 1
        if _ENDS[found[places]].any():
            return True
        places = places[is_digit[places]]
    return len(places) > 0
