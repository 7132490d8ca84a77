"""traind's default against gradient boosting and other networks with theirs: python -m bench.quality.

Every model sees the same rows: a fifth of a table is the test, a fifth of the rest is for early stopping (traind,
CatBoost and RealMLP use it), what remains is trained on. Peers that are not installed are left out, with a word:
pip install lightgbm catboost xgboost scikit-learn pandas pytabkit. Each model has a process of its own and has
trained something small before its time is taken; models take turns within a split. With --out a run can be cut into
pieces (--minutes, --only, --models) and continued, and single models can be measured again (--again).
"""

import argparse
import csv
import gzip
import io
import json
import math
import multiprocessing
import os
import sys
import tempfile
import time
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
    chosen = [(table, seed, name) for table in asked.tables for seed in range(asked.splits) for name in names]
    kept = Kept(Path(asked.out) if asked.out else None)
    if asked.again:
        kept.drop({_key(table.name, name, seed) for table, seed, name in chosen})
    missing = [one for one in chosen if _key(one[0].name, one[2], one[1]) not in kept.records]
    run(missing, asked, kept)
    for table in asked.tables:
        found = [record for record in kept.records.values() if record["table"] == table.name]
        print(summary(table.name, found) if found else f"{table.name}: nothing yet", flush=True)


def run(missing: list[tuple[Table, int, str]], asked: argparse.Namespace, kept: "Kept") -> None:
    """Train what is missing, each model in its own process, until all is there or the time is over."""
    context, workers = multiprocessing.get_context("spawn"), {}
    over = time.monotonic() + 60.0 * asked.minutes
    with tempfile.TemporaryDirectory(prefix="traind-bench-") as folder:
        for table, seed, name in missing:
            if time.monotonic() > over:
                break
            if name not in workers:
                workers[name] = ProcessPoolExecutor(1, mp_context=context)
                workers[name].submit(warm_up, name, asked.threads).result()
            task = Task(table, write_split(table, seed, Path(folder)), seed, asked.threads, asked.raw)
            record = workers[name].submit(measure, name, task).result()
            kept.add(record)
            print(json.dumps(record), flush=True) if asked.verbose else None
    for worker in workers.values():
        worker.shutdown()


class Kept:
    """What has been measured, by table, model and split; in a JSON file, if any, so that a run can be continued."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        known = json.loads(path.read_text()) if path and path.exists() else []
        self.records = {_key(one["table"], one["model"], one["split"]): one for one in known}

    def add(self, record: dict[str, Any]) -> None:
        """Keep one more, in place of an older one of the same key."""
        self.records[_key(record["table"], record["model"], record["split"])] = record
        self._write()

    def drop(self, keys: set[tuple[str, str, int]]) -> None:
        """Forget those of these keys."""
        self.records = {key: record for key, record in self.records.items() if key not in keys}
        self._write()

    def _write(self) -> None:
        if self.path:
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps(list(self.records.values()), indent=1))
            part.replace(self.path)


def _key(table: str, model: str, split: int) -> tuple[str, str, int]:
    return table, model, split


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
    parser.add_argument("--out", help="a JSON file of all scores and times: what is in it is not measured again")
    parser.add_argument("--again", action="store_true", help="measure what is asked for also where it is in --out")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin nothing new after these")
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
    if place.exists():
        return place
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
    predicted, labels, spent = MODELS[name](task)
    scores = scores_of(predicted, truth, labels, is_log=task.table.is_log)
    about = {"table": task.table.name, "model": name, "split": task.seed, "threads": task.threads}
    return {**about, "seconds": spent.wall_s, "cpu_s": spent.cpu_s, "scores": scores}


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
    """Return the table's figures: mean error, by how much it is above traind's on the same splits, and seconds."""
    lines = []
    by_model = {name: {one["split"]: one for one in records if one["model"] == name} for name in MODELS}
    by_model = {name: found for name, found in by_model.items() if found}
    traind = by_model.get("traind", {})
    head = f"{'model':22} {'splits':>6} {'mean':>10} {'spread':>9} {'above traind':>14} {'+-':>7} {'worse on':>9}"
    for metric in records[0]["scores"]:
        lines += ["", f"{table}, {metric}", f"{head} {'s':>7} {'cpu s':>7}"]
        for name, found in by_model.items():
            scores = np.array([one["scores"][metric] for one in found.values()])
            line = f"{name:22} {len(scores):>6} {scores.mean():10.5g} {scores.std():9.2g}"
            if both := [split for split in found if split in traind]:
                theirs, ours = ([of[split]["scores"][metric] for split in both] for of in (found, traind))
                line += _paired(np.array(theirs), np.array(ours))
            spent = [np.mean([one[kind] for one in found.values()]) for kind in ("seconds", "cpu_s")]
            lines.append(f"{line:87} {spent[0]:7.1f} {spent[1]:7.1f}")
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
