"""The networks: linear, multilayer perceptron, TabM, with embeddings of numbers and categories.

`build` makes the network of a recipe for a table; `rebuild` makes it again from the plain values of `architecture`,
to load a saved `state_dict` (bins of the piecewise-linear embeddings are buffers). Every forward takes `(numeric,
categorical)`, has static shapes and no control flow that depends on data, so it can be captured.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Literal, Protocol, cast

import msgspec
import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from rtdl_num_embeddings import PeriodicEmbeddings
from tabm import EnsembleView, LinearBatchEnsemble, LinearEnsemble
from torch import Tensor, nn

from traind.data.encoding.encoder import Bag
from traind.trainer.contract.memory import ONE_HOT_LEVELS, TEXT_WIDTH, category_width
from traind.trainer.network.piecewise import PiecewiseLinear, fit_edges
from traind.trainer.network.recipe import Recipe

EMBEDDING_STD = 0.1  # of initial category vectors, as small as a layer's initial weights


class Table(Protocol):
    """The part of an encoded split that decides a network's shape."""

    @property
    def numeric(self) -> NDArray[np.float32]:
        """(rows, numeric features)."""


class Architecture(Struct, frozen=True):
    """A network's shape in plain values; with a `state_dict` it is the whole network."""

    kind: Literal["linear", "mlp", "tabm"]
    outputs: int
    numeric: int
    cardinalities: tuple[int, ...]
    hidden: tuple[int, ...] = ()
    heads: int = 1
    embedding: Literal["none", "piecewise_linear", "periodic"] = "none"
    embedding_dim: int = 16
    edges: tuple[int, ...] = ()  # number of bin edges of each numeric feature; below 3 it is not embedded
    is_bounded: bool = False  # whether the outer pieces of embeddings end at the outer edges; not in older models
    dropout: float = 0.0
    bags: tuple[Bag, ...] = ()  # the categorical columns after those of `cardinalities`: tokens of texts
    members: int = 1  # networks of this shape whose outputs are averaged


class Network(nn.Module):
    """Encodes the columns of a row, then predicts.

    Args of forward: numeric (rows, features) float32, categorical (rows, columns) int64. Returns (rows, outputs), or
    (rows, heads, outputs) where there are several heads.
    """

    def __init__(self, architecture: Architecture, bins: list[Tensor] | None = None) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = msgspec.to_builtins(architecture)
        columns = _columns(architecture, bins)
        self.columns = nn.ModuleList(columns)
        widths = [width for column in columns for width in column.widths]
        self.body = _body(architecture, widths)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return the raw outputs: standardised target, or logits."""
        return self.predict(*self.prepare(numeric, categorical))

    def prepare(self, numeric: Tensor, categorical: Tensor) -> tuple[Tensor, ...]:
        """Return everything that depends on no weight, row by row: see `eager.Preparing`."""
        return tuple(part for column in self._columns() for part in column.prepare(numeric, categorical))

    def predict(self, *prepared: Tensor) -> Tensor:
        """Return the raw outputs of prepared rows."""
        left = iter(prepared)
        parts = [column(*islice(left, column.takes)) for column in self._columns()]
        out: Tensor = self.body(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))
        return out

    def _columns(self) -> Iterator["_Columns"]:
        return cast("Iterator[_Columns]", iter(self.columns))


class Ensemble(nn.Module):
    """Networks of one architecture with the same bins, trained separately; their outputs are joined like heads.

    Args of forward as of `Network`. Returns (rows, members * heads, outputs).
    """

    def __init__(self, members: Sequence[Network]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Return the raw outputs of all members. All prepare rows in the same way, so that is done once."""
        members = [cast("Network", member) for member in self.members]
        prepared = members[0].prepare(numeric, categorical)
        outputs = [member.predict(*prepared) for member in members]
        return torch.cat([out.unsqueeze(1) if out.ndim == 2 else out for out in outputs], dim=1)


def build(recipe: Recipe, cardinalities: tuple[int, ...], train: Table, seed: int) -> Network:
    """Return a new network for `recipe`, its bins fitted on `train`, its weights drawn from `seed`."""
    (network,) = build_members(recipe, cardinalities, train, [seed])
    return network


def build_members(
    recipe: Recipe, cardinalities: tuple[int, ...], train: Table, seeds: Sequence[int], bags: tuple[Bag, ...] = ()
) -> list[Network]:
    """Return a new network for each seed, all with the same bins."""
    architecture, bins = design(recipe, cardinalities, train, bags)
    networks = []
    for seed in seeds:
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(
                seed
            )  # torch.manual_seed queries every device, which takes a millisecond
            networks.append(Network(architecture, bins))
    return networks


