"""When a progress event is due, and its mean loss and rates.

Reporting must not slow training: a step costs a comparison and a read of the clock; a report that is not due is only
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
Clock = Callable[[], float]  # seconds since any fixed moment

SHORTEST_S = 0.05  # at most 20 events a second
LONGEST_S = 10.0
AGE_PER_INTERVAL = 1_200.0  # the interval grows after a minute and is longest after three hours
OPENING_S = 1.0  # for the first second half as many events a second, so that ...
AHEAD_S = 0.8  # ... they may come early: a short job is to be seen too
LOSSES_KEPT = 1_024  # losses kept; then their mean replaces them


class Pace:
    """Decides when reports are due: often at first, more rarely as the job grows older, to keep its log small."""

    def __init__(self, age_s: float, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._started = clock() - age_s
        self._next = 0.0

    def is_due(self) -> bool:
        """Return whether a report is due now."""
        return self._clock() >= self._next

    def take(self) -> bool:
        """Return whether a report is due now; if so, it counts as sent."""
        now = self._clock()
        if now < self._next:
            return False
        age = now - self._started
        shortest = SHORTEST_S if age >= OPENING_S else 2.0 * SHORTEST_S
        self._next = max(self._next, now - max(0.0, AHEAD_S - age))
        self._next += min(LONGEST_S, max(shortest, age / AGE_PER_INTERVAL))
        return True


class Meter:
    """The mean loss since the last report, and rows a second: over all time, and without the time set aside."""

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._started = clock()
        self._aside_s = 0.0
        self._rows = 0
        self._losses: list[float | Tensor] = []
        self._loss_rows: list[int] = []

    def count(self, loss: Loss, rows: int) -> None:
        """Count `rows` more rows with the mean `loss`; a loss that is a function is called by `take` only."""
        self._rows += rows
        if loss is None or callable(loss):
            return
        self._losses.append(loss.detach() if isinstance(loss, Tensor) else loss)
        self._loss_rows.append(rows)
        if len(self._losses) == LOSSES_KEPT:
            self._losses, self._loss_rows = [self._mean()], [sum(self._loss_rows)]

    def take(self, loss: Loss) -> float | None:
        """Return the mean loss since the last call, or None without any. Waits for the device."""
        if callable(loss) and not isinstance(loss, Tensor):
            return float(loss())
        if not self._losses:
            return None
        mean = float(self._mean())
        self._losses, self._loss_rows = [], []
        return mean

    def _mean(self) -> float | Tensor:
        """Return the mean of the losses weighted by rows; of tensors, on their device."""
        tensors = [loss for loss in self._losses if isinstance(loss, Tensor)]
        if len(tensors) < len(self._losses):
            total = sum(float(loss) * rows for loss, rows in zip(self._losses, self._loss_rows, strict=True))
            return total / sum(self._loss_rows)
        losses = torch.stack(tensors).double()
        rows = torch.tensor(self._loss_rows, dtype=torch.float64, device=losses.device)
        return (losses.flatten() * rows).sum() / rows.sum()

    def rates(self) -> tuple[float | None, float | None]:
        """Return rows a second of training time, and of all time."""
        wall_s = self._clock() - self._started
        steps_s = wall_s - self._aside_s
        if not self._rows or steps_s <= 0.0:
            return None, None
        return self._rows / steps_s, self._rows / wall_s

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave the time within out of the training rate: validation, checkpoints."""
        started = self._clock()
        try:
            yield
        finally:
            self._aside_s += self._clock() - started


def finite(value: float | None) -> float | None:
    """Return `value`, or None if it is not finite, which JSON cannot express."""
    return value if value is not None and math.isfinite(value) else None


def is_late(spec: TrainSpec, place: Place, since: float | None) -> bool:
    """Return whether `max_seconds` have passed, over this attempt (since `since`) and earlier ones."""
    limit = spec.max_seconds
    return limit is not None and since is not None and place.ran_s + time.perf_counter() - since >= limit
