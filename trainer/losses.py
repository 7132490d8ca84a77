"""The losses of steps that were taken, kept on the device until somebody asks: a step never waits for its loss."""

import torch
from torch import Tensor

PENDING = 256  # steps; as many small tensors are kept at most


class Losses:
    """A sum over rows. Added up one by one in float64: the same however often it is looked at."""

    __slots__ = ("_pending", "_rows", "_taken", "_total")

    def __init__(self) -> None:
        self._pending: list[Tensor] = []
        self._rows: list[int] = []
        self._total: tuple[float, int] = (0.0, 0)
        self._taken: tuple[float, int] = (0.0, 0)

    def add(self, loss: Tensor, rows: int) -> None:
        """Add the mean loss of `rows` rows, a scalar tensor that nobody writes to again."""
        self._pending.append(loss)
        self._rows.append(rows)
        if len(self._rows) == PENDING:
            self._fold()

    def take(self) -> float:
        """Return the mean over the rows since it was last taken, NaN where there were none. Waits for the device."""
        (total, rows), (taken, taken_rows) = self.total(), self._taken
        self._taken = (total, rows)
        return (total - taken) / (rows - taken_rows) if rows > taken_rows else float("nan")

    def total(self) -> tuple[float, int]:
        """Return the sum over all rows so far, and how many. Waits for the device."""
        self._fold()
        return self._total

    def restore(self, total: tuple[float, int]) -> None:
        """Go on from a sum over rows, all of it taken."""
        self._pending.clear()
        self._rows.clear()
        self._total = self._taken = total

    def _fold(self) -> None:
        if not self._rows:
            return
        total, total_rows = self._total
        for loss, rows in zip(torch.stack(self._pending).tolist(), self._rows, strict=True):
            total += loss * rows
            total_rows += rows
        self._total = (total, total_rows)
        self._pending.clear()
        self._rows.clear()
