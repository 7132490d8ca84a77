"""Gradient boosting as a `Step`: one step is one round of trees by LightGBM on all rows.

LightGBM finds the splits; losses, gradients and the sum of the trees so far are computed here in float64, so that an
interrupted job goes on with exactly the same numbers. What is random in a round follows from the seed and the number
of the round alone. So with one thread the same rows give the same trees.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from traind.data.encoding.encoder import Encoded
from traind.trainer.contract.errors import CheckpointDamaged, SpecError
from traind.trainer.network.recipe import Recipe
from traind.trainer.step.running_loss import Losses
from traind.trainer.trees.settings import Boosting
from traind.trainer.trees.tensors import ROUNDS_AT_ONCE, Trees, cut, round_of, stacked

INSTALL = "pip install 'traind[trees]'"
MAX_SET_LEVELS = 1_000  # categories with more levels are split as numbers, the most frequent levels lowest
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BoostingTable:
    """The training rows for LightGBM."""

    columns: NDArray[np.float32]  # (rows, numeric columns, then categorical ones)
    target: Floats  # (rows,) scaled values, 0 and 1, or class numbers
    numeric: int  # number of numeric columns
    cardinalities: tuple[int, ...]
    weight: Floats | None = None  # (rows,): how much each counts; None: all the same

    @classmethod
    def of(cls, rows: Encoded, target: Tensor, cardinalities: tuple[int, ...]) -> "BoostingTable":
        """Return the rows with a target from `objective.training_target`; text tokens are left out."""
        levels = rows.categorical[:, : len(cardinalities)]
        columns = np.concatenate((rows.numeric, levels.astype(np.float32)), axis=1)
        if not columns.shape[1]:
            raise SpecError(
                "Trees need a column that is not text.", field="model", hint='Use "auto", which reads text.'
            )
        weight = None if rows.weight is None else rows.weight.astype(np.float64)
        return cls(columns, target.double().numpy(), rows.numeric.shape[1], cardinalities, weight)


class BoostingStep:
    """Rounds of boosting on the first `rows` rows of a table; the batch number of a step is ignored.

    `seed` is of the rows' weights and of the columns of each round, if the recipe has these drawn.
    """

    kind = "trees"
    is_quick = False

    def __init__(self, table: BoostingTable, rows: int, recipe: Recipe, seed: int = 0) -> None:
        assert recipe.trees is not None
        self.recipe = recipe
        self.shape: Boosting = recipe.trees
        self.rounds = 0
        self._pieces: list[dict[str, Tensor]] = []  # pieces of ten rounds, then single rounds
        self.losses = Losses()
        self._seed = seed
        self._table = table
        self._target = table.target[:rows]
        self._weight = None if table.weight is None else table.weight[:rows]
        self._base = base_of(recipe, self._target, self._weight)
        self._first = torch.from_numpy(self._base.astype(np.float32))
        self._lr = recipe.trees.lr
        self._data = self._dataset(rows)
        self._booster = self._grow_on(np.tile(self._base, (rows, 1)))

    def begin_epoch(self, *orders: Tensor) -> None:
        """Do nothing: every round uses all rows."""

    def run(self, batch_index: int) -> None:
        """Grow one round of trees."""
        del batch_index
        grown = self._booster.current_iteration()
        with np.errstate(over="ignore", invalid="ignore"):  # where it diverges
            self._booster.update(fobj=self._differentiate)
        trees = []
        if self._booster.current_iteration() > grown:
            trees = self._booster.dump_model(start_iteration=grown, num_iteration=1)["tree_info"]
        else:  # no split helps: trees of one leaf of 0
            trees = [{"tree_structure": {"leaf_value": 0.0}}] * len(self._base)
        self._pieces.append(round_of(trees, self.shape.leaves, self._table.numeric, self._table.cardinalities))
        self.rounds += 1
        if self.rounds % ROUNDS_AT_ONCE == 0:
            self._pieces[-ROUNDS_AT_ONCE:] = [stacked(self._pieces[-ROUNDS_AT_ONCE:], self._first)]

    def steps(self, first: int, count: int, lrs: Sequence[float]) -> Iterator[int]:
        """Grow `count` rounds; yield after each round how many have been grown."""
        for place in range(count):
            if lrs:
                self.set_lr(lrs[place])
            self.run(first + place)
            yield place + 1

    def set_lr(self, lr: float) -> None:
        """Set the factor on the values of each tree."""
        if lr != self._lr:
            self._lr = lr
            self._booster.reset_parameter({"learning_rate": lr})

    def take_loss(self) -> float:
        """Return the mean loss of the rows, measured before each round, since the last call."""
        return self.losses.take()

    def loss_total(self) -> tuple[float, int]:
        """Return the sum of the rows' losses before each round, and their number."""
        return self.losses.total()

    def is_finite(self) -> bool:
        """Return whether all values are finite."""
        return not self._pieces or bool(torch.isfinite(self._pieces[-1]["values"]).all())

    def drop_lost(self, epoch: int) -> Sequence[int]:
        """Return nothing: there is one member."""
        del epoch
        return ()

    def keep(self, *, averaged: bool = True) -> list[Tensor]:
        """Return the number of rounds, for `weights`."""
        del averaged
        return [torch.tensor(self.rounds)]

    def weights(self, kept: Sequence[Tensor] | None = None, *, averaged: bool = True) -> dict[str, Tensor]:
        """Return the weights of `Trees` for all rounds, or for the `kept` number of rounds."""
        del averaged
        rounds = self.rounds if kept is None else int(kept[0])
        pieces = self._pieces if rounds == self.rounds else self._pieces[: rounds // ROUNDS_AT_ONCE]
        return stacked(pieces, self._first)

    def piece(self, number: int) -> dict[str, Tensor]:
        """Return the weights of `Trees` for the ten rounds from `10 * number` on, or as many as there are."""
        return stacked(self._pieces[number : number + 1], self._first)

    @contextmanager
    def evaluation(self, *, averaged: bool = True) -> Iterator[nn.Module]:
        """Yield the trees as a module."""
        yield Trees(self.weights(averaged=averaged))

    def state(self) -> dict[str, Any]:
        """Return everything that the next rounds depend on."""
        return {
            "trees": stacked(self._pieces, self._first) if self._pieces else None,
            "rounds": self.rounds,
            "outputs": torch.from_numpy(self._outputs()),
            "lr": self._lr,
            "loss": list(self.loss_total()),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        try:
            outputs = state["outputs"].numpy()
            self._lr = state["lr"]
            self.rounds = state["rounds"]
            self._booster = self._grow_on(outputs.reshape(len(self._target), len(self._base)))
            self._pieces = [] if state["trees"] is None else cut(state["trees"])
            loss_sum, loss_rows = state["loss"]
            self.losses.restore((loss_sum, loss_rows))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise CheckpointDamaged(f"The checkpoint is not of these trees: {error}.") from error

    def _dataset(self, rows: int) -> Any:
        lightgbm = import_lightgbm()
        first = self._table.numeric
        sets = [first + place for place, count in enumerate(self._table.cardinalities) if count <= MAX_SET_LEVELS]
        return lightgbm.Dataset(
            self._table.columns[:rows], categorical_feature=sets, params=self._params(), free_raw_data=False
        ).construct()

    def _grow_on(self, outputs: Floats) -> Any:
        """Return a booster without trees whose rows have the initial scores `outputs` (rows, outputs)."""
        lightgbm = import_lightgbm()
        self._data.set_init_score(outputs if outputs.shape[1] > 1 else outputs[:, 0])
        return lightgbm.Booster(self._params(), self._data)

    def _params(self) -> dict[str, Any]:
        return {
            "objective": "none",
            "metric": "none",
            "num_class": len(self._base),
            "learning_rate": self._lr,
            "num_leaves": self.shape.leaves,
            "min_data_in_leaf": self.shape.min_rows,
            "lambda_l2": self.shape.l2,
            "feature_fraction": self.shape.columns_share,
            "feature_fraction_seed": (self.rounds + 1) % 2,  # other than the next round's, see `_differentiate`
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,  # else LightGBM measures which is faster
            "feature_pre_filter": False,
            "verbose": -1,
        }

    def _outputs(self) -> Floats:
        """Return the sum of base and trees, (rows, outputs)."""
        found: list[Floats] = []

        def take(outputs: Floats, data: Any) -> tuple[str, float, bool]:
            del data
            found.append(np.array(outputs, dtype=np.float64).reshape(len(self._target), -1))
            return "outputs", 0.0, False

        self._booster.eval_train(take)
        return found[0]

    def _differentiate(self, outputs: Floats, data: Any) -> tuple[Floats, Floats]:
        """Return first and second derivatives of the loss for LightGBM; add the loss.

        The round's columns are drawn here, where LightGBM is just about to grow: of a seed unlike the one before it
        draws anew.
        """
        del data
        loss, gradient, curvature = derivatives(self.recipe.task, outputs, self._target, self._weight)
        self.losses.add(torch.tensor(loss, dtype=torch.float64), len(self._target))
        draw = np.random.default_rng((self._seed, self.rounds))
        if self.shape.columns_share < 1.0:
            seed = 2 * int(draw.integers(2**30)) + self.rounds % 2
            self._booster.reset_parameter({"feature_fraction_seed": seed})
        if self.shape.is_bootstrapped:
            counted = draw.standard_exponential(len(self._target))
            counted = counted if outputs.ndim == 1 else counted[:, None]
            gradient, curvature = gradient * counted, curvature * counted
        return gradient, curvature


def derivatives(
    task: str, outputs: Floats, target: Floats, weight: Floats | None = None
) -> tuple[float, Floats, Floats]:
    """Return the mean loss of `outputs` and its first and second derivatives, in the shape of `outputs`.

    Squared error, logistic loss, or cross-entropy over classes, with LightGBM's factor on the second derivative; each
    row's times its `weight`.
    """
    losses, gradient, curvature = _by_row(task, outputs, target)
    if weight is None:
        return float(losses.mean()), gradient, curvature
    each = weight if outputs.ndim == 1 else weight[:, None]
    return float((losses * weight).mean()), gradient * each, curvature * each


def _by_row(task: str, outputs: Floats, target: Floats) -> tuple[Floats, Floats, Floats]:
    """Return each row's loss, (rows,), and its derivatives by its outputs."""
    if task == "regression":
        error = outputs - target
        return error**2, error, np.ones_like(error)
    if task == "binary":
        share = 1.0 / (1.0 + np.exp(-outputs))
        loss = np.logaddexp(0.0, outputs) - target * outputs
        return loss, share - target, np.maximum(share * (1.0 - share), 1e-16)
    rows, classes = np.arange(len(target)), target.astype(np.int64)
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    shares = np.exp(shifted)
    totals = shares.sum(axis=1, keepdims=True)
    shares /= totals
    loss = np.log(totals[:, 0]) - shifted[rows, classes]
    gradient = shares.copy()
    gradient[rows, classes] -= 1.0
    factor = outputs.shape[1] / (outputs.shape[1] - 1.0)
    return loss, gradient, np.maximum(factor * shares * (1.0 - shares), 1e-16)


def base_of(recipe: Recipe, target: Floats, weight: Floats | None = None) -> Floats:
    """Return the initial score, (outputs,): the weighted mean, its log odds, or the logarithm of the class shares."""
    if recipe.task == "multiclass":
        counts = np.bincount(target.astype(np.int64), weight, recipe.outputs)
        return np.asarray(np.log(np.maximum(counts, 0.5) / counts.sum()), dtype=np.float64)
    mean = np.average(target, weights=weight)
    if recipe.task == "regression":
        return np.array([mean])
    share = np.clip(mean, 1e-6, 1.0 - 1e-6)
    return np.array([np.log(share / (1.0 - share))])


def import_lightgbm() -> Any:
    """Return LightGBM, or raise `SpecError` with the command that installs it."""
    try:
        import lightgbm
    except (ImportError, OSError) as error:  # OSError: its OpenMP library is missing
        raise SpecError(f"Trees need LightGBM, which is not here: {error}.", field="model", hint=INSTALL) from error
    return lightgbm
