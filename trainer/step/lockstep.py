"""Several networks trained side by side: one step of each is one step for the loop.

The first member is the monitor, whose loss and evaluation are reported. The members share only the training rows;
each has its own weights, order of rows and random stream, so that the result is bit for bit that of training it
alone, on as many threads as there are. A member that diverges is left out, and no other notices,
unless it is the monitor.
"""

import math
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
        self.dropped: dict[int, int] = {}  # number of a member that is left out: the epoch in which it diverged
        threads = min(threads, len(self.members))
        self._pool = ThreadPoolExecutor(threads, "member", torch.set_num_threads, (1,)) if threads > 1 else None

    def begin_epoch(self, *orders: Tensor) -> None:
        """Set the epoch's order of the training rows, one for each member."""
        for (number, member), order in zip(enumerate(self.members), orders, strict=True):
            if number not in self.dropped:
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
            list(self._pool.map(lambda member: _take(member, first, count, lrs), self._trained()))
            yield count
            return
        taken = 0
        try:
            for taken in self.monitor.steps(first, count, lrs):
                yield taken
        finally:
            for member in self._trained()[1:]:
                _take(member, first, taken, lrs[:taken])

    def drop_lost(self, epoch: int) -> Sequence[int]:
        """Leave out members that diverged in this epoch, but for the monitor; return their numbers. Waits."""
        lost = [
            number
            for number, member in enumerate(self.members)
            if number and number not in self.dropped
            if not (math.isfinite(member.loss_total()[0]) and member.is_finite())
        ]
        self.dropped |= dict.fromkeys(lost, epoch)
        return lost

    def _trained(self) -> list[Step]:
        return [member for number, member in enumerate(self.members) if number not in self.dropped]

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
        """Return whether all weights of the monitor are finite; of others see `drop_lost`."""
        return self.monitor.is_finite()

    def keep(self, *, averaged: bool = True) -> list[Tensor]:
        """Return a copy of the weights for `weights`; empty tensors stand for members that are left out."""
        of_monitor = self.monitor.keep(averaged=averaged)
        found = list(of_monitor)
        for number, member in enumerate(self.members[1:], 1):
            found += (
                [tensor.new_empty(0) for tensor in of_monitor]
                if number in self.dropped
                else member.keep(averaged=averaged)
            )
        return found

    def weights(self, kept: Sequence[Tensor] | None = None, *, averaged: bool = True) -> dict[str, Tensor]:
        """Return a copy of the state dict of an `Ensemble` of the members, without those that are left out."""
        kept = self.keep(averaged=averaged) if kept is None else kept
        each = len(kept) // len(self.members)
        return {
            f"{PREFIX}.{number}.{name}": tensor
            for number, member in enumerate(self.members)
            if number not in self.dropped
            for name, tensor in member.weights(kept[number * each : (number + 1) * each]).items()
        }

    def evaluation(self, *, averaged: bool = True) -> AbstractContextManager[nn.Module]:
        """Yield the monitor in evaluation mode."""
        return self.monitor.evaluation(averaged=averaged)

    def state(self) -> dict[str, Any]:
        """Return a copy of everything that the next steps depend on."""
        states = [None if number in self.dropped else member.state() for number, member in enumerate(self.members)]
        return {"members": states, "dropped": dict(self.dropped)}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        states = state.get("members", ())
        if len(states) != len(self.members):
            raise CheckpointDamaged(f"The checkpoint is of {len(states) or 1} networks, not of {len(self.members)}.")
        self.dropped = dict(state.get("dropped", {}))  # states of before members could be left out have none
        for number, member in enumerate(self.members):
            if number not in self.dropped:
                member.restore(states[number])


def _take(member: Step, first: int, count: int, lrs: Sequence[float]) -> None:
    for _ in member.steps(first, count, lrs):
        pass
