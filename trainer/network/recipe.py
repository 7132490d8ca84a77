"""Every hyperparameter of a job, chosen before training starts, each with its reason.

The recipe depends on the spec, the task and the shape of the training table, never on measured time, so that the same
spec on the same data is the same job. Explicit values of the spec always win. docs/models.md tells how the automatic
choices were found.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from traind.data.table.magnitude import mean_and_deviation
from traind.trainer.contract.memory import NARROW_ROWS, auto_batch, auto_hidden, embedding_bins, embedding_dim
from traind.trainer.contract.metrics import VAL_LOSS
from traind.trainer.contract.spec import (
    AutoModel,
    BestModel,
    BlendModel,
    Embedding,
    FastModel,
    LinearModel,
    MlpModel,
    Model,
    TabmModel,
    TrainSpec,
    TreesModel,
)
from traind.trainer.trees.settings import Boosting, boosting_for, why_boosting

Task = Literal["regression", "binary", "multiclass"]


class Rows(Protocol):
    """The part of an encoded split that the recipe uses."""

    @property
    def numeric(self) -> NDArray[np.float32]:
        """(rows, numeric features)."""

    @property
    def target(self) -> NDArray[Any]:
        """(rows,) float32 for regression, int64 class index otherwise."""


class TargetScale(Struct, frozen=True):
    """The transform of a regression target: `(f(y) - centre) / scale`.

    f is the logarithm if `log`, the square root if `root`, else the identity. A network trained on logarithms
    predicts medians; multiplied by `factor` they are means.
    """

    log: bool = False
    root: bool = False
    centre: float = 0.0
    scale: float = 1.0
    low: float = -math.inf  # predictions are clamped to the range of the training rows, in the target's unit
    high: float = math.inf
    factor: float = 1.0  # set in finished models; differs from 1 only with `log` or `root`


_AS_IT_IS = TargetScale()
SKEWED = 1.0  # largest skewness of a target that is not transformed


class Network(Struct, frozen=True):
    """The network's shape, except for what the table's columns decide."""

    kind: Literal["linear", "mlp", "tabm"]
    hidden: tuple[int, ...] = ()
    heads: int = 1
    embedding: Literal["none", "piecewise_linear", "periodic"] = "none"
    embedding_dim: int = 16
    bins: int = 128
    dropout: float = 0.0


class Recipe(Struct, frozen=True):
    """Everything that decides a training run beside data and seed, in plain values."""

    task: Task
    outputs: int  # 1, or the number of classes when there are more than two
    network: Network | None  # None: trees alone
    target_scale: TargetScale
    epochs: int
    batch_size: int
    lr: float
    optimizer: Literal["adam", "adamw", "sgd"]
    betas: tuple[float, float]  # the first is sgd's momentum
    weight_decay: float
    schedule: Literal["constant", "cosine", "linear"]
    warmup: float  # share of all steps over which the learning rate rises to `lr`
    averaging: float  # decay a step of the averaged weights; 0: no averaging
    label_smoothing: float
    grad_clip: float | None
    patience: int | None  # epochs without improvement; None: never stop early
    epoch_rows: int | None = None  # training rows of an epoch, drawn anew for each; None: all
    members: int = 1  # the monitor, trained without validation rows, and others on all rows; for trees too
    trees: Boosting | None = None  # None: networks alone
    networks_share: float | None = None  # of a finished blend, 0 to 1
    tree_members: int | None = None  # of a finished blend: how many of its last heads are trees; None: `members`
    temperature: float = 1.0  # of a finished classifier: divides the logarithms of its probabilities
    reasons: dict[str, str] = {}  # why each chosen field has its value


@dataclass(frozen=True, slots=True)
class Facts:
    """What the recipe may use of a table: its task and the shape of its training rows."""

    task: Task
    rows: int
    classes: int = 0  # 0 for regression
    numeric: int = 0  # encoded numeric features
    cardinalities: tuple[int, ...] = ()  # of the categorical columns, missing and unseen included
    target_scale: TargetScale = _AS_IT_IS
    synthetic: bool = False


class _Size(Struct, frozen=True):
    """The sizes behind a model's name."""

    kind: Literal["linear", "mlp", "tabm"] = "mlp"
    hidden: tuple[int, ...] | None = None  # None: by the number of training rows
    heads: int = 1
    embedding: Literal["none", "piecewise_linear"] = "piecewise_linear"
    embedding_dim: int = 32
    bins: int = 128
    epochs: int = 14
    members: int = 1
    has_trees: bool = False


