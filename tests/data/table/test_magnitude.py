"""Moments are those of numbers of usual size, times a power of two, bit for bit."""

import numpy as np
import pytest

from traind.data.table.magnitude import exponent_of, mean_and_deviation

NUMBERS = np.random.default_rng(0).normal(3.0, 2.0, 1_000)


@pytest.mark.parametrize("power", [-960, -600, -201, -10, 0, 10, 201, 600, 1_015])
def test_moments_scale_with_the_numbers(power):
    mean, deviation = mean_and_deviation(np.ldexp(NUMBERS, power))
    assert (mean, deviation) == (np.ldexp(NUMBERS.mean(), power), np.ldexp(NUMBERS.std(), power))


@pytest.mark.parametrize("power", range(-1_070, 1_020, 10))
def test_squares_of_scaled_numbers_neither_overflow_nor_vanish(power):
    numbers = np.array([np.ldexp(1.5, power), 0.0])
    squared = np.ldexp(numbers, -exponent_of(numbers)) ** 2
    assert 1e-300 < squared[0] < 1e300


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_taken_as_it_is(odd):
    assert exponent_of(np.array([odd, 1e300])) == 0
    assert exponent_of(np.zeros(0)) == exponent_of(np.zeros(3)) == 0
