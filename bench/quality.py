"""traind's default against gradient boosting and other networks with theirs: python -m bench.quality.

Every model sees the same rows: a fifth of a table is the test, by groups or time where it has them (bench/tables.py),
a fifth of the rest is for early stopping (traind, CatBoost and RealMLP use it), what remains is trained on. Tables
and peers that are not installed are left out, with a word: pip install lightgbm catboost xgboost scikit-learn pandas
pytabkit. Each model has a process of its own and has trained something small before its time is taken; models take
turns within a split. With --out a run can be cut into pieces (--minutes, --only, --models) and continued, and single
models can be measured again (--again). At the end stands one table over all: ranks, paired differences, seconds.
"""

import argparse
import csv
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
import polars as pl
from bench.contenders import MODELS, Floats, Table, Task, is_installed
from bench.tables import LARGE, SOURCES, Source, held_out_rows, locate, read_table, trained_rows

SAMPLE_DIR = Path(__file__).parent.parent / "data" / "samples"
USUAL = ",".join(name for name in SOURCES if name not in LARGE)


def main(arguments: list[str] | None = None) -> None:
    asked = _arguments(arguments)
    names = [name for name in asked.models.split(",") if is_installed(name)]
    if not (names and asked.tables):
        sys.exit("there is nothing to compare: no such table, or no model that is installed")
    chosen = [(table, seed, name) for seed in range(asked.splits) for table in asked.tables for name in names]
    kept = Kept(Path(asked.out) if asked.out else None)
    if asked.again:
        kept.drop({_key(table.name, name, seed) for table, seed, name in chosen})
    missing = [one for one in chosen if _key(one[0].name, one[2], one[1]) not in kept.records]
    run(missing, asked, kept)
    for table in asked.tables:
        found = [record for record in kept.records.values() if record["table"] == table.name]
        print(summary(table.name, found) if found else f"{table.name}: nothing yet", flush=True)
    print(overall([record for record in kept.records.values() if record["model"] in names]))


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
            place = write_split(table, asked.sources[table.name], asked.folder, seed, Path(folder))
            task = Task(table, place, seed, asked.threads, asked.raw)
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
    parser.add_argument("--only", help="tables of bench/tables.py, by comma: %(default)s", default=USUAL)
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
    asked.folder = Path(asked.data or os.environ.get("TRAIND_BENCH_DATA") or SAMPLE_DIR)
    asked.sources = _sources(asked)
    asked.tables = [Table(name, source.target, source.is_log) for name, source in asked.sources.items()]
    return asked


def _sources(asked: argparse.Namespace) -> dict[str, Source]:
    """Return the tables that are asked for and are here."""
    if asked.table:
        files = [one.rpartition(":") for one in asked.table]
        return {
            Path(path).name.split(".")[0]: Source(("", ""), str(Path(path).resolve()), target)
            for path, _, target in files
        }
    unknown = sorted(set(asked.only.split(",")) - set(SOURCES))
    if unknown:
        sys.exit(f"there is no table {', '.join(unknown)}; there are: {', '.join(SOURCES)}")
    chosen = {name: SOURCES[name] for name in asked.only.split(",")}
    missing = [name for name, source in chosen.items() if locate(source, asked.folder) is None]
    if missing:
        print(f"left out, as their packages or files are not here (see bench/tables.py): {', '.join(missing)}")
    return {name: source for name, source in chosen.items() if name not in missing}


def write_split(table: Table, source: Source, data: Path, seed: int, folder: Path) -> Path:
    """Write train.csv and test.csv of one split below `folder`; return where. Groups are no feature."""
    place = folder / f"{table.name}-{seed}"
    if place.exists():
        return place
    frame = read_table(source, data)
    assert frame is not None
    masks = {"train": trained_rows(source, frame, seed), "test": held_out_rows(source, frame, seed)}
    place.mkdir()
    for name, chosen in masks.items():
        part = frame.filter(pl.Series(chosen))
        (part.drop(source.by) if source.kind == "group" else part).write_csv(place / f"{name}.csv")
    return place


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


def overall(records: list[dict[str, Any]]) -> str:
    """Return one line a model, over all tables: mean rank, how often traind is better, and how far; seconds.

    Of each table one error counts: log loss, or the root mean squared error, of the logarithm where that counts; as a
    mean over the splits that all models have been measured on.
    """
    by_model: dict[str, dict[tuple[str, int], dict[str, Any]]] = {}
    for one in records:
        by_model.setdefault(one["model"], {})[one["table"], one["split"]] = one
    ours = by_model.get("traind", {})
    shared = set.intersection(*(set(found) for found in by_model.values())) if by_model else set()
    tables = sorted({table for table, _ in shared})
    if not (ours and tables):
        return "\nover all tables: no split that all models have been measured on yet"
    means = {
        name: np.array([np.mean([main_score(found[key]) for key in shared if key[0] == table]) for table in tables])
        for name, found in by_model.items()
    }
    cpu = {
        name: np.array([np.mean([found[key]["cpu_s"] for key in shared if key[0] == table]) for table in tables])
        for name, found in by_model.items()
    }
    ranks = np.argsort(np.argsort(np.array(list(means.values())), axis=0), axis=0) + 1.0
    head = f"{'model':18} {'mean rank':>9} {'traind better on':>17} {'median difference':>18} {'median cpu s':>13}"
    lines = ["", f"over {len(tables)} tables, {len(shared)} splits", head]
    for name, rank in zip(means, ranks, strict=True):
        above = 100.0 * (means[name] / means["traind"] - 1.0)
        better = f"{int((above > 0).sum())} of {len(tables)}"
        lines.append(
            f"{name:18} {rank.mean():9.2f} {better:>17} {np.median(above):+17.2f}% {np.median(cpu[name]):13.1f}"
        )
    return "\n".join(lines)


def main_score(record: dict[str, Any]) -> float:
    """Return the error by which models are ranked; none is quite 0."""
    scores = record["scores"]
    name = next(name for name in ("log loss", "rmse of log10", "rmse") if name in scores)
    return max(1e-12, float(scores[name]))


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
        table, source = Table("tiny", "y"), Source(("", ""), str(path), "y")
        place = write_split(table, source, Path(folder), 0, Path(folder))
        measure(name, Task(table, place, 0, threads, is_raw=True))


if __name__ == "__main__":
    main()
