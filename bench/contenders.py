"""Who competes in bench/quality.py: each trains with its defaults on one split and predicts the test rows."""

import hashlib
import importlib.util
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """A table and its target. `is_log`: errors of the logarithm count too, and peers are given the logarithm."""

    name: str
    target: str
    is_log: bool = False


@dataclass(frozen=True)
class Task:
    """One split of a table in files, and how to train on it."""

    table: Table
    folder: Path
    seed: int
    threads: int
    is_raw: bool


@dataclass(frozen=True)
class Spent:
    """What training took: time on the clock, and of all cores together, which other work disturbs less."""

    wall_s: float
    cpu_s: float


Fitted = tuple[Floats, list[str], Spent]  # predictions of the test rows, labels in their order


def timed(train: Callable[[], Any]) -> tuple[Any, Spent]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = train()
    return found, Spent(time.perf_counter() - wall, time.process_time() - cpu)


def fit_traind(task: Task, model: str = "auto") -> Fitted:
    import msgspec

    from traind.trainer.contract.spec import DatasetFile, Place, TrainSpec
    from traind.trainer.model.model import load_model
    from traind.trainer.run.attempt import run

    path = task.folder / "train.csv"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = DatasetFile("bench", digest, str(path), "csv", path.stat().st_size)
    fields = {"dataset": "bench", "target": task.table.target, "seed": task.seed, "threads": task.threads}
    spec = msgspec.convert({**fields, "model": {"kind": model}, "validation": {"seed": task.seed}}, TrainSpec)
    with tempfile.TemporaryDirectory() as folder:
        place = Place(job_id="bench", attempt=1, attempt_dir=folder, dataset=file)
        last, spent = timed(lambda: run(spec, lambda _event: None, place))
        if last.result is None or last.result.model_path is None:
            raise RuntimeError(f"traind did not train: {last}")
        trained = load_model(Path(folder) / last.result.model_path)
        found = trained.predict(task.folder / "test.csv")
    if found.probabilities is None:
        return np.array(found, dtype=np.float64), [], spent
    labels = list(found.probabilities[0])
    rows = [[row[label] for label in labels] for row in found.probabilities]
    return np.array(rows), [label.strip() for label in labels], spent


def fit_peer(task: Task, make: Callable[[bool, int], Any], *, categories: str = "category") -> Fitted:
    """Train a scikit-learn-like model; `make(is_classes, threads)` makes it, `categories` says how it takes text."""
    import pandas as pd

    from traind.data.columns.request import Split
    from traind.data.encoding.split import split

    train, test = (_frame(task, name, categories) for name in ("train", "test"))
    given = train.pop(task.table.target)
    test = test.drop(columns=task.table.target)
    is_classes = given.dtype.kind not in "if"
    labels = sorted(set(given.str.strip())) if is_classes else []
    is_log = task.table.is_log and not task.is_raw
    target = given.str.strip().map(labels.index) if is_classes else np.log(given) if is_log else given
    if categories == "category":
        for name in train.select_dtypes(exclude="number"):
            levels = pd.CategoricalDtype(sorted(set(train[name].dropna())))
            train[name], test[name] = train[name].astype(levels), test[name].astype(levels)
    parts = split(Split(seed=task.seed), len(train), np.array(target) if is_classes else None, None)
    rows, held = parts.train, parts.validation
    model = make(is_classes, task.threads)
    held_rows = (train.iloc[held], target.iloc[held])
    _, spent = timed(lambda: _fit(model, train.iloc[rows], target.iloc[rows], held_rows))
    predicted = np.asarray(model.predict_proba(test) if is_classes else model.predict(test), dtype=np.float64)
    return np.exp(predicted) if is_log else predicted, labels, spent


