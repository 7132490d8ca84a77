"""How fast a CSV becomes encoded tensors: python -m bench.data [--megabytes 100] [--repeats 5].

From a file in the page cache to tensors of training, validation rows: traind (which also infers every column's kind
and looks for odd ones, with nothing cached) against pandas.read_csv with scikit-learn's ColumnTransformer, which is
told which columns are numbers; its reader is told, too, or guesses. All fit on the training rows only and fill in
what is missing. traind is given every core, as the readers of the peers may take, and one, as a job is by default.
Peers that are not installed are left out, with a word: pip install 'traind[bench]'.
"""

import argparse
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from bench.records import in_turns, ratio, show, write

from traind.data.prepare import Request, prepare

NUMERIC = tuple(f"x{place}" for place in range(8))
CATEGORIES = {"colour": 9, "town": 70, "shop": 400, "kind": 3}
MISSING = 0.02
ROWS_AT_ONCE = 50_000
Contender = Callable[[], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=100.0)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="traind-bench-") as folder:
        path = Path(folder, "table.csv")
        n_rows = write_table(path, int(asked.megabytes * 1e6))
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        ours = f"traind, {cores} threads"
        contenders = {ours: traind(path, cores), "traind, 1 thread": traind(path, 1)} | peers(path)
        measured = in_turns(contenders, asked.repeats)
    rows = [
        (name, f"{median(values):.2f}", f"{ratio(measured, name, ours):.2f}") for name, values in measured.items()
    ]
    show(f"{asked.megabytes:.0f} MB of CSV, {n_rows} rows", ("", "seconds", "times traind's"), rows)
    write("data", {"megabytes": asked.megabytes, "rows": n_rows, "seconds": measured})


def write_table(path: Path, size: int) -> int:
    """Write a table of numbers and categories, some missing, of about `size` bytes; return its rows."""
    rng = np.random.default_rng(0)
    n_rows = 0
    with path.open("w") as file:
        file.write(",".join((*NUMERIC, *CATEGORIES, "y")) + "\n")
        while file.tell() < size:
            numbers = rng.normal(size=(ROWS_AT_ONCE, len(NUMERIC)))
            columns = [[f"{value:.6g}" for value in column] for column in numbers.T]
            for name, count in CATEGORIES.items():
                columns.append([f"{name}_{level}" for level in rng.integers(0, count, ROWS_AT_ONCE)])
            for column in columns:
                for place in np.flatnonzero(rng.random(ROWS_AT_ONCE) < MISSING):
                    column[place] = ""
            columns.append([f"{value:.6g}" for value in np.sin(numbers).sum(axis=1)])
            file.writelines(",".join(row) + "\n" for row in zip(*columns, strict=True))
            n_rows += ROWS_AT_ONCE
    return n_rows


def traind(path: Path, threads: int) -> Contender:
    def run() -> float:
        began = time.perf_counter()
        prepared = prepare((path, "csv"), Request(target="y"), threads=threads)
        for part in (prepared.train, prepared.validation):
            numeric, categorical = torch.from_numpy(part.numeric), torch.from_numpy(part.categorical)
            check(numeric, categorical, torch.from_numpy(part.target).float())
        return time.perf_counter() - began

    return run


def peers(path: Path) -> dict[str, Contender]:
    """Return the peers that are installed; say which are not."""
    ways: dict[str, tuple[str, ...]] = {
        "pandas + scikit-learn": ("pandas", "sklearn"),
        "the same, kinds not told": ("pandas", "sklearn"),
        "the same, pyarrow's reader": ("pandas", "sklearn", "pyarrow"),
    }
    found: dict[str, Contender] = {}
    for name, modules in ways.items():
        if absent := [module for module in modules if importlib.util.find_spec(module) is None]:
            print(f"{name} is left out: {', '.join(absent)} not installed")
        else:
            found[name] = pandas(path, "pyarrow" if "pyarrow" in modules else "c", is_told="not told" not in name)
    return found


def pandas(path: Path, engine: str, *, is_told: bool) -> Contender:
    """Return the usual way: read, with the columns' kinds or without, split, impute and scale, ordinal codes."""
    from pandas import read_csv
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder, StandardScaler

    def run() -> float:
        began = time.perf_counter()
        kinds = dict.fromkeys((*NUMERIC, "y"), "float32") | dict.fromkeys(CATEGORIES, "category")
        table = read_csv(path, engine=engine, dtype=kinds if is_told else None)
        train, validation = train_test_split(table, test_size=0.2, random_state=0)
        codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
        numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
        encoder = ColumnTransformer([("numbers", numbers, list(NUMERIC)), ("codes", codes, list(CATEGORIES))])
        for part, encode in ((train, encoder.fit_transform), (validation, encoder.transform)):
            encoded = encode(part)
            numeric = torch.from_numpy(encoded[:, : len(NUMERIC)].astype(np.float32))
            categorical = torch.from_numpy(encoded[:, len(NUMERIC) :].astype(np.int64) + 2)
            check(numeric, categorical, torch.from_numpy(np.array(part["y"], np.float32)))
        return time.perf_counter() - began

    return run


def check(numeric: torch.Tensor, categorical: torch.Tensor, target: torch.Tensor) -> None:
    """Hold both sides to the same result: kinds, widths, nothing missing."""
    assert numeric.dtype == target.dtype == torch.float32
    assert categorical.dtype == torch.int64
    assert numeric.shape[1] >= len(NUMERIC)
    assert categorical.shape[1] == len(CATEGORIES)
    assert len(numeric) == len(categorical) == len(target)
    assert bool(numeric.isfinite().all())


if __name__ == "__main__":
    main()