MANY_ROWS = 200_000  # of more rows an epoch takes a part, so that its metrics come in seconds
WHY_PATIENCE = {
    True: "a sixteenth of the epochs, 3 at least: the loss of averaged weights hardly fluctuates",
    False: "a fifth of the epochs, 4 at least",
}  # by whether the monitor is the validation loss
LINEAR_LR = 10.0  # times a network's: a single layer bears a higher rate
_SIZES: dict[type[Model], _Size] = {
    AutoModel: _Size(members=2),
    FastModel: _Size(hidden=(128, 128), embedding_dim=16, bins=64, epochs=8),
    BestModel: _Size(members=8),
    BlendModel: _Size(members=2, has_trees=True),
    TreesModel: _Size(members=2, has_trees=True),
    LinearModel: _Size("linear", hidden=(), embedding="none"),
    MlpModel: _Size(hidden=()),  # the spec's own
    TabmModel: _Size("tabm", hidden=()),
}


def facts_of(
    task: Task,
    classes: int,
    cardinalities: tuple[int, ...],
    train: Rows,
    *,
    synthetic: bool = False,
    is_linear: bool = False,
) -> Facts:
    """Return the facts of the encoded training rows `train`; the target of a linear model is not transformed."""
    scale = _AS_IT_IS
    if task == "regression":
        target = np.asarray(train.target, dtype=np.float64)
        within = {"low": float(target.min()), "high": float(target.max())}
        scale = structs.replace(scale, **within) if synthetic else fit_target_scale(target, keeps_shape=is_linear)
    return Facts(
        task=task,
        rows=len(train.target),
        classes=classes if task != "regression" else 0,
        numeric=int(train.numeric.shape[1]),
        cardinalities=tuple(cardinalities),
        target_scale=scale,
        synthetic=synthetic,
    )


def fit_target_scale(target: NDArray[np.float64], *, keeps_shape: bool = False) -> TargetScale:
    """Return the transform of `target`; for a skewed one the logarithm or root that leaves it least skewed."""
    low, high = float(target.min()), float(target.max())
    skewness = {"": abs(_skewness(target))}
    if _skewness(target) > SKEWED and low >= 0.0 and not keeps_shape:
        skewness["root"] = abs(_skewness(np.sqrt(target)))
        if low > 0.0:
            skewness["log"] = abs(_skewness(np.log(target)))
    name = min(skewness, key=lambda one: skewness[one])
    shape = TargetScale(log=name == "log", root=name == "root")
    seen = transformed(shape, target)
    centre, scale = mean_and_deviation(seen)
    return structs.replace(shape, centre=centre, scale=scale if scale > 0.0 else 1.0, low=low, high=high)


