"""The losses of steps that were taken. On a device they stay there until somebody asks: a step never waits for it."""

import torch
from torch import Tensor

PENDING = 256  # steps; as many small tensors are kept at most


class Losses:
    """A sum over rows. Added up one by one in float64: the same however often it is looked at."""

    __slots__ = ("_pending", "_rows", "_sum", "_taken", "_waiting")

    def __init__(self) -> None:
        self._sum = 0.0
        self._rows = 0
        self._taken: tuple[float, int] = (0.0, 0)
        self._pending: list[Tensor] = []
        self._waiting: list[int] = []  # rows

    def add(self, loss: Tensor, rows: int) -> None:
        """Add the mean loss of `rows` rows, a scalar tensor that nobody writes to again."""
        if loss.is_cpu:
            self._sum += loss.item() * rows
            self._rows += rows
            return
        self._pending.append(loss)
        self._waiting.append(rows)
        if len(self._waiting) == PENDING:
            self._fold()

    def take(self) -> float:
        """Return the mean over the rows since it was last taken, NaN where there were none. Waits for the device."""
        (total, rows), (taken, taken_rows) = self.total(), self._taken
        self._taken = (total, rows)
        return (total - taken) / (rows - taken_rows) if rows > taken_rows else float("nan")

    def total(self) -> tuple[float, int]:
        """Return the sum over all rows so far, and how many. Waits for the device."""
        if self._pending:
            self._fold()
        return self._sum, self._rows

    def restore(self, total: tuple[float, int]) -> None:
        """Go on from a sum over rows, all of it taken."""
        self._pending.clear()
        self._waiting.clear()
        self._sum, self._rows = self._taken = total

    def _fold(self) -> None:
        for loss, rows in zip(torch.stack(self._pending).tolist(), self._waiting, strict=True):
            self._sum += loss * rows
            self._rows += rows
        self._pending.clear()
        self._waiting.clear()
