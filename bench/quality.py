"""traind's default against gradient boosting and other networks with theirs: python -m bench.quality.

Every model sees the same rows: a fifth of a table is the test, a fifth of the rest is for early stopping (traind,
CatBoost and RealMLP use it), what remains is trained on. Peers that are not installed are left out, with a word:
pip install lightgbm catboost xgboost scikit-learn pandas pytabkit. Each model has a process of its own and has
trained something small before its time is taken; models take turns within a split.
"""

import argparse
import csv
import gzip
import io
import json
import multiprocessing
import os
import sys
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from bench.contenders import MODELS, Floats, Table, Task, is_installed

SAMPLE_DIR = Path(__file__).parent.parent / "data" / "samples"


KNOWN = {
    "house_prices": ("price", True, ("id",)),
    "diamonds": ("price", True, ()),
    "adult": ("income", False, ()),
}


def main(arguments: list[str] | None = None) -> None:
    asked = _arguments(arguments)
    names = [name for name in asked.models.split(",") if is_installed(name)]
    if not (names and asked.tables):
        sys.exit("there is nothing to compare: no such table, or no model that is installed")
    context = multiprocessing.get_context("spawn")
    workers = {name: ProcessPoolExecutor(1, mp_context=context) for name in names}
    records: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="traind-bench-") as folder:
        for name in names:
            workers[name].submit(warm_up, name, asked.threads).result()
        for table in asked.tables:
            for seed in range(asked.splits):
                task = Task(table, write_split(table, seed, Path(folder)), seed, asked.threads, asked.raw)
                for name in names:
                    record = workers[name].submit(measure, name, task).result()
                    records.append(record)
                    print(json.dumps(record), flush=True) if asked.verbose else None
            print(summary(table.name, [one for one in records if one["table"] == table.name]), flush=True)
    for worker in workers.values():
        worker.shutdown()
    if asked.out:
        Path(asked.out).write_text(json.dumps(records, indent=1))


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder with the known tables (TRAIND_BENCH_DATA); else the sample")
    parser.add_argument("--table", action="append", default=[], metavar="FILE:TARGET", help="another CSV file")
    parser.add_argument("--only", help="known tables, by comma", default=",".join(KNOWN))
    parser.add_argument(
        "--models",
        default="traind,lightgbm,catboost,xgboost,sklearn-boosting,sklearn-mlp",
        help="by comma: %(default)s",
    )
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--raw", action="store_true", help="peers are given no logarithms")
    parser.add_argument("--out", help="a JSON file for all scores and times")
    parser.add_argument("--verbose", action="store_true", help="a line for each fit")
    asked = parser.parse_args(arguments)
    folder = Path(asked.data or os.environ.get("TRAIND_BENCH_DATA") or SAMPLE_DIR)
    paths = [folder / f"{name}.csv.gz" for name in asked.only.split(",") if not asked.table]
    asked.tables = [Table(path, *KNOWN[path.name.split(".")[0]]) for path in paths if path.exists()]
    asked.tables += [Table(Path(path), target) for path, _, target in (one.rpartition(":") for one in asked.table)]
    return asked


def write_split(table: Table, seed: int, folder: Path) -> Path:
    """Write train.csv (four fifths) and test.csv (a fifth, drawn by `seed`) below `folder`; return where."""
    header, *rows = csv.reader(io.StringIO(_text_of(table.path)))
    kept = [place for place, name in enumerate(header) if name not in table.dropped]
    order = np.random.default_rng(seed).permutation(len(rows))
    cut = len(rows) // 5
    place = folder / f"{table.name}-{seed}"
    place.mkdir()
    for name, chosen in (("test", order[:cut]), ("train", np.sort(order[cut:]))):
        with (place / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([[row[i] for i in kept] for row in [header, *(rows[one] for one in chosen)]])
    return place


def _text_of(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


def measure(name: str, task: Task) -> dict[str, Any]:
    """Train the model `name` and return its scores on the test rows and the seconds of training."""
    warnings.simplefilter("ignore")
    with (task.folder / "test.csv").open(newline="") as file:
        truth = [row[task.table.target].strip() for row in csv.DictReader(file)]
    predicted, labels, seconds = MODELS[name](task)
    scores = scores_of(predicted, truth, labels, is_log=task.table.is_log)
    return {"table": task.table.name, "model": name, "split": task.seed, "seconds": seconds, "scores": scores}


def scores_of(predicted: Floats, truth: list[str], labels: list[str], *, is_log: bool) -> dict[str, float]:
    """Return errors, each lower for better: of values (rows,), or of probabilities (rows, classes)."""
    if not labels:
        values = np.array(truth, dtype=np.float64)
        found = {"rmse": float(np.sqrt(np.mean((predicted - values) ** 2)))}
        if is_log:
            error = np.log10(np.maximum(predicted, values.min())) - np.log10(values)
            found["rmse of log10"] = float(np.sqrt(np.mean(error**2)))
        return found
    classes = np.array([labels.index(label) for label in truth])
    sure = np.clip(predicted, 1e-7, 1.0)[np.arange(len(classes)), classes]
    wrong = float((predicted.argmax(axis=1) != classes).mean())
    return {"error rate": wrong, "log loss": float(-np.log(sure).mean())}


def summary(table: str, records: list[dict[str, Any]]) -> str:
    """Return the table's figures: mean error, by how much it is above traind's (paired), and seconds."""
    lines = []
    by_model = {name: [one for one in records if one["model"] == name] for name in MODELS}
    by_model = {name: found for name, found in by_model.items() if found}
    for metric in records[0]["scores"]:
        lines += ["", f"{table}, {metric}, {max(map(len, by_model.values()))} splits"]
        lines.append(
            f"{'model':22} {'mean':>10} {'spread':>9} {'above traind':>14} {'+-':>7} {'worse on':>9} {'s':>7}"
        )
        ours = np.array([one["scores"][metric] for one in by_model.get("traind", [])])
        for name, found in by_model.items():
            scores = np.array([one["scores"][metric] for one in found])
            seconds = np.mean([one["seconds"] for one in found])
            line = f"{name:22} {scores.mean():10.5g} {scores.std():9.2g}"
            line += _paired(scores, ours[: len(scores)]) if len(ours) else ""
            lines.append(f"{line} {seconds:7.1f}")
    return "\n".join(lines)


def _paired(scores: Floats, ours: Floats) -> str:
    """Return the mean relative difference in percent, its standard error, and on how many splits it is positive."""
    if not ours.all():
        return f"{'-':>24} {int((scores > ours).sum()):>8} of {len(ours):<2}"
    difference = 100.0 * (scores / ours - 1.0)
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else float("nan")
    return f" {difference.mean():+13.2f}% {error:6.2f}% {int((difference > 0).sum()):>3} of {len(difference):<2}"


def warm_up(name: str, threads: int) -> None:
    """Train `name` on a few rows, so that what it imports and compiles once is not counted."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tiny.csv")
        lines = [f"{x:.3f},{'ab'[int(x > 0)]},{x * 2:.3f}" for x in rng.normal(size=300)]
        path.write_text("\n".join(["x,c,y", *lines]))
        table = Table(path, "y")
        measure(name, Task(table, write_split(table, 0, Path(folder)), 0, threads, is_raw=True))


if __name__ == "__main__":
    main()
