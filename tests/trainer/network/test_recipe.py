"""The recipe: explicit values win, the rest follows from the table; targets go in and predictions come out."""

import math

import msgspec
import numpy as np
import pytest
import torch

from traind.trainer.contract.spec import (
    AutoModel,
    BestModel,
    BlendModel,
    LinearModel,
    MlpModel,
    TabmModel,
    TrainSpec,
)
from traind.trainer.network.objective import loss_function, predictions, training_target
from traind.trainer.network.recipe import Facts, Network, Recipe, choose, fit_target_scale

RNG = np.random.default_rng(0)


def recipe_for(task: str = "regression", classes: int = 0, target: np.ndarray | None = None, **fields) -> Recipe:
    scale = (
        fit_target_scale(np.asarray(target, np.float64)) if target is not None else Facts("binary", 1).target_scale
    )
    return choose(TrainSpec(**fields), Facts(task, 10_000, classes, 8, (4,), scale))


EXPLICIT = {
    "epochs": 7,
    "batch_size": 33,
    "lr": 0.5,
    "optimizer": "sgd",
    "schedule": "linear",
    "weight_decay": 0.25,
    "grad_clip": 2.0,
    "patience": 3,
}


@pytest.mark.parametrize("synthetic", [False, True])
def test_what_the_spec_says_wins_and_is_said_so(synthetic):
    recipe = choose(TrainSpec(**EXPLICIT), Facts("regression", 1_000, numeric=8, synthetic=synthetic))
    assert {name: getattr(recipe, name) for name in EXPLICIT} == EXPLICIT
    assert all(recipe.reasons[name] == "as the spec says" for name in EXPLICIT)


def test_no_patience_means_never_stopping_early():
    assert recipe_for(patience=None).patience is None
    assert recipe_for().patience is not None


def test_synthetic_data_is_the_loop_a_user_would_write():
    recipe = choose(TrainSpec(), Facts("regression", 16_000, numeric=8, synthetic=True))
    assert recipe.network == Network("mlp", (64, 64))
    assert (recipe.optimizer, recipe.schedule, recipe.patience, recipe.averaging) == ("adam", "constant", None, 0.0)
    assert (recipe.target_scale.centre, recipe.target_scale.scale, recipe.weight_decay) == (0.0, 1.0, 0.0)


def test_a_constant_schedule_has_no_warm_up():
    assert recipe_for(schedule="constant").warmup == 0.0
    assert recipe_for(schedule="cosine").warmup > 0.0


@pytest.mark.parametrize("rows", [1, 64, 100, 2_000, 13_000, 350_000, 10_000_000])
@pytest.mark.parametrize("columns", [0, 1, 30, 1_000])
def test_every_size_of_table_has_a_sane_recipe(rows, columns):
    recipe = choose(TrainSpec(), Facts("regression", rows, 0, columns, (5,)))
    steps = recipe.epochs * math.ceil(rows / recipe.batch_size)
    assert steps >= 100 or recipe.epochs == 100
    assert 0.5 <= recipe.averaging < 1.0
    assert 1.0 / (1.0 - recipe.averaging) <= steps / 2
    assert recipe.patience < recipe.epochs
    assert columns * recipe.network.bins <= 20_000


@pytest.mark.parametrize(
    ("rows", "taken"), [(200_000, None), (200_001, 100_000), (960_000, 120_000), (10**7, 1_250_000)]
)
def test_an_epoch_takes_a_part_of_many_rows_unless_epochs_are_counted(rows, taken):
    facts = Facts("regression", rows, numeric=8)
    recipe = choose(TrainSpec(), facts)
    assert recipe.epoch_rows == taken
    assert ("epoch_rows" in recipe.reasons) == (taken is not None)
    assert 2 <= recipe.epochs * (taken or rows) / rows <= 15  # passes over the table
    counted = choose(TrainSpec(epochs=3), facts)
    assert counted.epoch_rows is None
    assert "epoch_rows" not in counted.reasons


@pytest.mark.parametrize("model", [AutoModel(), BestModel(), BlendModel()])
@pytest.mark.parametrize("task", ["regression", "binary"])
def test_layers_are_narrow_and_learn_twice_as_fast_where_rows_are_many(model, task):
    few, many = (choose(TrainSpec(model=model), Facts(task, rows, numeric=8)) for rows in (4_999, 5_000))
    assert (few.network.hidden, many.network.hidden) == ((256, 256), (128, 128))
    assert (many.lr, many.weight_decay) == (2 * few.lr, few.weight_decay / 2)  # so weights decay as fast
    assert ("narrow" in many.reasons["network"], "narrow" in few.reasons["network"]) == (True, False)


