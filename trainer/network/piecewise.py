"""Piecewise-linear embeddings of numbers, and their bin edges.

The function is that of `rtdl_num_embeddings.PiecewiseLinearEmbeddings(version="B", activation=False)` (Gorishniy et
al., On Embeddings for Numerical Features, NeurIPS 2022; TabM, ICLR 2025). Only the arithmetic differs: instead of
multiplying an encoding of mostly ones and zeros, a number's bin is looked up, at the same cost for 8 bins and for
128. That takes a third of the time in training and a tenth in prediction.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rtdl_num_embeddings import LinearEmbeddings
from torch import Tensor, nn

from traind.data.encoding.encoder import quantiles

BIN_CELLS = 2_000_000  # cells of a table that are enough for quantiles
CLOSEST = 1e-5  # edges nearer than this make slopes too steep for float32


class PiecewiseLinear(nn.Module):
    """Numbers (rows, features) float32 to vectors (rows, features, dim), continuous and linear between the edges.

    `prepare` computes the part that depends on no weight. Initially the embedding is linear, since the slopes of the
    pieces start at 0. Beyond the edges the first and last piece continue, or with `is_bounded` end: what a narrow
    piece has learned says nothing of a number ten of them away (a later day). The linear part goes on.
    """

    def __init__(self, edges: Sequence[Tensor], dim: int, *, is_bounded: bool = False) -> None:
        super().__init__()
        self.is_bounded = is_bounded
        features, pieces = len(edges), max(len(edge) for edge in edges) - 1
        self.linear = LinearEmbeddings(features, dim)
        self.slopes = nn.Parameter(torch.zeros(features, pieces, dim))
        inner = torch.full((features, pieces - 1), torch.inf)
        starts, scales = torch.zeros(features, pieces), torch.zeros(features, pieces)
        for place, edge in enumerate(edges):
            inner[place, : len(edge) - 2] = edge[1:-1]
            starts[place, : len(edge) - 1] = edge[:-1]
            scales[place, : len(edge) - 1] = 1.0 / edge.diff()
        self.register_buffer("inner", inner)
        self.register_buffer("starts", starts)
        self.register_buffer("scales", scales)
        self.register_buffer("offsets", torch.arange(features) * pieces, persistent=False)
        self.inner: Tensor
        self.starts: Tensor
        self.scales: Tensor
        self.offsets: Tensor

    def prepare(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the arguments of `forward`, all (rows, features): numbers, their pieces, positions in these."""
        pieces = self._pieces(numbers) + self.offsets
        starts, scales = self.starts.flatten(), self.scales.flatten()
        shares = (numbers - starts[pieces]) * scales[pieces]
        return numbers, pieces, shares.clamp(0.0, 1.0) if self.is_bounded else shares

    def forward(self, numbers: Tensor, pieces: Tensor, shares: Tensor) -> Tensor:
        """Return the vectors: the sum over the pieces below a number, plus its position in its own piece."""
        weights = (self.slopes, self.linear.weight, self.linear.bias)
        if numbers.requires_grad or not torch.is_grad_enabled():
            return _embedded(*weights, numbers, pieces, shares)
        vectors: Tensor = _Embedded.apply(*weights, numbers, pieces, shares)  # type: ignore[no-untyped-call]
        return vectors

    def _pieces(self, numbers: Tensor) -> Tensor:
        """Return the index of each number's piece, int64 (rows, features)."""
        if torch.onnx.is_in_onnx_export():  # ONNX has no binary search
            return (numbers.unsqueeze(2) >= self.inner).long().sum(2)
        return torch.searchsorted(self.inner, numbers.t().contiguous(), right=True).t()


def _embedded(
    slopes: Tensor, weight: Tensor, bias: Tensor, numbers: Tensor, pieces: Tensor, shares: Tensor
) -> Tensor:
    """Return the vectors of a `PiecewiseLinear` of these weights; the last three are the arguments of its forward."""
    dim = slopes.shape[2]
    before = slopes.cumsum(1) - slopes + bias.unsqueeze(1)
    table = torch.cat((before, slopes), dim=2).flatten(0, 1)  # side by side: one look-up finds both
    found = table.index_select(0, pieces.flatten()).view(*pieces.shape, 2 * dim)
    vectors = torch.addcmul(found[..., :dim], found[..., dim:], shares.unsqueeze(2))
    return torch.addcmul(vectors, weight, numbers.unsqueeze(2))


class _Embedded(torch.autograd.Function):
    """`_embedded` and its derivative by the weights, in half the passes over memory that autograd takes."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        slopes, _weight, _bias, numbers, pieces, shares = given
        ctx.save_for_backward(slopes, numbers, pieces, shares)
        return _embedded(*given)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        slopes, numbers, pieces, shares = ctx.saved_tensors
        features, count, dim = slopes.shape
        rows = torch.cat((gradient, gradient * shares.unsqueeze(2)), dim=2).view(-1, 2 * dim)
        table = _sums(rows, pieces.flatten(), features * count).view(features, count, 2 * dim)
        summed, own = table[..., :dim].cumsum(1), table[..., dim:]
        total = summed[:, -1:]  # a piece's slope counts in full for the numbers above it
        weight = (gradient * numbers.unsqueeze(2)).sum(0)
        return total - summed + own, weight, total.squeeze(1), None, None, None


def _sums(rows: Tensor, places: Tensor, count: int) -> Tensor:
    """Return the sum of the rows at each of `count` places, added in their order."""
    if rows.is_cuda:  # where index_add_ adds in any order
        sums: Tensor = torch.ops.aten.embedding_dense_backward(rows, places, count, -1, False)
        return sums
    return rows.new_zeros(count, rows.shape[1]).index_add_(0, places, rows)


def fit_edges(numeric: NDArray[np.float32], count: int) -> list[Tensor]:
    """Return edges of at most `count` pieces for each feature of (rows, features); constants get one edge."""
    step = max(1, numeric.size // BIN_CELLS)
    return [torch.from_numpy(_edges(column, count)) for column in numeric[::step].T]


def _edges(column: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return the distinct values if they are few; else quantiles, and where these coincide, quantiles of the rest.

    A feature that is mostly one value (a capital gain of 0) has few distinct quantiles; the remaining pieces go to
    its other values.
    """
    ordered = np.sort(column)
    values = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    if len(values) > count + 1:
        edges = np.unique(quantiles(ordered, np.linspace(0.0, 1.0, count + 1)).astype(np.float32))
        left = count + 1 - len(edges)
        if left > 2:
            rest = np.setdiff1d(values, edges, assume_unique=True)
            more = quantiles(rest, np.linspace(0.0, 1.0, left + 2)[1:-1]).astype(np.float32)
            edges = np.union1d(edges, more)
        values = edges
    return _apart(values)


def _apart(edges: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the ascending edges without those too close to one that is kept."""
    kept = [edges[0]]
    for edge in edges[1:]:
        if edge - kept[-1] > CLOSEST:
            kept.append(edge)
    return np.array(kept, np.float32)
