"""Distinct values of a column of numbers: their number and the values."""

import math

import numpy as np
from numpy.typing import NDArray

from traind.data.table.arrays import Codes, Numbers
from traind.data.table.cell_text import text_of_number

_ALL_EXACT = 2**53  # whole numbers below are all doubles
_EXACT = 20_000  # up to this many numbers are counted by sorting
_RANGE = 1 << 22  # range of integers that are counted in an array
_LOOKED_AT = 1_000  # numbers that are checked first for being fractions
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio
_PER_NUMBER = 4  # bits of the bitmap for each number


def count_distinct(values: Numbers) -> int:
    """Return how many distinct numbers these are, none of them NaN: exact for few or whole ones, else within 1 %.

    Linear counting (Whang et al., 1990): every number marks a place by its hash; the empty ones tell how many did.
    """
    if len(values) <= _EXACT:
        return len(np.unique(values))
    if (places := _places(values)) is not None:
        marked = np.zeros(int(places.max()) + 1, np.bool_)
        marked[places] = True
        return int(np.count_nonzero(marked))
    bits = max(16, math.ceil(math.log2(_PER_NUMBER * len(values))))
    marked = np.zeros(1 << bits, np.bool_)
    for start in range(0, len(values), _EXACT):  # parts that stay in the processor's cache
        part = values[start : start + _EXACT] + 0.0  # one zero for two
        marked[_mixed(part.view(np.uint64)) >> np.uint64(64 - bits)] = True
    empty = 1.0 - np.count_nonzero(marked) / (1 << bits)
    return min(len(values), round(-(1 << bits) * math.log(empty)))


def coded(values: Numbers) -> Codes:
    """Return numbers as texts, the most frequent first: whole ones without a point. NaN is missing."""
    present = ~np.isnan(values)
    known = values[present]
    places = _places(known) if len(known) else None
    if places is not None:
        counts = np.bincount(places)
        found = np.flatnonzero(counts)
        lookup = np.zeros(len(counts), np.int64)
        lookup[found] = np.arange(len(found))
        numbers, inverse, counts = found + known.min(), lookup[places], counts[found]
    else:
        numbers, inverse, counts = np.unique(known, return_inverse=True, return_counts=True)
    are_small = places is not None and np.abs(numbers).max() < _ALL_EXACT
    texts = list(map(str, numbers.astype(np.int64).tolist() if are_small else map(text_of_number, numbers.tolist())))
    order = np.array(sorted(range(len(texts)), key=texts.__getitem__), np.int64)
    order = order[np.argsort(-counts[order], kind="stable")]
    rank = np.empty(len(texts), np.int32)
    rank[order] = np.arange(len(texts))
    codes = np.full(len(values), -1, np.int32)
    codes[present] = rank[inverse]
    return Codes(codes, tuple([texts[place] for place in order.tolist()]))


def _places(values: Numbers) -> NDArray[np.int64] | None:
    """Return each whole number's distance from the smallest; None where they span too much, or are none."""
    low, high = values.min(), values.max()
    some = values[:_LOOKED_AT]
    if not high - low < _RANGE or not (some == np.trunc(some)).all():
        return None
    places = (values - low).astype(np.int64)
    return places if (places + low == values).all() and float(low).is_integer() else None


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return hashes whose upper bits depend on all bits of the numbers: two rounds of shift and multiply."""
    for shift in (32, 29):
        bits = (bits ^ (bits >> np.uint64(shift))) * _GOLDEN
    return bits
