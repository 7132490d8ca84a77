"""Moments of numbers of any size. Squares of numbers beyond 1e154 overflow, those of numbers below 1e-154 vanish.

So such numbers are divided by a power of two first, which changes no digit of them; others are taken as they are.
"""

import math

import numpy as np
from numpy.typing import NDArray

_USUAL = 200  # exponents of two up to which squares can be added, and so that sums of many are far from the limits
Floats = NDArray[np.float64]


def exponent_of(*numbers: Floats) -> int:
    """Return the exponent n so that sums of squares of `numbers / 2**n` are exact; 0 for numbers of usual size.

    `np.ldexp(numbers, -n)` divides them. Of several arrays the largest number counts.
    """
    largest = max((float(np.abs(one).max(initial=0.0)) for one in numbers), default=0.0)
    exponent = math.frexp(largest)[1]  # 0 where it is not finite
    return 0 if abs(exponent) <= _USUAL else exponent


def mean_and_deviation(numbers: Floats) -> tuple[float, float]:
    """Return the mean and the standard deviation, of the numbers' own size."""
    exponent = exponent_of(numbers)
    if not exponent:
        return float(numbers.mean()), float(numbers.std())
    scaled = np.ldexp(numbers, -exponent)
    return float(np.ldexp(scaled.mean(), exponent)), float(np.ldexp(scaled.std(), exponent))
