"""Learning rates as pure functions of the step: nothing to save, nothing to restore."""

import math
from dataclasses import dataclass, replace
from typing import Literal

ScheduleKind = Literal["constant", "cosine", "linear"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A warm-up from 0 to `lr` over `warmup_steps` from `start` on, then `kind` to `final` at `total_steps`."""

    kind: ScheduleKind
    lr: float
    total_steps: int
    warmup_steps: int = 0
    final: float = 0.0
    start: int = 0  # the step that it begins at

    def at(self, step: int) -> float:
        """Return the learning rate of the gradient step that follows `step` earlier ones."""
        step = max(0, step - self.start)
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        if self.kind == "constant":
            return self.lr
        share = min(1.0, (step - self.warmup_steps) / max(1, self.total_steps - self.start - self.warmup_steps))
        left = 1.0 - share if self.kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * share))
        return self.final + (self.lr - self.final) * left

    def changed(self, step: int, lr: float | None, total_steps: int) -> "Schedule":
        """Return what follows after `step` steps: from `lr`, or from the rate there, to the end at `total_steps`.

        A rate that is said ends a warm-up; a warm-up that goes on leads to the rate that it was to lead to.
        """
        if lr is None and step - self.start < self.warmup_steps:
            return replace(self, total_steps=total_steps)
        rate = self.at(step) if lr is None else lr
        return replace(self, lr=rate, total_steps=total_steps, warmup_steps=0, start=step)
