"""Networks: shapes, rebuilding, capture, and that embeddings are the functions they say they are."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rtdl_num_embeddings import PiecewiseLinearEmbeddings
from torch import nn

from traind.trainer.contract.spec import (
    AutoModel,
    BestModel,
    FastModel,
    LinearModel,
    MlpModel,
    Model,
    TabmModel,
    TrainSpec,
)
from traind.trainer.network.network import ONE_HOT_LEVELS, build, rebuild
from traind.trainer.network.objective import loss_function, training_target
from traind.trainer.network.piecewise import PiecewiseLinear, fit_edges
from traind.trainer.network.recipe import Recipe, choose, facts_of

CARDINALITIES = (5, ONE_HOT_LEVELS + 20)
MODELS = [
    AutoModel(),
    FastModel(),
    BestModel(),
    LinearModel(),
    MlpModel(hidden=(16, 8), embedding="none"),
    MlpModel(hidden=(16,), embedding="periodic", dropout=0.5),
    TabmModel(hidden=(16, 8), k=3, embedding="none"),
]
TASKS = [("regression", 0), ("binary", 2), ("multiclass", 4)]


def table(task: str = "regression", classes: int = 0, rows: int = 300) -> SimpleNamespace:
    """A table with a binary, a constant and a nearly constant number, and a few and many categories."""
    rng = np.random.default_rng(0)
    numeric = rng.normal(size=(rows, 5)).astype(np.float32)
    numeric[:, 1] = numeric[:, 1] > 0
    numeric[:, 2] = 0.0
    numeric[:, 3] = np.where(rng.random(rows) < 0.9, 0.0, numeric[:, 3])
    categorical = np.stack([rng.integers(0, count, rows) for count in CARDINALITIES], axis=1)
    target: Any = rng.integers(0, classes, rows) if classes else np.exp(rng.normal(size=rows))
    return SimpleNamespace(numeric=numeric, categorical=categorical, target=target, task=task, classes=classes)


def recipe_of(model: Model, data: SimpleNamespace) -> Recipe:
    return choose(TrainSpec(model=model), facts_of(data.task, data.classes, CARDINALITIES, data))


def tensors(data: SimpleNamespace) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(data.numeric), torch.from_numpy(data.categorical)


@pytest.mark.parametrize(("task", "classes"), TASKS)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_every_parameter_learns_and_the_network_is_rebuilt_from_plain_values(model, task, classes):
    data = table(task, classes)
    recipe = recipe_of(model, data)
    network = build(recipe, CARDINALITIES, data, seed=1)
    output = network(*tensors(data))
    heads = recipe.network.heads
    assert output.shape == ((300, heads, recipe.outputs) if heads > 1 else (300, recipe.outputs))
    loss_function(recipe)(output, training_target(recipe, data.target)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    again = rebuild(network.architecture)
    again.load_state_dict(network.state_dict())
    assert torch.equal(network.eval()(*tensors(data)), again.eval()(*tensors(data)))


def test_the_same_seed_gives_the_same_weights_and_leaves_the_random_stream_alone():
    data = table()
    recipe = recipe_of(AutoModel(), data)
    before = torch.random.get_rng_state()
    first, second, other = (build(recipe, CARDINALITIES, data, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["body.0.weight"], other["body.0.weight"])


def test_the_bare_network_is_what_a_plain_loop_would_have():
    data = table()
    spec = TrainSpec(model=MlpModel(hidden=(64, 64), embedding="none", dropout=0.0))
    network = build(choose(spec, facts_of("regression", 0, (), data)), (), data, seed=3)
    torch.manual_seed(3)
    plain = nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    numeric, _ = tensors(data)
    assert [type(layer) for layer in network.body] == [type(layer) for layer in plain]
    assert torch.equal(network(numeric, torch.empty(300, 0, dtype=torch.int64)), plain(numeric))


@pytest.mark.parametrize("numeric", [0, 5])
def test_tables_of_one_kind_of_column_have_a_network(numeric):
    data = table()
    data.numeric = data.numeric[:, :numeric]
    cardinalities = () if numeric else CARDINALITIES
    data.categorical = data.categorical[:, : len(cardinalities)]
    network = build(choose(TrainSpec(), facts_of("regression", 0, cardinalities, data)), cardinalities, data, 0)
    assert network(*tensors(data)).shape == (300, 1)


def test_piecewise_linear_is_the_function_of_its_authors():
    torch.manual_seed(0)
    edges = [torch.tensor([-1.0, 0.0, 0.5, 2.0]), torch.linspace(-2, 2, 9), torch.tensor([0.0, 1.0, 4.0])]
    theirs, ours = PiecewiseLinearEmbeddings(edges, 4, activation=False, version="B"), PiecewiseLinear(edges, 4)
    with torch.no_grad():
        nn.init.normal_(ours.slopes)
        ours.linear.load_state_dict(theirs.linear0.state_dict())
        theirs.linear.weight.zero_()
        for place, edge in enumerate(edges):  # theirs keeps the last piece in the last place
            last = len(edge) - 2
            theirs.linear.weight[place, :last] = ours.slopes[place, :last]
            theirs.linear.weight[place, -1] = ours.slopes[place, last]
    numbers = torch.cat([torch.randn(200, 3) * 3, torch.stack([edge[:3] for edge in edges], dim=1)])
    torch.testing.assert_close(ours(*ours.prepare(numbers)), theirs(numbers), rtol=1e-5, atol=1e-5)


def test_the_derivative_of_an_embedding_is_that_of_its_plain_form():
    edges = [torch.tensor([-1.0, 0.0, 0.5, 2.0]), torch.tensor([0.0, 1.0, 4.0]), torch.tensor([-2.0, 0.0, 2.0])]
    embedding = PiecewiseLinear(edges, 4, is_bounded=True).double()
    nn.init.normal_(embedding.slopes)
    numbers, weights = torch.randn(50, 3).double(), list(embedding.parameters())
    given = embedding.prepare(numbers)
    vectors = embedding(*given)
    plain = embedding(given[0].clone().requires_grad_(), *given[1:])  # who asks for more gets what autograd finds
    assert torch.equal(vectors, plain)
    factors = torch.randn_like(vectors)
    found, expected = (torch.autograd.grad((out * factors).sum(), weights) for out in (vectors, plain))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert not found[0][1:, 2].any()  # of pieces that a feature does not have


def test_beyond_the_edges_only_the_linear_part_of_a_bounded_embedding_goes_on():
    edges = [torch.tensor([-1.0, 0.0, 0.5, 2.0]), torch.tensor([0.0, 1.0, 4.0])]
    plain, bounded = PiecewiseLinear(edges, 4), PiecewiseLinear(edges, 4, is_bounded=True)
    with torch.no_grad():
        nn.init.normal_(plain.slopes)
    bounded.load_state_dict(plain.state_dict())
    within = torch.stack([torch.linspace(-1.0, 2.0, 50), torch.linspace(0.0, 4.0, 50)], dim=1)
    assert torch.equal(bounded(*bounded.prepare(within)), plain(*plain.prepare(within)))
    outer = torch.tensor([[-1.0, 0.0], [2.0, 4.0]])
    beyond = outer + torch.tensor([[-9.0], [9.0]])
    moved = bounded(*bounded.prepare(beyond)) - bounded(*bounded.prepare(outer))
    torch.testing.assert_close(moved, bounded.linear(beyond) - bounded.linear(outer))


def test_edges_are_the_values_themselves_where_they_are_few():
    column = np.array([0, 1, 2, 5] * 50, dtype=np.float32)
    (edges,) = fit_edges(column[:, None], 16)
    assert edges.tolist() == [0.0, 1.0, 2.0, 5.0]


def test_edges_of_a_number_that_is_mostly_zero_are_spent_on_the_rest():
    rng = np.random.default_rng(0)
    column = np.where(rng.random(10_000) < 0.95, 0.0, rng.random(10_000)).astype(np.float32)
    (edges,) = fit_edges(column[:, None], 32)
    assert 30 <= len(edges) <= 33
    assert (edges > 0).sum() >= 29


def test_edges_ascend_and_are_told_apart_in_float32():
    column = np.concatenate([np.full(100, 0.1), np.full(100, 0.1 + 1e-7), np.arange(100)]).astype(np.float32)
    (edges,) = fit_edges(column[:, None], 8)
    assert (edges.diff() > 1e-6).all()


def test_a_wide_table_costs_few_bins():
    rng = np.random.default_rng(0)
    data = SimpleNamespace(numeric=rng.normal(size=(2_000, 1_000)).astype(np.float32), target=rng.normal(size=2_000))
    recipe = choose(TrainSpec(), facts_of("regression", 0, (), data))
    network = build(recipe, (), data, 0)
    assert recipe.network.bins <= 16
    assert network(torch.from_numpy(data.numeric[:4]), torch.empty(4, 0, dtype=torch.int64)).shape == (4, 1)
