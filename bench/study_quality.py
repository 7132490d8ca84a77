"""A study's ensemble against one `auto` job, and against Optuna with LightGBM: python -m bench.study_quality.

Every contender sees the same rows, as in bench/quality.py: a fifth of a table is the test, a fifth of the rest is for
validation. The study makes its trials with two slots of one thread; LightGBM has two threads, as many trials, and no
more time than the study took. With --out what is measured is kept, and a run can be continued.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench.contenders import Fitted, Spent, Table, Task, fit_peer, fit_traind, is_installed
from bench.quality import SAMPLE_DIR, Kept, main_score, scores_of, write_split
from bench.records import say, show
from bench.tables import SOURCES, locate

from traind import TrainingService

AUTO, STUDY, PEER = "auto", "study", "optuna and lightgbm"
THREADS = 2
EARLY_ROUNDS, MOST_ROUNDS = 50, 2_000


class TunedLightGBM:
    """The best of LightGBM's models that Optuna finds by the held rows, within trials and seconds."""

    takes_held = True

    def __init__(self, is_classes: bool, threads: int, *, trials: int, seconds: float, seed: int) -> None:
        self.is_classes, self.threads = is_classes, threads
        self._limits = {"n_trials": trials, "timeout": seconds}
        self._seed = seed
        self._best: tuple[float, Any] = (float("inf"), None)

    def fit(self, train: Any, target: Any, held: tuple[Any, Any]) -> None:
        """Search, and keep the best model."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        search = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=self._seed))
        search.optimize(lambda trial: self._tried(trial, train, target, held), **self._limits)

    def predict(self, rows: Any) -> Any:
        """Return values."""
        return self._best[1].predict(rows)

    def predict_proba(self, rows: Any) -> Any:
        """Return probabilities (rows, classes)."""
        return self._best[1].predict_proba(rows)

    def _tried(self, trial: Any, train: Any, target: Any, held: tuple[Any, Any]) -> float:
        import lightgbm

        given = {
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 8, 256, log=True),
            "min_child_samples": trial.suggest_int("min_child_samples", 5, 100, log=True),
            "subsample": trial.suggest_float("subsample", 0.5, 1.0),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.4, 1.0),
            "reg_alpha": trial.suggest_float("reg_alpha", 1e-8, 10.0, log=True),
            "reg_lambda": trial.suggest_float("reg_lambda", 1e-8, 10.0, log=True),
        }
        kind = lightgbm.LGBMClassifier if self.is_classes else lightgbm.LGBMRegressor
        model = kind(n_estimators=MOST_ROUNDS, subsample_freq=1, n_jobs=self.threads, verbose=-1, **given)
        stop = lightgbm.early_stopping(EARLY_ROUNDS, verbose=False)
        model.fit(train, target, eval_set=[held], callbacks=[stop])
        ((_, errors),) = model.best_score_.items()
        error = float(next(iter(errors.values())))
        if error < self._best[0]:
            self._best = (error, model)
        return error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder with the tables (TRAIND_BENCH_DATA); else the sample")
    parser.add_argument("--only", default="house_prices,diamonds,adult", help="tables, by comma: %(default)s")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--out", help="a JSON file of all scores: what is in it is not measured again")
    asked = parser.parse_args()
    if not is_installed("lightgbm"):
        sys.exit("Optuna with LightGBM is half of this comparison")
    folder = Path(asked.data or os.environ.get("TRAIND_BENCH_DATA") or SAMPLE_DIR)
    kept = Kept(Path(asked.out) if asked.out else None)
    for name in asked.only.split(","):
        if locate(SOURCES[name], folder) is None:
            print(f"{name} is left out: it is not in {folder}")
            continue
        for split in range(asked.splits):
            measure(name, split, folder, asked.trials, kept)
    report(list(kept.records.values()))


def measure(name: str, split: int, data: Path, trials: int, kept: Kept) -> None:
    """Measure what is missing of one split of a table."""
    warnings.simplefilter("ignore")
    source = SOURCES[name]
    table = Table(name, source.target, source.is_log)
    with tempfile.TemporaryDirectory(prefix="traind-bench-") as folder:
        task = Task(table, write_split(table, source, data, split, Path(folder)), split, THREADS, is_raw=False)
        for model in (AUTO, STUDY, PEER):
            if (name, model, split) in kept.records:
                continue
            predicted, labels, spent = trained(model, task, trials, kept)
            scores = scores_of(predicted, truth_of(task), labels, is_log=table.is_log)
            about = {"table": name, "model": model, "split": split, "trials": trials, "seconds": spent.wall_s}
            kept.add({**about, "scores": scores})
            say(f"{name}, split {split}, {model}: {scores} after {spent.wall_s:.0f} s")


def trained(model: str, task: Task, trials: int, kept: Kept) -> Fitted:
    """Train one contender and return what it predicts of the test rows."""
    if model == AUTO:
        return fit_traind(task)
    if model == STUDY:
        return asyncio.run(studied(task, trials))
    seconds = kept.records[task.table.name, STUDY, task.seed]["seconds"]
    return fit_peer(task, partial(TunedLightGBM, trials=trials, seconds=seconds, seed=task.seed))


async def studied(task: Task, trials: int) -> Fitted:
    """Run a study of the usual fields to its ensemble."""
    from traind.trainer.model.model import load_model

    with tempfile.TemporaryDirectory(prefix="traind-bench-") as root:
        async with TrainingService(root, slots=THREADS) as service:
            await service.put_dataset("bench", task.folder / "train.csv")
            spec = {"dataset": "bench", "target": task.table.target, "seed": task.seed}
            began = time.perf_counter()
            study = await service.submit_study(
                spec={**spec, "validation": {"seed": task.seed}}, trials=trials, seed=task.seed, ensemble=True
            )
            study = await service.wait_study(study.study_id)
            spent = time.perf_counter() - began
            assert study.model is not None, study.note
            found = load_model(f"{root}/{study.model}").predict(task.folder / "test.csv")
    if found.probabilities is None:
        return np.array(found, dtype=np.float64), [], Spent(spent, 0.0)
    labels = list(found.probabilities[0])
    rows = [[row[label] for label in labels] for row in found.probabilities]
    return np.array(rows), [label.strip() for label in labels], Spent(spent, 0.0)


def truth_of(task: Task) -> list[str]:
    """Return the target's cells of the test rows."""
    import polars as pl

    column = pl.read_csv(task.folder / "test.csv", infer_schema=False)[task.table.target]
    return [cell.strip() for cell in column.to_list()]


def report(records: list[dict[str, Any]]) -> None:
    """Print the main error of each contender, a mean over the splits, and how far the study's is below."""
    rows = []
    for table in dict.fromkeys(record["table"] for record in records):
        errors = {
            model: [main_score(one) for one in records if (one["table"], one["model"]) == (table, model)]
            for model in (AUTO, STUDY, PEER)
        }
        if not all(errors.values()):
            continue
        means = {model: float(np.mean(found)) for model, found in errors.items()}
        below = [f"{100 * (1 - means[STUDY] / means[model]):+.2f}%" for model in (AUTO, PEER)]
        rows.append((table, len(errors[STUDY]), *(f"{means[one]:.5g}" for one in (AUTO, STUDY, PEER)), *below))
    heads = ("table", "splits", AUTO, STUDY, PEER, "study below auto", "below the peer")
    show("log loss, or rmse (of log10 where that counts), on the test rows", heads, rows)


if __name__ == "__main__":
    main()
