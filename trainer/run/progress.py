"""When a progress event is due, and the figures it carries: the mean loss and the two rates.

Reporting may never slow training: a step costs a comparison and a look at the clock, and what is not due is only
counted. Called by `Run` only; knows no events and no files.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from traind.trainer.contract.spec import Place, TrainSpec

Loss = float | Tensor | Callable[[], float] | None
Clock = Callable[[], float]  # seconds, from any moment on

SHORTEST_S = 0.05  # 20 events a second, which is what a job is held to in any second
LONGEST_S = 10.0
AGE_PER_INTERVAL = 1_200.0  # the interval grows after a minute, and is the longest after three hours
OPENING_S = 1.0  # half as many events a second for the first second, so that ...
AHEAD_S = 0.8  # ... as many of them may go before their time: a short job shall be seen too
LOSSES_KEPT = 1_024  # losses not looked at yet; then their mean is kept instead


class Pace:
    """Lets reports through: frequent at first, ever rarer as the job grows older, so that its log stays small."""

    def __init__(self, age_s: float, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._started = clock() - age_s
        self._next = 0.0

    def is_due(self) -> bool:
        """Whether a report may go now."""
        return self._clock() >= self._next

    def take(self) -> bool:
        """Whether a report may go now; if so, it counts as gone."""
        now = self._clock()
        if now < self._next:
            return False
        age = now - self._started
        shortest = SHORTEST_S if age >= OPENING_S else 2.0 * SHORTEST_S
        self._next = max(self._next, now - max(0.0, AHEAD_S - age))
        self._next += min(LONGEST_S, max(shortest, age / AGE_PER_INTERVAL))
        return True


class Meter:
    """The loss since the last report, and rows over time: all of it, and without what was set aside."""

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._started = clock()
        self._aside_s = 0.0
        self._rows = 0
        self._losses: list[float | Tensor] = []
        self._loss_rows: list[int] = []

    def count(self, loss: Loss, rows: int) -> None:
        """Take `rows` more rows with the mean `loss`; a loss that is a function is only called by `take`."""
        self._rows += rows
        if loss is None or callable(loss):
            return
        self._losses.append(loss.detach() if isinstance(loss, Tensor) else loss)
        self._loss_rows.append(rows)
        if len(self._losses) == LOSSES_KEPT:
            self._losses, self._loss_rows = [self._mean()], [sum(self._loss_rows)]

    def take(self, loss: Loss) -> float | None:
        """Return the mean loss since this was last called; None where there was none. Waits for the device."""
        if callable(loss) and not isinstance(loss, Tensor):
            return float(loss())
        if not self._losses:
            return None
        mean = float(self._mean())
        self._losses, self._loss_rows = [], []
        return mean

    def _mean(self) -> float | Tensor:
        """Return the mean of the losses by rows; where they are tensors, still on their device."""
        tensors = [loss for loss in self._losses if isinstance(loss, Tensor)]
        if len(tensors) < len(self._losses):
            total = sum(float(loss) * rows for loss, rows in zip(self._losses, self._loss_rows, strict=True))
            return total / sum(self._loss_rows)
        losses = torch.stack(tensors).double()
        rows = torch.tensor(self._loss_rows, dtype=torch.float64, device=losses.device)
        return (losses.flatten() * rows).sum() / rows.sum()

    def rates(self) -> tuple[float | None, float | None]:
        """Return rows a second of training, and of everything."""
        wall_s = self._clock() - self._started
        steps_s = wall_s - self._aside_s
        if not self._rows or steps_s <= 0.0:
            return None, None
        return self._rows / steps_s, self._rows / wall_s

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave what happens within out of the training rate: validation, checkpoints."""
        started = self._clock()
        try:
            yield
        finally:
            self._aside_s += self._clock() - started


def finite(value: float | None) -> float | None:
    """Return `value` if JSON can say it."""
    return value if value is not None and math.isfinite(value) else None


def is_late(spec: TrainSpec, place: Place, since: float | None) -> bool:
    """Whether `max_seconds` of running have passed, this attempt (`since`) and earlier ones together."""
    limit = spec.max_seconds
    return limit is not None and since is not None and place.ran_s + time.perf_counter() - since >= limit
