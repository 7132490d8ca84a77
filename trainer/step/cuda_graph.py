"""The fast step on a GPU: forward, backward and update as one CUDA graph, launched by one call.

Data, learning rate and counts are on the device, so a step needs no round trip. A module that waits for the device in
its forward pass cannot be captured and stays eager, as do short last batches.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from traind.trainer.step.eager import EagerStep

EAGER_STEPS = 11  # before the graph is captured: in these, libraries choose kernels and allocate


class GraphStep(EagerStep):
    """Gradient steps of a module that does the same operations for every batch of one size."""

    kind = "graph"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.refusal: str | None = None  # why there is no graph
        self._taken = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: list[Tensor] = []  # the graph's inputs
        self._loss = torch.empty(0)  # the graph's output

    def _take(self, batch: Sequence[Tensor]) -> None:
        if len(batch[-1]) != self.batches.batch_size or self.refusal is not None or self._taken < EAGER_STEPS:
            self._taken += 1
            super()._take(batch)
            return
        if self._graph is None and not self._capture(batch):
            super()._take(batch)
            return
        assert self._graph is not None
        for fixed, value in zip(self._batch, batch, strict=True):
            fixed.copy_(value)
        with self.stream:
            self._graph.replay()
        self.update.taken += 1
        self.losses.add(self._loss.clone(), len(batch[-1]))

    def _capture(self, batch: Sequence[Tensor]) -> bool:
        """Capture the step without changing weights or random state; return whether that worked."""
        taken, before = self.update.taken, self.stream.state()
        self._batch = [tensor.clone() for tensor in batch]
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        try:
            with self.stream, torch.cuda.graph(graph):
                self._loss, gradients = self.differentiate(self._batch)
                self._keep(gradients)
                with torch.no_grad():
                    self.update.apply()
        except RuntimeError as error:
            self.refusal = str(error)
        else:
            self._graph = graph
        self.update.taken = taken
        self.stream.restore(before)
        return self.refusal is None