def design(
    recipe: Recipe, cardinalities: tuple[int, ...], train: Table, bags: tuple[Bag, ...] = ()
) -> tuple[Architecture, list[Tensor]]:
    """Return the architecture of one network for `recipe`, and its bins fitted on `train`."""
    shape = recipe.network
    assert shape is not None
    numeric = int(train.numeric.shape[1])
    bins = fit_edges(train.numeric, shape.bins) if shape.embedding == "piecewise_linear" else []
    architecture = Architecture(
        kind=shape.kind,
        outputs=recipe.outputs,
        numeric=numeric,
        cardinalities=tuple(cardinalities),
        hidden=shape.hidden,
        heads=shape.heads,
        embedding=shape.embedding,
        embedding_dim=shape.embedding_dim,
        edges=tuple(len(edges) for edges in bins),
        is_bounded=bool(bins),
        dropout=shape.dropout,
        bags=bags,
    )
    return architecture, bins


def rebuild(architecture: dict[str, Any]) -> Network | Ensemble:
    """Return the network that `architecture` describes, its weights and bins still to be loaded."""
    shape = msgspec.convert(architecture, Architecture)
    with torch.random.fork_rng(devices=()):
        if shape.members == 1:
            return Network(shape)
        return Ensemble([Network(shape) for _ in range(shape.members)])


class _Columns(nn.Module, ABC):
    """Encodes some of the columns to `widths` dimensions each; forward takes the tensors that `prepare` returns."""

    widths: list[int]
    takes: int = 1  # tensors

    @abstractmethod
    def prepare(self, numeric: Tensor, categorical: Tensor) -> tuple[Tensor, ...]:
        """Return the part of the encoding that depends on no weight, row by row."""


