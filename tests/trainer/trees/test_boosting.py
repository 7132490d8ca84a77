"""Boosting: derivatives are those of the loss, and a run that is interrupted after any round grows the same trees."""

import numpy as np
import pytest
import torch
from msgspec import structs

from traind.data.encoding.encoder import Encoded
from traind.trainer.contract.errors import CheckpointDamaged
from traind.trainer.contract.spec import TrainSpec, TreesModel
from traind.trainer.network.objective import training_target
from traind.trainer.network.recipe import choose, facts_of
from traind.trainer.step.lockstep import Lockstep
from traind.trainer.trees.boosting import BoostingStep, BoostingTable, derivatives
from traind.trainer.trees.settings import FEW_ROWS, LARGE_STEPS_ROWS, Boosting, boosting_for

ROWS, ROUNDS = 300, 23
CLASSES = {"regression": 0, "binary": 2, "multiclass": 3}


def step_of(task, rows=ROWS, weight=None, seed=0, **settings):
    draw = np.random.default_rng(0)
    numeric, categorical = draw.normal(size=(ROWS, 3)).astype(np.float32), draw.integers(0, 6, size=(ROWS, 1))
    value = numeric[:, 0] * numeric[:, 1] + (categorical[:, 0] % 2) + draw.normal(size=ROWS) / 10
    target = (
        value if task == "regression" else np.digitize(value, np.quantile(value, [0.5, 0.8][: CLASSES[task] - 1]))
    )
    if weight is not None:  # what weighs nothing is wrong
        target = np.where(weight > 0.0, target, target.max() - target)
    encoded = Encoded(numeric, categorical, target, weight)
    recipe = choose(TrainSpec(model=TreesModel()), facts_of(task, CLASSES[task], (6,), encoded))
    recipe = structs.replace(recipe, trees=structs.replace(recipe.trees, **settings))
    return BoostingStep(BoostingTable.of(encoded, training_target(recipe, target), (6,)), rows, recipe, seed)


def grow(step, rounds):
    for _ in step.steps(0, rounds, []):
        pass


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("weight", [None, np.arange(50) / 10.0], ids=["equal", "weighted"])
@pytest.mark.parametrize("task", CLASSES)
def test_derivatives_are_those_of_the_loss(task, weight):
    draw = np.random.default_rng(1)
    outputs = draw.normal(size=(50, 3) if task == "multiclass" else 50)
    target = {"regression": draw.normal(size=50), "binary": draw.integers(0, 2, 50) * 1.0}.get(task)
    target = draw.integers(0, 3, 50) * 1.0 if target is None else target
    _, gradient, curvature = derivatives(task, outputs, target, weight)
    for place in np.ndindex(outputs.shape):
        moved = [outputs.copy(), outputs.copy()]
        moved[0][place] += 1e-5
        moved[1][place] -= 1e-5
        above, below = (derivatives(task, one, target, weight) for one in moved)
        slope = (above[0] - below[0]) * 50 / 2e-5
        assert slope == pytest.approx(gradient[place] * (2.0 if task == "regression" else 1.0), abs=1e-4)
    assert (curvature[1:] > 0.0).all()


@pytest.mark.parametrize("task", CLASSES)
def test_rows_of_no_weight_teach_nothing(task):
    """The other rows' weight is 2: that of all rows is 1 in the mean, as tables have it."""
    weight = (2.0 * (np.arange(ROWS) % 2)).astype(np.float32)
    step, one = step_of(task, weight=weight), step_of(task)
    for each in (step, one):
        grow(each, ROUNDS)
        each.take_loss()
        grow(each, 1)
    assert step.take_loss() < 2.0 * one.take_loss() + 0.2


@pytest.mark.parametrize("task", CLASSES)
def test_the_loss_falls(task):
    step = step_of(task)
    grow(step, 1)
    first = step.take_loss()
    grow(step, ROUNDS)
    assert step.take_loss() < 0.8 * first


@pytest.mark.parametrize("task", CLASSES)
@pytest.mark.parametrize("at", [0, 1, 9, 10, 11, ROUNDS - 1])
def test_it_goes_on_where_it_was_saved(task, at):
    whole, step, again = step_of(task), step_of(task), step_of(task)
    grow(whole, ROUNDS)
    grow(step, at)
    again.restore(step.state())
    grow(again, ROUNDS - at)
    assert same(whole.weights(), again.weights())
    assert whole.loss_total() == again.loss_total()


@pytest.mark.parametrize("settings", [{"columns_share": 1.0}, {"is_bootstrapped": False}, {"columns_share": 0.4}])
def test_what_is_random_follows_from_seed_and_round(settings):
    whole, step, again = (step_of("binary", **settings) for _ in range(3))
    other = step_of("binary", seed=1, **settings)
    grow(whole, ROUNDS)
    grow(other, ROUNDS)
    grow(step, 5)
    again.restore(step.state())
    grow(again, 3)
    step.restore(again.state())  # a second attempt that goes on
    grow(step, ROUNDS - 8)
    assert same(whole.weights(), step.weights())
    assert not same(whole.weights(), other.weights())


def test_without_chance_trees_do_not_depend_on_the_seed():
    """The first recipe, whose checkpoints go on as they began."""
    settings = structs.asdict(Boosting())
    one, other = (step_of("regression", seed=seed, **settings) for seed in (0, 1))
    grow(one, ROUNDS)
    grow(other, ROUNDS)
    assert same(one.weights(), other.weights())


def test_few_rows_are_weighted_at_random_and_many_take_larger_steps():
    rows = (FEW_ROWS - 1, FEW_ROWS, LARGE_STEPS_ROWS)
    assert [boosting_for(count).is_bootstrapped for count in rows] == [True, False, False]
    assert [boosting_for(count).lr for count in rows] == [0.05, 0.05, 0.1]


def test_without_the_outputs_so_far_it_grows_other_trees():
    whole, step, again = step_of("binary"), step_of("binary"), step_of("binary")
    grow(whole, ROUNDS)
    grow(step, 5)
    state = step.state()
    state["outputs"] = torch.zeros_like(state["outputs"])
    again.restore(state)
    grow(again, ROUNDS - 5)
    assert not same(whole.weights(), again.weights())


def test_weights_of_an_earlier_round_are_as_they_were():
    step = step_of("regression")
    grow(step, 10)
    kept, then = step.keep(), step.weights()
    grow(step, 13)
    assert same(step.weights(kept), then)
    assert not same(step.weights(), then)


def test_trees_whose_loss_is_not_finite_are_left_out():
    step, alone = Lockstep([step_of("regression"), step_of("regression")]), step_of("regression")
    step.members[1].losses.add(torch.tensor(float("nan")), ROWS)
    assert step.drop_lost(1) == [1]
    grow(step, ROUNDS)
    grow(alone, ROUNDS)
    assert same(step.weights(), {f"members.0.{name}": tensor for name, tensor in alone.weights().items()})


def test_a_state_of_other_rows_is_refused():
    step = step_of("regression")
    grow(step, 2)
    with pytest.raises(CheckpointDamaged):
        step_of("regression", rows=ROWS - 1).restore(step.state())


def test_few_rows_give_trees_that_add_nothing():
    step = step_of("multiclass", rows=8)
    grow(step, 12)
    assert step.rounds == 12
    assert not step.weights()["values"].any()
