"""Learning rate schedules as pure functions of the step, without state."""

import math
from dataclasses import dataclass, replace
from typing import Literal

ScheduleKind = Literal["constant", "cosine", "linear"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """From step `start` on a warm-up from 0 to `lr` in `warmup_steps`, then `kind` to `final` at `total_steps`."""

    kind: ScheduleKind
    lr: float
    total_steps: int
    warmup_steps: int = 0
    final: float = 0.0
    start: int = 0  # the step at which it begins

    def at(self, step: int) -> float:
        """Return the learning rate of the step after `step` earlier ones."""
        step = max(0, step - self.start)
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        if self.kind == "constant":
            return self.lr
        share = min(1.0, (step - self.warmup_steps) / max(1, self.total_steps - self.start - self.warmup_steps))
        left = 1.0 - share if self.kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * share))
        return self.final + (self.lr - self.final) * left

    def changed(self, step: int, lr: float | None, total_steps: int) -> "Schedule":
        """Return the schedule after `step` steps: from `lr`, or the rate at that step, to the end at `total_steps`.

        A new rate ends a warm-up; without one a warm-up goes on as before.
        """
        if lr is None and step - self.start < self.warmup_steps:
            return replace(self, total_steps=total_steps)
        rate = self.at(step) if lr is None else lr
        return replace(self, lr=rate, total_steps=total_steps, warmup_steps=0, start=step)
