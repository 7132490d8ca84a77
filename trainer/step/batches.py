"""The rows of a table in the order of one epoch, gathered block by block and cut into contiguous batches.

No DataLoader: a batch is a view. A block holds many small batches, so that gathering costs one call for all of
them, and stays small enough to be in cache when its batches are read.
"""

import math
import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from traind.trainer.step.flat_optimizer import ALIGNED

BLOCK_BYTES = 1 << 20
BLOCK_BATCHES = 128  # more would save little and delay a job's first step


class Prepared:
    """The results of `prepare` for each row of `raw`, computed when a row is first needed, and kept.

    Preparing the whole table at once would delay a job's first step. Steps on several threads may share them.
    """

    def __init__(self, prepare: Callable[..., tuple[Tensor, ...]], raw: Sequence[Tensor]) -> None:
        self._turn = threading.Lock()
        self._prepare = prepare
        self._raw = tuple(raw)
        self._is_made = torch.zeros(len(raw[0]), dtype=torch.bool, device=raw[0].device)
        parts = prepare(*(tensor[:1] for tensor in raw))
        self.tensors = [part.new_empty((len(raw[0]), *part.shape[1:])) for part in parts]

    def make(self, rows: Tensor) -> None:
        """Prepare the given rows that are not prepared yet."""
        if not self._raw:
            return
        with self._turn, torch.no_grad():
            new = rows[~self._is_made[rows]]
            if not (self._raw and len(new)):
                return
            parts = self._prepare(*(tensor[new] for tensor in self._raw))
            for tensor, part in zip(self.tensors, parts, strict=True):
                tensor[new] = part
            self._is_made[new] = True
            if self._is_made.all():
                self._raw = ()


class Batches:
    """`tensors` of equal length, permuted by `begin_epoch`; `at(b)` gives rows [b * B : (b + 1) * B] of each.

    The tensors of `prepared` come first. A block holds at most `block_batches` batches.
    """

    def __init__(
        self,
        tensors: Sequence[Tensor],
        batch_size: int,
        prepared: Prepared | None = None,
        *,
        block_batches: int = BLOCK_BATCHES,
    ) -> None:
        self._prepared = prepared
        if prepared is not None:
            tensors = [*prepared.tensors, *tensors]
        rows = {len(tensor) for tensor in tensors}
        if len(rows) != 1 or not rows.copy().pop():
            raise ValueError(f"training data must be tables of one length, at least one row; got {sorted(rows)}")
        self.tensors = tuple(tensor.contiguous() for tensor in tensors)
        self.rows = rows.pop()
        self.batch_size = batch_size
        row_bytes = sum(tensor.element_size() * tensor[0].numel() for tensor in self.tensors)
        step = ALIGNED // math.gcd(batch_size, ALIGNED)  # so that batches are aligned as in one permuted table
        per_block = min(block_batches, max(1, BLOCK_BYTES // max(1, row_bytes * batch_size * step)) * step)
        self._block_batches = min(per_block, -(-self.rows // batch_size))
        block_rows = min(self._block_batches * batch_size, self.rows)
        self._blocks = tuple(tensor.new_empty((block_rows, *tensor.shape[1:])) for tensor in self.tensors)
        self._order = torch.empty(0, dtype=torch.int64)
        self.whole = 0  # number of full batches of the epoch
        self._block = -1
        self._cut: list[tuple[Tensor, ...]] = []
        self._cuts: dict[
            int, list[tuple[Tensor, ...]]
        ] = {}  # by the number of rows of a block: its memory is always the same

    @property
    def count(self) -> int:
        """Number of batches of the epoch."""
        return -(-len(self._order) // self.batch_size)

    def begin_epoch(self, permutation: Tensor) -> None:
        """Set the epoch's order: the numbers of its rows."""
        self._order = permutation.to(self.tensors[0].device)
        self.whole = len(permutation) // self.batch_size
        self._block = -1

    def at(self, batch: int) -> tuple[Tensor, ...]:
        """Return one batch of each tensor, as views that are valid until another block is gathered."""
        block, place = divmod(batch, self._block_batches)
        if block != self._block:
            self._gather(block)
        return self._cut[place]

    def _gather(self, block: int) -> None:
        first = block * self._block_batches * self.batch_size
        order = self._order[first : first + self._block_batches * self.batch_size]
        if not len(order):
            raise IndexError(f"the epoch has {self.count} batches")
        if self._prepared is not None:
            self._prepared.make(order)
        gathered = [room[: len(order)] for room in self._blocks]
        for tensor, room in zip(self.tensors, gathered, strict=True):
            torch.index_select(tensor, 0, order, out=room)
        if len(order) not in self._cuts:
            parts = (torch.split(room, self.batch_size) for room in gathered)
            self._cuts[len(order)] = list(zip(*parts, strict=True))
        self._cut = self._cuts[len(order)]
        self._block = block