def test_models_asked_for_keep_their_shape():
    assert recipe_for(model=MlpModel(hidden=(8, 4), dropout=0.3)).network.hidden == (8, 4)
    assert recipe_for(model=MlpModel(embedding="periodic")).network.embedding == "periodic"
    assert recipe_for(model=TabmModel(k=5)).network.heads == 5
    assert recipe_for(model=LinearModel()).network.hidden == ()


def test_a_recipe_is_plain_values():
    recipe = recipe_for(target=np.exp(RNG.normal(size=1_000)))
    assert msgspec.convert(msgspec.to_builtins(recipe), Recipe) == recipe


@pytest.mark.parametrize(
    ("target", "is_log"),
    [
        (np.exp(RNG.normal(size=1_000)), True),
        (RNG.normal(size=1_000), False),
        (RNG.normal(100.0, 1.0, 1_000), False),
        (np.exp(RNG.normal(size=1_000)) - 1.0, False),
        (np.r_[np.zeros(500), np.exp(RNG.normal(size=500))], False),
        (np.ones(50), False),
    ],
    ids=["lognormal", "normal", "positive but even", "skewed but negative", "skewed with zeros", "constant"],
)
def test_a_logarithm_is_taken_of_positive_skewed_targets_only(target, is_log):
    scale = fit_target_scale(target)
    assert scale.log is is_log
    assert scale.scale > 0.0


@pytest.mark.parametrize("target", [np.exp(RNG.normal(size=500) * 2), RNG.normal(-5.0, 1e6, 500)])
def test_predictions_undo_what_is_done_to_the_target(target):
    recipe = recipe_for(target=target)
    seen = training_target(recipe, target)
    assert abs(float(seen.mean())) < 1e-3
    assert float(seen.std()) == pytest.approx(1.0, abs=0.01)
    torch.testing.assert_close(predictions(recipe, seen[:, None]), torch.from_numpy(target), rtol=1e-4, atol=1e-3)


def test_predictions_stay_in_the_range_of_the_training_rows():
    target = np.linspace(1.0, 9.0, 100)
    found = predictions(recipe_for(target=target), torch.tensor([[-50.0], [50.0]]))
    assert found.tolist() == [1.0, 9.0]


def test_a_validation_target_without_a_logarithm_is_not_lost():
    recipe = recipe_for(target=np.exp(RNG.normal(size=500)))
    assert torch.isfinite(training_target(recipe, np.array([-3.0, 0.0, 1.0]))).all()


def test_heads_are_averaged_as_values_and_as_probabilities():
    value = predictions(recipe_for(target=np.array([-1.0, 1.0])), torch.tensor([[[1.0], [0.0]]]))
    assert value.tolist() == [0.5]
    logits = torch.tensor([[[9.0], [-9.0]]])
    assert predictions(recipe_for("binary", 2), logits)[0].tolist() == pytest.approx([0.5, 0.5])
    logits = torch.tensor([[[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]]])
    assert predictions(recipe_for("multiclass", 3), logits)[0].tolist() == pytest.approx([0.5, 0.5, 0.0], abs=1e-3)


@pytest.mark.parametrize(("task", "classes"), [("regression", 0), ("binary", 2), ("multiclass", 3)])
def test_the_loss_of_many_heads_is_the_mean_of_their_losses(task, classes):
    recipe = recipe_for(task, classes, target=RNG.normal(size=64) if task == "regression" else None)
    target = training_target(recipe, RNG.integers(0, classes, 64) if classes else RNG.normal(size=64))
    output = torch.randn(64, 4, recipe.outputs, generator=torch.Generator().manual_seed(0))
    loss = loss_function(recipe)
    alone = torch.stack([loss(output[:, head], target) for head in range(4)])
    torch.testing.assert_close(loss(output, target), alone.mean())


def test_smoothed_labels_make_certainty_cost():
    recipe = msgspec.structs.replace(recipe_for("binary", 2), label_smoothing=0.2)
    loss, one = loss_function(recipe), torch.ones(1)
    best = torch.tensor([[math.log(0.9 / 0.1)]])
    assert loss(best, one) < loss(best + 3.0, one)
    assert loss(best, one) < loss(best - 3.0, one)