def transformed(scale: TargetScale, target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `f(target)`, with values below the training range raised to its lower end, so that f is defined."""
    if not (scale.log or scale.root):
        return target
    bounded = np.maximum(target, scale.low)
    return np.log(bounded) if scale.log else np.sqrt(bounded)


def choose(spec: TrainSpec, facts: Facts) -> Recipe:
    """Return the recipe for `spec` on a table with these `facts`."""
    has_trees = isinstance(spec.model, BlendModel | TreesModel)
    chosen = _synthetic(facts) if facts.synthetic and not has_trees else _tabular(spec.model, facts)
    network, reasons = _network(spec.model, chosen.network), dict(chosen.reasons)
    explicit: dict[str, Any] = {
        field: getattr(spec, field)
        for field in ("epochs", "batch_size", "lr", "optimizer", "schedule", "weight_decay", "patience")
        if getattr(spec, field) != "auto"
    }
    if spec.grad_clip is not None:
        explicit["grad_clip"] = spec.grad_clip
    reasons |= dict.fromkeys(explicit, "as the spec says")
    if "epochs" in explicit:
        explicit["epoch_rows"] = None  # whoever counts epochs means passes over the table
        reasons.pop("epoch_rows", "")
    if spec.clamp is False or (spec.clamp == "auto" and isinstance(spec.model, LinearModel)):
        explicit["target_scale"] = structs.replace(chosen.target_scale, low=-math.inf, high=math.inf)
    explicit |= _consequences(spec, chosen, reasons)
    if isinstance(spec.model, MlpModel | TabmModel):
        explicit["members"] = spec.model.members
        reasons["members"] = _why_members(spec.model.members)
    recipe = structs.replace(chosen, network=network, reasons=reasons, **explicit)
    return recipe if network is not None else structs.replace(recipe, trees=_boosting(spec, recipe.trees))


def _boosting(spec: TrainSpec, chosen: Boosting | None) -> Boosting | None:
    """Return the settings of a model of trees alone, with the spec's size, epochs, lr and patience."""
    if chosen is not None and isinstance(spec.model, TreesModel):
        shrinkage = chosen.lr if spec.model.shrinkage == "auto" else spec.model.shrinkage
        chosen = structs.replace(chosen, leaves=spec.model.leaves, lr=shrinkage)
    wanted = {field: getattr(spec, field) for field in ("epochs", "lr", "patience")}
    explicit = {field: value for field, value in wanted.items() if value != "auto"}
    return structs.replace(chosen, **explicit) if chosen is not None else None


def _consequences(spec: TrainSpec, chosen: Recipe, reasons: dict[str, str]) -> dict[str, Any]:
    """Return the automatic values that depend on the spec's explicit ones."""
    follows: dict[str, Any] = {}
    if spec.schedule == "constant":
        follows["warmup"] = 0.0
        reasons["warmup"] = "none: a constant schedule was requested"
    if spec.optimizer == "sgd" and spec.lr == "auto":
        follows["lr"] = chosen.lr * 25
        reasons["lr"] = "25 times Adam's: momentum takes raw gradients"
    if spec.optimizer == "adam" and spec.weight_decay == "auto":
        follows["weight_decay"] = 0.0
        reasons["weight_decay"] = "none: adam has no decoupled decay"
    if spec.patience == "auto" and chosen.patience is not None:
        epochs = chosen.epochs if spec.epochs == "auto" else spec.epochs
        follows["patience"] = _patience(epochs, spec.monitor)
        reasons["patience"] = WHY_PATIENCE[spec.monitor == VAL_LOSS]
    return follows


def _patience(epochs: int, monitor: str) -> int:
    """Return how many epochs without a better monitor end a job. The loss of averaged weights hardly fluctuates."""
    return max(3, epochs // 16) if monitor == VAL_LOSS else max(4, epochs // 5)


def _synthetic(facts: Facts) -> Recipe:
    """Return the plain defaults for synthetic data: the loop that a user would write."""
    return Recipe(
        task=facts.task,
        outputs=_outputs(facts),
        network=Network("mlp", (64, 64)),
        target_scale=facts.target_scale,
        epochs=3,
        batch_size=16,
        lr=1e-3,
        optimizer="adam",
        betas=(0.9, 0.999),
        weight_decay=0.0,
        schedule="constant",
        warmup=0.0,
        averaging=0.0,
        label_smoothing=0.0,
        grad_clip=None,
        patience=None,
        reasons={"network": "synthetic data: the bare network and loop"},
    )


def _tabular(model: Model, facts: Facts) -> Recipe:
    """Return the recipe for a real table, before the spec's explicit values."""
    size = _SIZES.get(type(model), _Size())
    is_narrow = _is_narrow(size, facts)
    batch_size = auto_batch(facts.rows)
    epoch_rows = facts.rows if facts.rows <= MANY_ROWS else max(MANY_ROWS // 2, facts.rows // 8)
    visits = max(size.epochs * math.sqrt(facts.rows * min(facts.rows, MANY_ROWS)), 120_000)
    epochs = min(100, math.ceil(visits / epoch_rows))
    steps = epochs * math.ceil(epoch_rows / batch_size)
    return Recipe(
        task=facts.task,
        outputs=_outputs(facts),
        network=None if isinstance(model, TreesModel) else _shape(size, facts),
        target_scale=facts.target_scale,
        epochs=epochs,
        batch_size=batch_size,
        lr=_lr(size, facts),
        optimizer="adamw",
        betas=(0.9, 0.99),
        weight_decay=(0.02 if facts.task == "regression" else 0.1) / (2.0 if is_narrow else 1.0),
        schedule="cosine",
        warmup=0.05,
        averaging=min(0.99, max(0.5, 1.0 - 10.0 / steps)),
        label_smoothing=0.0,
        grad_clip=None,
        patience=_patience(epochs, VAL_LOSS),
        epoch_rows=None if epoch_rows == facts.rows else epoch_rows,
        members=size.members,
        trees=boosting_for(facts.rows) if size.has_trees else None,
        reasons={
            "network": _why_network(size, facts),
            "target_scale": _why_scale(facts),
            "epochs": f"{facts.rows} training rows: many passes over few, few over many",
            "batch_size": f"for {facts.rows} training rows",
            "lr": "grows with the batch" + (", twice as high for narrow layers" if is_narrow else ""),
            "weight_decay": "low for numbers, higher for classes, whose loss falls for ever as weights grow",
            "averaging": f"over the last of {steps} steps",
            "patience": WHY_PATIENCE[True],
            "members": _why_members(size.members),
            **({"epoch_rows": f"of {facts.rows}, so that metrics come soon"} if epoch_rows < facts.rows else {}),
            **({"trees": why_boosting(facts.rows)} if size.has_trees else {}),
        },
    )


def _is_narrow(size: _Size, facts: Facts) -> bool:
    return size.hidden is None and facts.rows >= NARROW_ROWS


def _lr(size: _Size, facts: Facts) -> float:
    lr = 4e-3 if auto_batch(facts.rows) >= 256 else 3e-3
    return lr * (LINEAR_LR if size.kind == "linear" else 2.0 if _is_narrow(size, facts) else 1.0)


def _shape(size: "_Size", facts: Facts) -> Network:
    """Return the network for a table: fewer bins and dimensions for many columns or few rows."""
    dim = embedding_dim(facts.numeric, size.embedding_dim)
    bins = embedding_bins(facts.rows, facts.numeric, size.bins)
    hidden = auto_hidden(facts.rows) if size.hidden is None else size.hidden
    return Network(size.kind, hidden, size.heads, size.embedding, dim, bins)


def _why_network(size: _Size, facts: Facts) -> str:
    columns = f"{facts.numeric} numeric features, {len(facts.cardinalities)} categorical"
    return columns + (f"; layers are narrow from {NARROW_ROWS:,} rows on" if _is_narrow(size, facts) else "")


def _why_scale(facts: Facts) -> str:
    if facts.task != "regression":
        return "classes have no scale"
    if facts.target_scale.log:
        return "logarithm: the target is positive and skewed"
    return "square root: the target is skewed" if facts.target_scale.root else "standardised"


def _why_members(members: int) -> str:
    if members == 1:
        return "one network, from which the validation rows are kept"
    rest = "one more is" if members == 2 else f"{members - 1} more are"
    return f"validation rows are kept from the first, which decides the epoch; {rest} trained on all rows"


def _network(model: Model, chosen: Network | None) -> Network | None:
    """Return `chosen` with the explicit shape of `model`."""
    if chosen is None or not isinstance(model, MlpModel | TabmModel):
        return chosen
    return structs.replace(
        chosen,
        hidden=model.hidden,
        heads=model.k if isinstance(model, TabmModel) else 1,
        embedding=_embedding(model.embedding, chosen),
        dropout=model.dropout,
    )


def _embedding(wanted: Embedding, chosen: Network) -> Literal["none", "piecewise_linear", "periodic"]:
    return chosen.embedding if wanted == "auto" else wanted


def _outputs(facts: Facts) -> int:
    return facts.classes if facts.task == "multiclass" else 1


def _skewness(values: NDArray[np.float64]) -> float:
    """Return the third standardised moment; 0 for a constant."""
    mean, deviation = mean_and_deviation(values)
    if deviation == 0.0:
        return 0.0
    z = (values - mean) / deviation
    return float((z * z * z).mean())
