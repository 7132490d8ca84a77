"""Columns become arrays of numbers by rules fitted on the training rows; splits, leaks, the cache, synthetic data."""
