"""What others' tools cost beside a plain job, side by side in one run: python -m bench.tools.

`fit` of scikit-learn's estimator beside a job of a table, on the same 10,000 rows with the same spec; and the steps
of a job whose curves go to TensorBoard, and to an MLflow store, beside one that is not mirrored.
"""

import asyncio
import os
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
from bench.records import in_turns, ratio, show, write

from traind import TrainingService
from traind.sklearn import TraindRegressor

ROWS, COLUMNS, EPOCHS, ROUNDS = 10_000, 8, 5, 3
LONG = {"epochs": 30, "batch_size": 16, "synthetic": {"rows": 5_000}, "patience": None}


def table() -> pl.DataFrame:
    """Return rows of numbers with a smooth target and noise."""
    stream = np.random.default_rng(0)
    features = stream.normal(size=(ROWS, COLUMNS))
    target = np.sin(features[:, 0]) + features[:, 1] * features[:, 2] + 0.1 * stream.normal(size=ROWS)
    return pl.DataFrame({f"x{place}": features[:, place] for place in range(COLUMNS)} | {"y": target})


def fit_beside_job() -> dict[str, list[float]]:
    """Return seconds of `fit`, and of a job from its start to its end, reading and encoding included."""
    rows = table()
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        file = Path(folder, "rows.parquet")
        rows.write_parquet(file)
        service = runner.run(TrainingService(Path(folder, "root"), slots=1).__aenter__())
        runner.run(service.put_dataset("rows", file))
        spec = {"dataset": "rows", "target": "y", "epochs": EPOCHS, "patience": None, "task": "regression"}

        def job() -> float:
            seed = int(time.time() * 1e6) % 2**31  # another one each time: no encoding is found ready
            spec_now = {**spec, "seed": seed, "validation": {"seed": seed}}
            done = runner.run(service.wait(runner.run(service.submit(spec_now)).job_id))
            return float(done.timings["loading_s"] + done.timings["running_s"])

        def fit() -> float:
            began = time.perf_counter()
            TraindRegressor(epochs=EPOCHS, patience=None, random_state=0).fit(rows.drop("y"), rows["y"].to_numpy())
            return time.perf_counter() - began

        measured = in_turns({"fit": fit, "job": job}, ROUNDS)
        runner.run(service.close())
    return measured


async def mirrored_rates() -> dict[str, list[float]]:
    """Return rows a second of the same job, plain and mirrored, in turns; and the processor time of each mirror."""
    with tempfile.TemporaryDirectory() as folder:
        plain = TrainingService(Path(folder, "plain"), slots=1)
        mirrored = TrainingService(
            Path(folder, "both"),
            slots=1,
            tensorboard=str(Path(folder, "runs")),
            mlflow=f"sqlite:///{folder}/mlflow.db" if find_spec("sqlalchemy") else None,
        )
        rates: dict[str, list[float]] = {"plain": [], "mirrored": [], "share": []}
        async with plain, mirrored:
            for turn in range(ROUNDS + 1):
                for name, service in (("plain", plain), ("mirrored", mirrored)):
                    before, began = _cpu_s(service), time.perf_counter()
                    done = await service.wait((await service.submit(LONG)).job_id)
                    if turn:
                        rates[name].append(done.samples_per_s or 0.0)
                        if name == "mirrored":
                            rates["share"].append((_cpu_s(service) - before) / (time.perf_counter() - began))
    return rates


def _cpu_s(service: TrainingService) -> float:
    """Return the processor time that a service's mirrors have used, in seconds."""
    ticks = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13] for pid in service.mirrors.pids()]
    return sum(int(one) for pair in ticks for one in pair) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    fits = fit_beside_job()
    rates = asyncio.run(mirrored_rates())
    rows = [
        ("fit on 10,000 rows, over a job's loading and running", f"{ratio(fits, 'fit', 'job'):.2f}"),
        ("rate of a mirrored job's steps, over a plain one's", f"{ratio(rates, 'mirrored', 'plain'):.3f}"),
        ("processor time of the mirrors, over the job's time", f"{median(rates['share']):.3f}"),
    ]
    show("Others' tools beside plain jobs", ("what", "ratio"), rows)
    write("tools", {"fit": fits, "mirrors": rates})


if __name__ == "__main__":
    main()
