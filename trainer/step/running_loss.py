"""The losses of past steps. On a GPU they stay on the device until they are read, so that no step waits."""

import torch
from torch import Tensor

PENDING = 256  # steps whose losses are kept as tensors, at most


class Losses:
    """The sum of losses over rows, added one by one in float64, so that it does not depend on when it is read."""

    __slots__ = ("_pending", "_rows", "_sum", "_taken", "_waiting")

    def __init__(self) -> None:
        self._sum = 0.0
        self._rows = 0
        self._taken: tuple[float, int] = (0.0, 0)
        self._pending: list[Tensor] = []
        self._waiting: list[int] = []  # rows

    def add(self, loss: Tensor, rows: int) -> None:
        """Add the mean loss of `rows` rows, a scalar tensor that is not changed later."""
        if loss.is_cpu:
            self._sum += loss.item() * rows
            self._rows += rows
            return
        self._pending.append(loss)
        self._waiting.append(rows)
        if len(self._waiting) == PENDING:
            self._fold()

    def take(self) -> float:
        """Return the mean over the rows since the last call, NaN without any. Waits for the device."""
        (total, rows), (taken, taken_rows) = self.total(), self._taken
        self._taken = (total, rows)
        return (total - taken) / (rows - taken_rows) if rows > taken_rows else float("nan")

    def total(self) -> tuple[float, int]:
        """Return the sum over all rows so far, and their number. Waits for the device."""
        if self._pending:
            self._fold()
        return self._sum, self._rows

    def restore(self, total: tuple[float, int]) -> None:
        """Go on from a sum over rows, and take all of it."""
        self._pending.clear()
        self._waiting.clear()
        self._sum, self._rows = self._taken = total

    def _fold(self) -> None:
        for loss, rows in zip(torch.stack(self._pending).tolist(), self._waiting, strict=True):
            self._sum += loss * rows
            self._rows += rows
        self._pending.clear()
        self._waiting.clear()
