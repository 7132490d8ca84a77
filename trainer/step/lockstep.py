"""Several networks trained side by side: one step of each is one step for the loop.

The first member is the monitor, whose loss and evaluation are reported. The members share only the training rows;
each has its own weights, order of rows and random stream, so that the result is bit for bit that of training it
alone, on as many threads as there are.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from traind.trainer.contract.errors import CheckpointDamaged
from traind.trainer.step.step import Step

PREFIX = "members"  # names of weights are `members.<number>.<name>`


class Lockstep:
    """Gradient steps of all members at once. Batch `b` of an epoch is batch `b` of each member's own order.

    On several `threads` members take their steps at the same time, each on one thread.
    """

    def __init__(self, members: Sequence[Step], *, threads: int = 1) -> None:
        self.members = tuple(members)
        self.monitor = self.members[0]
        self.kind = self.monitor.kind
        self.is_quick = all(member.is_quick for member in self.members)
        threads = min(threads, len(self.members))
        self._pool = ThreadPoolExecutor(threads, "member", torch.set_num_threads, (1,)) if threads > 1 else None

    def begin_epoch(self, *orders: Tensor) -> None:
        """Set the epoch's order of the training rows, one for each member."""
        for member, order in zip(self.members, orders, strict=True):
            member.begin_epoch(order)

    def run(self, batch_index: int) -> None:
        """Take one gradient step of each member."""
        for _ in self.steps(batch_index, 1, ()):
            pass

    def steps(self, first: int, count: int, lrs: Sequence[float]) -> Iterator[int]:
        """Take `count` steps of the monitor, then as many of each other member as the monitor has taken.

        On several threads all members take all of them before the first and only yield.
        """
        if self._pool is not None:
            list(self._pool.map(lambda member: _take(member, first, count, lrs), self.members))
            yield count
            return
        taken = 0
        try:
            for taken in self.monitor.steps(first, count, lrs):
                yield taken
        finally:
            for member in self.members[1:]:
                _take(member, first, taken, lrs[:taken])

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the steps that follow."""
        for member in self.members:
            member.set_lr(lr)

    def take_loss(self) -> float:
        """Return the monitor's mean loss of the rows since the last call."""
        return self.monitor.take_loss()

    def loss_total(self) -> tuple[float, int]:
        """Return the sum of the monitor's losses of rows since the first step, and their number."""
        return self.monitor.loss_total()

    def is_finite(self) -> bool:
        """Return whether all weights of all members are finite."""
        return all(member.is_finite() for member in self.members)

    def keep(self, *, averaged: bool = True) -> list[Tensor]:
        """Return a copy of the weights for `weights`."""
        return [tensor for member in self.members for tensor in member.keep(averaged=averaged)]

    def weights(self, kept: Sequence[Tensor] | None = None, *, averaged: bool = True) -> dict[str, Tensor]:
        """Return a copy of the state dict of an `Ensemble` of the members."""
        kept = self.keep(averaged=averaged) if kept is None else kept
        each = len(kept) // len(self.members)
        return {
            f"{PREFIX}.{number}.{name}": tensor
            for number, member in enumerate(self.members)
            for name, tensor in member.weights(kept[number * each : (number + 1) * each]).items()
        }

    def evaluation(self, *, averaged: bool = True) -> AbstractContextManager[nn.Module]:
        """Yield the monitor in evaluation mode."""
        return self.monitor.evaluation(averaged=averaged)

    def state(self) -> dict[str, Any]:
        """Return a copy of everything that the next steps depend on."""
        return {"members": [member.state() for member in self.members]}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        states = state.get("members", ())
        if len(states) != len(self.members):
            raise CheckpointDamaged(f"The checkpoint is of {len(states) or 1} networks, not of {len(self.members)}.")
        for member, saved in zip(self.members, states, strict=True):
            member.restore(saved)


def _take(member: Step, first: int, count: int, lrs: Sequence[float]) -> None:
    for _ in member.steps(first, count, lrs):
        pass
