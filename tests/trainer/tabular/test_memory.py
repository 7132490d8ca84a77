"""The estimate of a job's memory, against the highest that a process of its own had when it ran that job."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MEASURE = """
import hashlib, json, os, sys, tempfile
from pathlib import Path
import msgspec
from traind.trainer.contract.control import LocalControl
from traind.trainer.contract.spec import DatasetFile, Place, Synthetic, TrainSpec
from traind.trainer.run.attempt import run
from traind.trainer.run.run import Run
from traind.trainer.tabular.dry_run import estimate

def memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))

def place(folder, path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = DatasetFile("t", digest, str(path), path.suffix.removeprefix("."), path.stat().st_size)
    return Place(job_id="j", attempt=1, attempt_dir=folder, dataset=file)

def attempt(spec, path):
    with tempfile.TemporaryDirectory() as folder:
        return run(spec, lambda event: None, place(folder, path), LocalControl())

table = Path(sys.argv[1])
spec = msgspec.json.decode(sys.argv[2], type=TrainSpec)
with tempfile.TemporaryDirectory() as folder:  # as the fork server does, so that the job finds all of torch loaded
    rehearsed = TrainSpec(synthetic=Synthetic(rows=200), epochs=1, model=spec.model)
    run(rehearsed, lambda event: None, Place(job_id="r", attempt=1, attempt_dir=folder), LocalControl())
Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
ended = attempt(spec, table)
peak = memory("VmHWM") - before
with tempfile.TemporaryDirectory() as folder:
    told = estimate(Run(spec, lambda event: None, place(folder, table), LocalControl()))["memory_bytes"]
print(json.dumps({"peak": peak, "told": told, "status": ended.status}))
"""
FLIGHTS = Path(__file__).parents[3].parent / "shared/data/flights.parquet"
WORDS = [f"{first}{second}{place}" for place in range(40) for first in "bcdfgklmnp" for second in "aeiou"]
CASES: dict[str, dict[str, Any]] = {
    "texts, two networks": {"target": "y"},
    "a wide network": {
        "target": "y",
        "model": {"kind": "mlp", "hidden": [2048, 1024]},
        "batch_size": 2048,
        "features": ["x", "z"],
    },
    "trees": {"target": "y", "model": {"kind": "trees"}, "features": ["x", "z"]},
    "networks and trees": {"target": "y", "model": {"kind": "blend"}, "features": ["x", "z"]},
    "the best": {"target": "y", "model": {"kind": "best"}, "features": ["x", "z"]},
    "many rows": {"target": "arr_delay", "ignore": ["arr_time"], "model": {"kind": "fast"}},
    "many rows, trees": {"target": "arr_delay", "ignore": ["arr_time"], "model": {"kind": "trees"}},
}
LONG = set(CASES) - {"a wide network"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("memory") / "table.csv"
    lines = ["text,x,z,y"]
    for row in range(6_000):
        said = " ".join(WORDS[(row * (place + 3) + place * place * 31) % len(WORDS)] for place in range(12))
        lines.append(f"{said},{row % 97},{row * 0.37 % 11:.3f},{row % 13 + row * 0.001:.3f}")
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.faults] * (case in LONG)) for case in CASES])
def test_the_dry_run_tells_about_what_the_job_takes(case: str, table: Path) -> None:
    path = FLIGHTS if case.startswith("many rows") else table
    if not path.exists():
        pytest.skip("the real data sets are not here")
    spec = json.dumps({"dataset": "t", "epochs": 1, **CASES[case]})
    command = [sys.executable, "-c", MEASURE, str(path), spec]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["status"] == "COMPLETED"
    assert found["peak"] / 2 < found["told"] < found["peak"] * 2.5, found
