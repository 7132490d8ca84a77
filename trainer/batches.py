"""The rows of a table in the order of one epoch, gathered block by block and cut into contiguous batches.

No DataLoader: a batch is a view. A block holds many small batches, so that gathering costs one call for all of
them, and stays small enough to be in cache when its batches are read.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from traind.trainer.optimizers import ALIGNED

BLOCK_BYTES = 1 << 20
PREPARED_ROWS = 1 << 16  # at once
BLOCK_BATCHES = 128  # more would share the calls' cost no better, and keep a job's first step waiting


def prepared(prepare: Callable[..., tuple[Tensor, ...]], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return what `prepare` makes of the rows of `tensors`, each by itself."""
    rows = len(tensors[0])
    whole: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, rows, PREPARED_ROWS):
            parts = prepare(*(tensor[start : start + PREPARED_ROWS] for tensor in tensors))
            whole = whole or [part.new_empty((rows, *part.shape[1:])) for part in parts]
            for tensor, part in zip(whole, parts, strict=True):
                tensor[start : start + len(part)] = part
    return whole


class Batches:
    """`tensors` of equal length, permuted by `begin_epoch`; `at(b)` gives rows [b * B : (b + 1) * B] of each."""

    def __init__(self, tensors: Sequence[Tensor], batch_size: int) -> None:
        rows = {len(tensor) for tensor in tensors}
        if len(rows) != 1 or not rows.copy().pop():
            raise ValueError(f"training data must be tables of one length, at least one row; got {sorted(rows)}")
        self.tensors = tuple(tensor.contiguous() for tensor in tensors)
        self.rows = rows.pop()
        self.batch_size = batch_size
        row_bytes = sum(tensor.element_size() * tensor[0].numel() for tensor in self.tensors)
        step = ALIGNED // math.gcd(batch_size, ALIGNED)  # batches are aligned as in one whole permuted table
        per_block = min(BLOCK_BATCHES, max(1, BLOCK_BYTES // max(1, row_bytes * batch_size * step)) * step)
        self._block_batches = min(per_block, -(-self.rows // batch_size))
        block_rows = min(self._block_batches * batch_size, self.rows)
        self._blocks = tuple(tensor.new_empty((block_rows, *tensor.shape[1:])) for tensor in self.tensors)
        self._order = torch.empty(0, dtype=torch.int64)
        self._block = -1
        self._cut: list[tuple[Tensor, ...]] = []
        self._cuts: dict[int, list[tuple[Tensor, ...]]] = {}  # by the rows of a block: it always lies in one place

    @property
    def count(self) -> int:
        """How many batches the epoch has."""
        return -(-len(self._order) // self.batch_size)

    @property
    def whole(self) -> int:
        """How many of them have all their rows."""
        return len(self._order) // self.batch_size

    def begin_epoch(self, permutation: Tensor) -> None:
        """Take the epoch's order: row numbers, as many as the epoch shall have rows."""
        self._order = permutation.to(self.tensors[0].device)
        self._block = -1

    def at(self, batch: int) -> tuple[Tensor, ...]:
        """Return the rows of one batch of each tensor, as views that are valid until another block is gathered."""
        block, place = divmod(batch, self._block_batches)
        if block != self._block:
            self._gather(block)
        return self._cut[place]

    def _gather(self, block: int) -> None:
        first = block * self._block_batches * self.batch_size
        order = self._order[first : first + self._block_batches * self.batch_size]
        if not len(order):
            raise IndexError(f"the epoch has {self.count} batches")
        gathered = [room[: len(order)] for room in self._blocks]
        for tensor, room in zip(self.tensors, gathered, strict=True):
            torch.index_select(tensor, 0, order, out=room)
        if len(order) not in self._cuts:
            parts = (torch.split(room, self.batch_size) for room in gathered)
            self._cuts[len(order)] = list(zip(*parts, strict=True))
        self._cut = self._cuts[len(order)]
        self._block = block
