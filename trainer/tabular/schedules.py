"""Learning rates as pure functions of the step: nothing to save, nothing to restore."""

import math
from dataclasses import dataclass
from typing import Literal

ScheduleKind = Literal["constant", "cosine", "linear"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A warm-up from 0 to `lr` over `warmup_steps`, then `kind` from `lr` to `final` at `total_steps`."""

    kind: ScheduleKind
    lr: float
    total_steps: int
    warmup_steps: int = 0
    final: float = 0.0

    def at(self, step: int) -> float:
        """Return the learning rate of the gradient step that follows `step` earlier ones."""
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        if self.kind == "constant":
            return self.lr
        share = min(1.0, (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps))
        left = 1.0 - share if self.kind == "linear" else 0.5 * (1.0 + math.cos(math.pi * share))
        return self.final + (self.lr - self.final) * left
