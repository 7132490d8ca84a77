"""Synthetic data: standard normal numbers with a smooth nonlinear target and noise, fixed by the seed."""

from dataclasses import dataclass

import numpy as np

from traind.data.table.arrays import Table

TARGET = "target"
NOISE = 0.1  # standard deviation, with a target of standard deviation 1


@dataclass(frozen=True, slots=True)
class Synthetic:
    """The size and seed of synthetic data."""

    rows: int = 20_000
    columns: int = 8
    seed: int = 0


def synthesise(request: Synthetic) -> Table:
    """Return columns `x1` ... and `target`: sines, products and squares of neighbouring columns, plus noise.

    The seed alone fixes every bit: the weights are drawn first, so more rows of one seed have the same function.
    """
    rng = np.random.Generator(np.random.PCG64([request.seed, request.columns]))
    waves, pairs, curves = rng.normal(size=(3, request.columns))
    phases = rng.uniform(0.0, np.pi, size=request.columns)
    x = rng.normal(size=(request.rows, request.columns))
    seen = x.astype(np.float32)  # half the memory, and numpy's float32 sine is ten times as fast
    smooth = np.sin(1.5 * seen + phases.astype(np.float32)) @ waves.astype(np.float32)
    smooth += 0.5 * (seen * np.roll(seen, 1, axis=1)) @ pairs.astype(np.float32)
    smooth += 0.3 * (seen**2 - 1.0) @ curves.astype(np.float32)
    scale = np.sqrt(0.5 * waves @ waves + 0.25 * pairs @ pairs + 0.18 * curves @ curves)
    y = smooth / scale + NOISE * rng.normal(size=request.rows)
    columns = {f"x{i + 1}": np.ascontiguousarray(x[:, i]) for i in range(request.columns)}
    return Table({**columns, TARGET: y}, request.rows)
