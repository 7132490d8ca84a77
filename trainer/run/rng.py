"""The global random streams of torch, numpy and Python: seeded, saved and put back together.

The built-in trainer does not use them (its step has its own stream); users' trainers do.
"""

import hashlib
import random
from typing import Any

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed the global random streams, for training code that draws from them."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed takes milliseconds for absent devices
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  the global stream it is


def generator_of(seed: int, *key: object) -> torch.Generator:
    """Return a new random stream determined by the seed and the key."""
    words = hashlib.sha256(repr((seed, *key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(words[:8]) >> 1)


def random_state() -> dict[str, Any]:
    """Return the state of every global random stream, numpy's in plain values: its own tuple would not load."""
    kind, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002  the global stream it is
    version, words, spare = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), place, has_gauss, gauss],
        "python": [version, list(words), spare],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Restore every global random stream."""
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, keys, place, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), place, has_gauss, gauss))  # noqa: NPY002
    version, words, spare = state["python"]
    random.setstate((version, tuple(words), spare))
