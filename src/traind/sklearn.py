"""`TraindRegressor` and `TraindClassifier`: the tables of traind as scikit-learn estimators, trained in this process.

The same preparation of data, recipe and gradient steps as a job of a table, without a service: usable in pipelines,
`cross_val_score` and searches. Needs `traind[sklearn]`.

The order of the rows decides nothing: they are brought into one that follows from their values, and split and
shuffled from there by `random_state`. So a row of weight 2 is that row twice, and one of weight 0 is none.
"""

import hashlib
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, assert_all_finite, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from traind.service.validation.validate import parse_spec
from traind.trainer.contract.events import AnyEvent, Epoch, State, Status
from traind.trainer.contract.spec import DatasetFile, Place, TrainSpec
from traind.trainer.model.model import Model, load_model
from traind.trainer.run.attempt import run
from traind.trainer.run.rng import random_state, restore_random_state

__all__ = ["TraindClassifier", "TraindRegressor"]

TARGET = "target of traind"
WEIGHT = "weight of traind"
MODELS_KEPT = 8
REPEATED = 4  # rows that whole weights may make of each row on average; beyond it they weigh in the loss


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both have in common. The parameters are the fields of a job's spec."""

    def __init__(  # noqa: PLR0913 - scikit-learn reads the parameters off the signature
        self,
        *,
        model: str | Mapping[str, Any] = "auto",
        epochs: int | str = "auto",
        batch_size: int | str = "auto",
        lr: float | str = "auto",
        weight_decay: float | str = "auto",
        patience: int | str | None = "auto",
        validation_fraction: float = 0.2,
        threads: int = 1,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.threads = threads
        self.random_state = random_state

    def save(self, path: str | Path) -> None:
        """Write the model file, which `traind.load_model`, the server and every export read."""
        check_is_fitted(self)
        Path(path).write_bytes(self._file)

    def __sklearn_tags__(self) -> Tags:
        """Say that missing values and text are taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def _fit(self, table: pl.DataFrame, target: NDArray[Any], weights: NDArray[Any] | None, task: str) -> Self:
        """Train on columns and a target that a file can hold; keep the model file."""
        if len(table) < 2:
            raise ValueError(f"n_samples = {len(table)}: it takes two rows at least to train and to validate.")
        table = _in_order(_weighted(table.with_columns(pl.Series(TARGET, target)), weights))
        spec = self._spec(table, task)
        before = random_state()
        try:
            with tempfile.TemporaryDirectory() as folder:
                self._file, events = _trained(spec, table, Path(folder))
        finally:
            restore_random_state(before)
        self.n_iter_ = max((event.epoch for event in events if isinstance(event, Epoch)), default=0)
        results = [event.result for event in events if isinstance(event, State) and event.result is not None]
        self.metrics_ = results[-1].metrics
        return self

    def _spec(self, table: pl.DataFrame, task: str) -> TrainSpec:
        numbers = [name for name, kind in table.schema.items() if kind.is_numeric() and name not in (TARGET, WEIGHT)]
        fields: dict[str, Any] = {
            "dataset": "table",
            "target": TARGET,
            "task": task,
            "columns": dict.fromkeys(numbers, "numeric"),
            "model": {"kind": self.model} if isinstance(self.model, str) else dict(self.model),
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "lr": self.lr,
            "weight_decay": self.weight_decay,
            "patience": self.patience,
            "validation": {"fraction": self.validation_fraction},
            "threads": self.threads,
            "seed": int(check_random_state(self.random_state).randint(2**31 - 1)),
        }
        return parse_spec(fields | ({"weight": WEIGHT} if WEIGHT in table.columns else {}))

    def _table(self, X: Any, *, is_first: bool) -> pl.DataFrame:  # noqa: N803 - scikit-learn's name
        """Return the rows as columns under the names they have, or x0, x1, ...; missing values are null."""
        if hasattr(X, "columns"):
            validate_data(self, X, reset=is_first, skip_check_array=True)
            table = X if isinstance(X, pl.DataFrame) else pl.DataFrame({str(name): _plain(X[name]) for name in X})
        else:
            array = validate_data(self, X, reset=is_first, dtype=None, ensure_all_finite="allow-nan")
            if array.dtype.kind in "OUS":
                array = _numbers_if_all_are(array)
            table = pl.DataFrame({f"x{place}": _plain(column) for place, column in enumerate(array.T)})
        return table.with_columns(pl.selectors.float().fill_nan(None))

    def _predicted(self, X: Any) -> Any:  # noqa: N803
        check_is_fitted(self)
        columns = self._table(X, is_first=False).to_dict(as_series=False)
        return _model(self._file).predict(columns)

    def __sklearn_is_fitted__(self) -> bool:
        """Tell whether `fit` has run."""
        return hasattr(self, "_file")


class TraindRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """Predicts numbers.

    Args:
        model: `"auto"`, another kind of a job's `model`, or all of it as a mapping.
        epochs, batch_size, lr, weight_decay, patience, threads: as in a job's spec.
        validation_fraction: share of the rows that decides when to stop, from 0.01 to 0.9.
        random_state: decides split, initial weights and the order of batches.
    """

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:  # noqa: N803
        """Train on `X` `(rows, columns)`, `y` `(rows,)` and, if given, a weight of 0 or more for each row."""
        table = self._table(X, is_first=True)
        target = check_array(_one_column(y), ensure_2d=False, dtype=np.float64, input_name="y")
        _check_lengths(table, target)
        weights = _weights(sample_weight, target)
        return self._fit(table, target, weights, "regression")

    def predict(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return a number for each row `(rows,)`."""
        return np.asarray(self._predicted(X), dtype=np.float64)


class TraindClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """Predicts classes. The parameters are those of `TraindRegressor`."""

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:  # noqa: N803
        """Train on `X` `(rows, columns)`, labels `y` `(rows,)` and, if given, a weight of 0 or more for each row."""
        table = self._table(X, is_first=True)
        labels = _one_column(y)
        assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        _check_lengths(table, labels)
        weights = _weights(sample_weight, labels)
        kept = labels if weights is None else labels[weights > 0]
        self.classes_, _ = np.unique(kept, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has {len(self.classes_)} class; a classifier needs two classes at least.")
        indices = np.searchsorted(self.classes_, labels).clip(max=len(self.classes_) - 1)
        names = np.array([f"class {index}" for index in range(len(self.classes_))])
        return self._fit(table, names[indices], weights, "binary" if len(self.classes_) == 2 else "multiclass")

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Return a label for each row `(rows,)`, of the type that `y` had."""
        check_is_fitted(self)
        labels: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return each class's probability `(rows, classes)`, in the order of `classes_`."""
        check_is_fitted(self)
        names = [f"class {index}" for index in range(len(self.classes_))]
        found = self._predicted(X).probabilities
        return np.array([[row.get(name, 0.0) for name in names] for row in found])


@lru_cache(maxsize=MODELS_KEPT)
def _model(file: bytes) -> Model:
    """Return the model in a file; the last ones stay loaded."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pt")
        path.write_bytes(file)
        loaded = load_model(path)
    assert isinstance(loaded, Model)
    return loaded


def _trained(spec: TrainSpec, table: pl.DataFrame, folder: Path) -> tuple[bytes, list[AnyEvent]]:
    """Return the model file and the events of a job on the table; raises `ValueError` where it fails."""
    path = folder / "table.parquet"
    table.write_parquet(path)
    content = path.read_bytes()
    file = DatasetFile("table", hashlib.sha256(content).hexdigest(), str(path), "parquet", len(content))
    events: list[AnyEvent] = []
    attempt_dir = folder / "attempt-1"
    attempt_dir.mkdir()
    last = run(spec, events.append, Place(job_id="fit", attempt=1, attempt_dir=str(attempt_dir), dataset=file))
    if last.status is not Status.COMPLETED or last.result is None or last.result.model_path is None:
        error = last.error
        raise ValueError(error.message if error else f"The training ended {last.status.lower()}.")
    return Path(last.result.model_path).read_bytes(), events


def _weighted(table: pl.DataFrame, weights: NDArray[Any] | None) -> pl.DataFrame:
    """Return the rows by whole weights as often as they weigh, by others with a column of them; none of weight 0."""
    if weights is None or (weights == weights[0]).all():
        return table
    if (weights == weights.round()).all() and weights.sum() <= REPEATED * len(weights):
        return table[np.repeat(np.arange(len(table)), weights.astype(np.int64))]
    return table.with_columns(pl.Series(WEIGHT, weights / weights.mean())).filter(pl.col(WEIGHT) > 0)


def _in_order(table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows in an order that follows from their values alone."""
    return table[table.hash_rows(0).arg_sort()]


def _weights(sample_weight: ArrayLike | None, target: NDArray[Any]) -> NDArray[Any] | None:
    if sample_weight is None:
        return None
    weights: NDArray[Any] = _check_sample_weight(sample_weight, target, ensure_non_negative=True)
    return weights


def _one_column(y: ArrayLike) -> NDArray[Any]:
    if y is None:
        raise ValueError("This estimator requires y to be passed, but the target y is None.")
    column: NDArray[Any] = column_or_1d(y, warn=True)
    return column


def _check_lengths(table: pl.DataFrame, target: NDArray[Any]) -> None:
    if len(table) != len(target):
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {[len(table), len(target)]}")


def _numbers_if_all_are(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of objects as numbers where they are; text stays text."""
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        return array


def _plain(column: Any) -> Any:
    """Return a column as polars takes it: objects as text, numbers and times as they are."""
    if hasattr(column, "to_numpy"):
        column = column.to_numpy()
    array = np.asarray(column)
    if array.dtype.kind == "O":
        return [None if value is None or value != value else str(value) for value in array]  # noqa: PLR0124 - NaN
    return array
