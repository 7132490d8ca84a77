"""The `Step` protocol, and the choice of its implementation.

A `Step` owns the parameters, the optimizer, the weight average and the random stream of a training run. `EagerStep`
runs the module with autograd; `ReplayStep` (on CPUs) and `GraphStep` (on GPUs) replay it without autograd or Python
overhead, and give the same weights bit for bit. A job of several processes has `ParallelStep` in each. The loop does
not know which one it has.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from torch import Tensor, nn

from traind.trainer.step.cuda_graph import GraphStep
from traind.trainer.step.eager import EagerStep, TrainingRows
from traind.trainer.step.flat_optimizer import Optimizer
from traind.trainer.step.replay.replay import ReplayStep

Loss = Callable[[Any, Tensor], Tensor]


class Step(Protocol):
    """Gradient steps on the batches of an epoch. Only methods that say so wait for the device."""

    kind: str  # "eager", "replay", "graph" or "parallel"
    is_quick: bool  # a step takes some milliseconds at most: several can be taken between two checks

    def begin_epoch(self, *orders: Tensor) -> None:
        """Set the epoch's order of the training rows, int64 row numbers: one order for each member."""

    def run(self, batch_index: int) -> None:
        """Take one gradient step on rows [b * B : (b + 1) * B] of the epoch; the last batch may be short."""

    def steps(self, first: int, count: int, lrs: Sequence[float]) -> Iterator[int]:
        """Take a gradient step on each of `count` batches, at these learning rates if given.

        Yields after each step how many have been taken. Nothing else may touch tensors until the generator has ended.
        """

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the steps that follow."""

    def take_loss(self) -> float:
        """Return the mean loss of the rows since the last call, NaN without any. Waits."""

    def loss_total(self) -> tuple[float, int]:
        """Return the sum of the rows' losses since the first step, and their number, taking nothing. Waits."""

    def is_finite(self) -> bool:
        """Return whether all weights are finite. Waits; to be called before weights are saved."""

    def drop_lost(self, epoch: int) -> Sequence[int]:
        """Leave out what has diverged beside the monitor; return the numbers of these members. Waits."""

    def keep(self, *, averaged: bool = True) -> list[Tensor]:
        """Return a copy of the weights (of their average if there is one) for `weights`; faster than that."""

    def weights(self, kept: Sequence[Tensor] | None = None, *, averaged: bool = True) -> dict[str, Tensor]:
        """Return a copy of the module's state dict, with the averaged or the `kept` weights. Waits."""

    def evaluation(self, *, averaged: bool = True) -> AbstractContextManager[nn.Module]:
        """Yield the module in evaluation mode with the weights of `weights`; no step may run meanwhile."""

    def state(self) -> dict[str, Any]:
        """Return a copy of everything that the next steps depend on, as plain values and tensors. Waits."""

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned; raises `CheckpointDamaged` for another model or optimizer."""


def make_step(
    model: nn.Module,
    loss: Loss,
    tensors: Sequence[Tensor] | TrainingRows,
    optimizer: Optimizer,
    *,
    batch_size: int,
    seed: int = 0,
) -> Step:
    """Return the fastest step with the same result as eager PyTorch.

    `tensors` are the training rows: the inputs of `model` in order, then the target, all on the model's device; or
    the rows of another step whose model prepares them in the same way. `loss(model(*inputs), target)` is the mean
    over the rows of a batch. The parameters of `model` become views of buffers of the step. The results of an
    `eager.Preparing` model's `prepare` are computed once for all epochs.
    """
    ways: dict[str, type[EagerStep]] = {"cpu": ReplayStep, "cuda": GraphStep}
    rows = tensors if isinstance(tensors, TrainingRows) else TrainingRows.of(model, tensors)
    way = ways.get(rows.tensors[-1].device.type, EagerStep)
    return way(model, loss, rows, optimizer, batch_size=batch_size, seed=seed)