def _frame(task: Task, name: str, categories: str) -> Any:
    import pandas as pd

    frame = pd.read_csv(task.folder / f"{name}.csv", skipinitialspace=True, na_values=["?"])
    for column in frame.columns.drop(task.table.target):
        if frame[column].dtype.kind in "ifb":
            frame[column] = frame[column].astype(float)
            continue
        days = pd.to_datetime(frame[column], format="%Y-%m-%d", errors="coerce")
        if days.notna().mean() > 0.5:
            frame[column] = (days - pd.Timestamp(1970, 1, 1)).dt.days
        elif categories == "text":
            frame[column] = frame[column].fillna("missing").astype(str)
    return frame


def _fit(model: Any, train: Any, target: Any, held: tuple[Any, Any]) -> None:
    """Fit, with the held rows for early stopping where a model takes them."""
    kind = type(model).__module__.split(".")[0]
    if kind == "catboost":
        text = list(train.select_dtypes(exclude="number"))
        model.fit(train, target, eval_set=held, cat_features=text)
    elif kind == "pytabkit":
        text = list(train.select_dtypes(exclude="number"))
        model.fit(train, target, *held, cat_col_names=text)
    elif getattr(model, "takes_held", False):
        model.fit(train, target, held)
    else:
        model.fit(train, target)


def make_lightgbm(is_classes: bool, threads: int) -> Any:
    import lightgbm

    kind = lightgbm.LGBMClassifier if is_classes else lightgbm.LGBMRegressor
    return kind(n_jobs=threads, verbose=-1)


def make_catboost(is_classes: bool, threads: int) -> Any:
    import catboost

    kind = catboost.CatBoostClassifier if is_classes else catboost.CatBoostRegressor
    return kind(thread_count=threads, verbose=0, allow_writing_files=False, early_stopping_rounds=50)


def make_xgboost(is_classes: bool, threads: int) -> Any:
    import xgboost

    kind = xgboost.XGBClassifier if is_classes else xgboost.XGBRegressor
    return kind(n_jobs=threads, enable_categorical=True)


def make_boosting(is_classes: bool, threads: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    del threads  # it takes what OpenMP gives
    return (HistGradientBoostingClassifier if is_classes else HistGradientBoostingRegressor)()


def make_perceptron(is_classes: bool, threads: int) -> Any:
    from sklearn.compose import ColumnTransformer, make_column_selector
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    del threads
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include="number")),
            ("text", OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
        ]
    )
    return make_pipeline(columns, (MLPClassifier if is_classes else MLPRegressor)(random_state=0))


def make_realmlp(is_classes: bool, threads: int) -> Any:
    import pytabkit

    kind = pytabkit.RealMLP_TD_Classifier if is_classes else pytabkit.RealMLP_TD_Regressor
    return kind(device="cpu", random_state=0, n_threads=threads, verbosity=0)


MODELS: dict[str, Callable[[Task], Fitted]] = {
    "traind": fit_traind,
    "traind-fast": partial(fit_traind, model="fast"),
    "traind-best": partial(fit_traind, model="best"),
    "traind-blend": partial(fit_traind, model="blend"),
    "traind-trees": partial(fit_traind, model="trees"),
    "lightgbm": partial(fit_peer, make=make_lightgbm),
    "catboost": partial(fit_peer, make=make_catboost, categories="text"),
    "xgboost": partial(fit_peer, make=make_xgboost),
    "sklearn-boosting": partial(fit_peer, make=make_boosting),
    "sklearn-mlp": partial(fit_peer, make=make_perceptron, categories="text"),
    "realmlp": partial(fit_peer, make=make_realmlp),
}
_NEEDS = {"lightgbm": "lightgbm", "catboost": "catboost", "xgboost": "xgboost", "realmlp": "pytabkit"}


def is_installed(name: str) -> bool:
    """Whether `name` and what it needs are there; a word where not."""
    needed = (_NEEDS.get(name, "sklearn"), "pandas") if not name.startswith("traind") else ()
    missing = [module for module in needed if importlib.util.find_spec(module) is None]
    if missing:
        print(f"{name} is left out: {', '.join(missing)} is not installed")
    return not missing