class _Numbers(_Columns):
    """The numeric features at `places`, unchanged."""

    def __init__(self, places: tuple[int, ...], numeric: int) -> None:
        super().__init__()
        self.widths = [1] * len(places)
        self.is_all = len(places) == numeric
        self.register_buffer("places", torch.tensor(places, dtype=torch.int64), persistent=False)
        self.places: Tensor

    def prepare(self, numeric: Tensor, categorical: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        return (numeric if self.is_all else numeric.index_select(1, self.places),)

    def forward(self, numbers: Tensor) -> Tensor:
        return numbers


class _EmbeddedNumbers(_Columns):
    """The numeric features at `places`, each through its own embedding, side by side."""

    def __init__(self, places: tuple[int, ...], numeric: int, embedding: nn.Module, dim: int) -> None:
        super().__init__()
        self.numbers = _Numbers(places, numeric)
        self.embedding = embedding
        self.widths = [dim] * len(places)
        self.takes = 3 if isinstance(embedding, PiecewiseLinear) else 1

    def prepare(self, numeric: Tensor, categorical: Tensor) -> tuple[Tensor, ...]:
        prepared = self.numbers.prepare(numeric, categorical)
        return self.embedding.prepare(*prepared) if isinstance(self.embedding, PiecewiseLinear) else prepared

    def forward(self, *prepared: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(*prepared)
        return embedded.flatten(1)


class _OneHot(_Columns):
    """The categorical columns at `places`, one-hot."""

    def __init__(self, places: tuple[int, ...], cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.widths = [cardinalities[place] for place in places]
        starts = [sum(self.widths[:at]) for at in range(len(places))]
        self.register_buffer("places", torch.tensor(places), persistent=False)
        self.register_buffer("starts", torch.tensor(starts), persistent=False)
        self.places: Tensor
        self.starts: Tensor

    def prepare(self, numeric: Tensor, categorical: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        return (categorical.index_select(1, self.places) + self.starts,)

    def forward(self, hot: Tensor) -> Tensor:
        return hot.new_zeros(hot.shape[0], sum(self.widths), dtype=torch.float32).scatter_(1, hot, 1.0)


class _EmbeddedCategories(_Columns):
    """The categorical columns at `places`, each with a learned vector for each level."""

    def __init__(self, places: tuple[int, ...], cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("places", torch.tensor(places), persistent=False)
        self.places: Tensor
        self.widths = [category_width(cardinalities[place]) for place in places]
        pairs = zip(places, self.widths, strict=True)
        tables = [nn.Embedding(cardinalities[place], width) for place, width in pairs]
        for table in tables:
            nn.init.normal_(table.weight, std=EMBEDDING_STD)
        self.tables = nn.ModuleList(tables)

    def prepare(self, numeric: Tensor, categorical: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        return (categorical.index_select(1, self.places),)

    def forward(self, levels: Tensor) -> Tensor:
        return torch.cat([table(column) for table, column in zip(self.tables, levels.unbind(1), strict=True)], dim=1)


class _Text(_Columns):
    """The tokens of one text column: the sum of their learned vectors, divided by the root of their number."""

    takes = 2

    def __init__(self, bag: Bag) -> None:
        super().__init__()
        self.bag = bag
        self.widths = [TEXT_WIDTH]
        self.table = nn.Embedding(bag.size, TEXT_WIDTH, padding_idx=0)
        nn.init.normal_(self.table.weight, std=EMBEDDING_STD)
        with torch.no_grad():
            self.table.weight[0] = 0.0

    def prepare(self, numeric: Tensor, categorical: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        tokens = categorical.narrow(1, self.bag.start, self.bag.width)
        count = (tokens > 0).sum(dim=1, keepdim=True).clamp(min=1)
        return tokens, count.to(torch.float32).rsqrt()

    def forward(self, tokens: Tensor, share: Tensor) -> Tensor:
        summed: Tensor = self.table(tokens).sum(dim=1)
        return summed * share


class _Perceptron(nn.Sequential):
    """Linear, ReLU, dropout if any, ..., Linear."""

    def __init__(self, architecture: Architecture, width: int) -> None:
        layers: list[nn.Module] = []
        for size in architecture.hidden:
            layers += [nn.Linear(width, size), nn.ReLU()]
            if architecture.dropout > 0.0:
                layers.append(nn.Dropout(architecture.dropout))
            width = size
        layers.append(nn.Linear(width, architecture.heads * architecture.outputs))
        if architecture.heads > 1:
            layers.append(nn.Unflatten(1, (architecture.heads, architecture.outputs)))
        super().__init__(*layers)


class _Ensemble(nn.Sequential):
    """TabM: `heads` perceptrons that share most of their weights (Gorishniy et al., ICLR 2025).

    The first layer's random scaling makes the heads differ; it is the same for all dimensions of one column.
    """

    def __init__(self, architecture: Architecture, widths: list[int]) -> None:
        layers: list[nn.Module] = [EnsembleView(k=architecture.heads)]
        apart = "random-signs" if architecture.embedding == "none" else "normal"
        width = sum(widths)
        for size in architecture.hidden:
            is_first = len(layers) == 1
            scaling = (apart, "ones") if is_first else "ones"
            chunks = widths if is_first else None
            layers += [
                LinearBatchEnsemble(
                    width, size, k=architecture.heads, scaling_init=scaling, first_scaling_init_chunks=chunks
                ),
                nn.ReLU(),
            ]
            if architecture.dropout > 0.0:
                layers.append(nn.Dropout(architecture.dropout))
            width = size
        super().__init__(*layers, LinearEnsemble(width, architecture.outputs, k=architecture.heads))


def _columns(architecture: Architecture, bins: list[Tensor] | None) -> list[_Columns]:
    """Return one encoder for each kind of column, in the order in which their outputs are joined."""
    encoders: list[_Columns] = []
    plain, embedded = _split_numbers(architecture)
    if plain:
        encoders.append(_Numbers(plain, architecture.numeric))
    if embedded:
        embedding = _embedding(architecture, embedded, bins)
        encoders.append(_EmbeddedNumbers(embedded, architecture.numeric, embedding, architecture.embedding_dim))
    cardinalities = architecture.cardinalities
    few = tuple(place for place, count in enumerate(cardinalities) if count <= ONE_HOT_LEVELS)
    many = tuple(place for place in range(len(cardinalities)) if place not in few)
    if few:
        encoders.append(_OneHot(few, cardinalities))
    if many:
        encoders.append(_EmbeddedCategories(many, cardinalities))
    encoders += [_Text(bag) for bag in architecture.bags]
    return encoders


def _split_numbers(architecture: Architecture) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the places of the numeric features that are not embedded, and of those that are."""
    places = tuple(range(architecture.numeric))
    if architecture.embedding == "none":
        return places, ()
    if architecture.embedding == "periodic":
        return (), places
    embedded = tuple(place for place in places if architecture.edges[place] > 2)
    return tuple(place for place in places if architecture.edges[place] <= 2), embedded


def _embedding(architecture: Architecture, places: tuple[int, ...], bins: list[Tensor] | None) -> nn.Module:
    """Return the embedding of the numbers at `places`; without `bins`, with placeholders of the right length."""
    dim = architecture.embedding_dim
    if architecture.embedding == "periodic":
        periodic: nn.Module = PeriodicEmbeddings(len(places), dim, lite=False)
        return periodic
    edges = bins or [torch.arange(float(count)) for count in architecture.edges]
    return PiecewiseLinear([edges[place] for place in places], dim, is_bounded=architecture.is_bounded)


def _body(architecture: Architecture, widths: list[int]) -> nn.Module:
    """Return the module that maps the joined columns to the outputs."""
    if architecture.kind == "tabm":
        return _Ensemble(architecture, widths)
    return _Perceptron(architecture, sum(widths))
