"""The gradient step of a job of several processes: each takes its share of every batch, and all move alike.

What torch's `DistributedDataParallel` does, with shares of unequal size too: the mean over the whole batch is made of
the shares' means by their rows. So the loss is that of one process but for the order in which numbers are added.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, distributed, nn

from traind.trainer.run.world import ALONE, World
from traind.trainer.step.eager import EagerStep, TrainingRows
from traind.trainer.step.flat_optimizer import Optimizer


class ParallelStep(EagerStep):
    """Gradient steps on one process's share of each batch, by gradients that are added up over all processes."""

    kind = "parallel"

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Any, Tensor], Tensor],
        tensors: Sequence[Tensor] | TrainingRows,
        optimizer: Optimizer,
        *,
        batch_size: int,
        seed: int = 0,
    ) -> None:
        super().__init__(model, loss, tensors, optimizer, batch_size=batch_size, seed=seed)
        self.is_quick = False  # the others are waited for after each step
        self._world = ALONE
        self._noise = _share_noise(model)
        count = sum(len(group.gradients) for group in self.groups)
        self._sum = self.groups[0].gradients.new_zeros(count + 1)  # of the gradients, and of the loss

    def across(self, world: World) -> Self:
        """Share the batches among the processes of this world; return the step."""
        self._world = world
        return self

    def _take(self, batch: Sequence[Tensor]) -> None:
        rows = len(batch[-1])
        share = self._world.share(rows)
        own = share.stop - share.start
        taken = slice(share.start, share.start + max(own, 1))  # who has none draws the same noise all the same
        for noise in self._noise:
            noise.rows, noise.share = rows, taken
        with self.stream:
            loss, gradients = self.differentiate([tensor[taken] for tensor in batch])
        self._keep(gradients)
        self._add_up(loss, own / rows)
        self._finish(self._sum[-1].clone(), rows)

    def _add_up(self, loss: Tensor, weight: float) -> None:
        """Replace the gradients by those of the whole batch; leave its loss at the end of the sum."""
        flats = [group.gradients for group in self.groups]
        with torch.no_grad():
            torch.cat([*flats, loss.reshape(1)], out=self._sum)
            if weight:
                self._sum.mul_(weight)
            else:
                self._sum.zero_()
            distributed.all_reduce(self._sum)
            parts = torch.split(self._sum[:-1], [len(flat) for flat in flats])
            for flat, part in zip(flats, parts, strict=True):
                flat.copy_(part)


class SharedDropout(nn.Dropout):
    """Dropout that draws for the rows of the whole batch and takes its share's: on a CPU what one process draws."""

    rows = 0
    share = slice(0, 0)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that torch gives it
        """Return the rows of the share, some of their numbers zeroed, the others scaled."""
        if not self.training or self.p == 0.0:
            return input
        kept = 1.0 - self.p
        noise = input.new_empty((self.rows, *input.shape[1:])).bernoulli_(kept).div_(kept)
        return input * noise[self.share]


def _share_noise(model: nn.Module) -> list[SharedDropout]:
    """Have the model's dropout draw for whole batches; return its parts that do."""
    found = [part for part in model.modules() if type(part) in (nn.Dropout, SharedDropout)]
    for part in found:
        part.__class__ = SharedDropout
    return [part for part in found if isinstance(part, SharedDropout)]
