"""The fast step on CPUs: a recorded eager step, replayed as straight-line code, bit for bit the same.

A batch shape first runs eagerly, then is recorded, planned and checked on real batches against eager PyTorch. Shapes
that cannot be recorded, planned or reproduced to the last bit stay eager. Since the results are the same, a resumed
job need not know which steps were replayed.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from traind.trainer.step.eager import EagerStep
from traind.trainer.step.replay.codegen import Plan, make_plan
from traind.trainer.step.replay.liveness import Borders, NotReplayable
from traind.trainer.step.replay.tape import record

# Planning takes as long as fifty small steps or four large ones: a shape must first occur often enough.
EAGER_STEPS = 8
EAGER_STEPS_LARGE = 24  # for large steps, where a plan saves a smaller share
EAGER_STEPS_SHORT = 16  # of the short last batch, which occurs once an epoch
CHECKS = 2  # batches on which a plan must equal eager PyTorch before it is used

_nothing = contextlib.nullcontext()


class ReplayStep(EagerStep):
    """Gradient steps of a module that does the same operations for every batch of one size.

    The module's Python code runs only until a shape is planned; its side effects other than tensor operations are not
    repeated after that.
    """

    kind = "replay"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.plans: dict[int, Plan] = {}  # by rows
        self.refusals: dict[int, str] = {}  # why there is no plan, by rows
        self._candidates: dict[int, Plan] = {}
        self._taken: Counter[int] = Counter()  # steps without a plan, by rows

    def steps(self, first: int, count: int, lrs: Sequence[float]) -> Iterator[int]:
        """Take a gradient step on each of `count` batches; yield after each step how many have been taken."""
        rows = self.batches.batch_size
        plan = self.plans.get(rows)
        if plan is None or first + count > self.batches.whole:
            yield from super().steps(first, count, lrs)
            return
        at, step, update, add = self.batches.at, plan.run, self.update, self.losses.add
        stream = self.stream if plan.is_random else _nothing
        with torch._C._InferenceMode(True), stream:  # noqa: SLF001 - a third of the time of torch.inference_mode
            for place in range(count):
                if lrs:
                    update.lr = lrs[place]
                loss = step(*at(first + place))
                update.apply()
                add(loss, rows)
                yield place + 1

    def _take(self, batch: Sequence[Tensor]) -> None:
        rows = len(batch[-1])
        plan = self.plans.get(rows)
        if plan is None:
            self._run_without_plan(batch, rows)
            return
        with torch._C._InferenceMode(True):  # noqa: SLF001 - as above
            loss = self._replay(plan, batch)
            self.update.apply()
        self.losses.add(loss, rows)

    def _replay(self, plan: Plan, batch: Sequence[Tensor]) -> Tensor:
        if not plan.is_random:
            return plan.run(*batch)
        with self.stream:
            return plan.run(*batch)

    def _run_without_plan(self, batch: Sequence[Tensor], rows: int) -> None:
        taken = self._taken[rows]
        self._taken[rows] += 1
        patience = self._patience(rows)
        if rows in self.refusals or taken < patience:
            with self.stream:
                loss, gradients = self.differentiate(batch)
            self._keep(gradients)
        else:
            loss = self._compare(batch, rows)
            if taken == patience + CHECKS - 1 and rows in self._candidates:
                self.plans[rows] = self._candidates.pop(rows)
        self._finish(loss, rows)

    def _patience(self, rows: int) -> int:
        if rows != self.batches.batch_size:
            return EAGER_STEPS_SHORT
        return EAGER_STEPS if self.is_quick else EAGER_STEPS_LARGE

    def _compare(self, batch: Sequence[Tensor], rows: int) -> Tensor:
        """Take the step eagerly and by plan, discard the plan unless the bits are the same, and return the loss."""
        before = self._surroundings()
        with self.stream:
            loss, gradients = self._planned(batch, rows)
        after = self._surroundings()
        if rows in self._candidates:
            self._restore_surroundings(before)
            if self._reproduces(self._candidates[rows], batch, [loss, *gradients, *after]):
                return loss
            self.refusals[rows] = "its results differ from eager PyTorch's"
            del self._candidates[rows]
            self._restore_surroundings(after)
        self._keep(gradients)
        return loss

    def _reproduces(self, plan: Plan, batch: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
        try:
            with torch.inference_mode():
                loss = self._replay(plan, batch)
                return all(map(torch.equal, [loss, *self.update.gradients, *self._surroundings()], expected))
        except (RuntimeError, TypeError, ValueError, IndexError):
            return False

    def _planned(self, batch: Sequence[Tensor], rows: int) -> tuple[Tensor, Sequence[Tensor]]:
        """Differentiate eagerly; if there is no candidate plan yet, record this and make one."""
        if rows in self._candidates:
            return self.differentiate(batch)
        lasting = (*self.model.parameters(), *self.model.buffers())
        tape, (loss, gradients) = record(lambda: self.differentiate(batch))
        places = tuple(zip(gradients, self.update.gradients, strict=True))
        try:
            self._candidates[rows] = make_plan(tape, Borders(tuple(batch), lasting, loss, places))
        except NotReplayable as obstacle:
            self.refusals[rows] = str(obstacle)
        return loss, gradients

    def _surroundings(self) -> list[Tensor]:
        """Return copies of what a step changes other than gradients: random stream and buffers."""
        return [*self.stream.state(), *(buffer.clone() for buffer in self.model.buffers())]

    def _restore_surroundings(self, kept: Sequence[Tensor]) -> None:
        streams = len(self.stream.state())
        self.stream.restore(list(kept[:streams]))
        with torch.no_grad():
            for buffer, value in zip(self.model.buffers(), kept[streams:], strict=True):
                buffer.copy_(value)
