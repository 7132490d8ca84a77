"""Jobs in MLflow: a real server on SQLite, read by its own client; one that is away; trainers of one's own."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from traind.service.jobs.job import TERMINAL
from traind.service.service import TrainingService
from traind.trainer.contract.events import Status

SERVER = Path(__file__).parents[3] / ".venv/mlflow-server/bin/mlflow"  # of `make`: it needs an older pandas than ours
TRAINER = Path(__file__).with_name("mirrored_trainer.py")
START_S = 120.0
pytestmark = pytest.mark.faults  # its server takes minutes to install and to start


@pytest.fixture
def start(tmp_path: Path, free_port: int) -> Iterator[Callable[[], None]]:
    """Start MLflow's server on the free port; it is ended at the end."""
    if not SERVER.exists():
        pytest.skip("the MLflow server is not installed")
    with contextlib.ExitStack() as started:

        def serve() -> None:
            command = [str(SERVER), "server", "--host", "127.0.0.1", "--port", str(free_port), "--workers", "1"]
            command += ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
            command += ["--artifacts-destination", str(tmp_path / "artifacts")]
            process = started.enter_context(
                subprocess.Popen(
                    command,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                )
            )
            started.callback(os.killpg, process.pid, signal.SIGKILL)
            until = time.monotonic() + START_S
            while time.monotonic() < until:
                with contextlib.suppress(urllib.error.URLError, ConnectionError):
                    urllib.request.urlopen(f"http://127.0.0.1:{free_port}/health", timeout=10).close()
                    return
            pytest.fail("MLflow did not start")

        yield serve


async def until(is_so: Callable[[], bool]) -> None:
    """Return once something is so that another process does: asked again and again, off the loop."""
    while not await asyncio.to_thread(is_so):
        pass


def runs_of(client: MlflowClient) -> dict[str, Any]:
    experiment = client.get_experiment_by_name("traind")
    found = client.search_runs([experiment.experiment_id]) if experiment else []
    return {run.data.tags["traind.job_id"]: run for run in found}


@pytest.mark.timeout(400)
async def test_a_server_that_is_away_delays_no_job_and_gets_everything_later(
    start: Callable[[], None], tmp_path: Path, free_port: int
) -> None:
    uri = f"http://127.0.0.1:{free_port}"
    settings: dict[str, Any] = {"slots": 1, "mlflow": uri, "trainers": {"own": f"{TRAINER}:train"}}
    spec = {"epochs": 2, "lr": 0.01, "synthetic": {"rows": 500, "columns": 3}, "name": "houses", "tags": ["nightly"]}
    async with TrainingService(root=tmp_path / "root", **settings) as service:
        await service.submit(spec, job_id="table")
        assert (await service.wait("table")).status is Status.COMPLETED
        await until(lambda: bool(service.health()["problems"]))
        health = service.health()
        assert uri in health["problems"][0]
        assert health["is_ready"]
    start()
    async with TrainingService(root=tmp_path / "root", **settings) as service:
        await service.submit({"trainer": "own"}, job_id="own")
        assert (await service.wait("own")).status is Status.COMPLETED
        client = MlflowClient(uri)
        await until(lambda: [run.info.status for run in runs_of(client).values()] == ["FINISHED", "FINISHED"])
        runs = runs_of(client)
        jobs = {job_id: await service.status(job_id) for job_id in runs}
        curves = {job_id: (await service.curve(job_id, points=5_000))["series"] for job_id in runs}
    assert all(job.status in TERMINAL for job in jobs.values())

    table, job = runs["table"], jobs["table"]
    assert (table.info.run_name, table.data.tags["tag.nightly"]) == ("houses", "true")
    assert (table.data.params["lr"], table.data.params["synthetic.rows"]) == ("0.01", "500")
    assert table.data.metrics["validation/rmse"] == pytest.approx(job.metrics["validation"]["rmse"])
    assert {artifact.path for artifact in client.list_artifacts(table.info.run_id)} == {"job.json", "model"}
    for job_id, series in curves.items():
        for name, curve in series.items():
            history = client.get_metric_history(runs[job_id].info.run_id, name.replace(".", "/", 1))
            points = sorted((point.step, point.value) for point in history)
            assert [step for step, _ in points] == curve["step"], (job_id, name)
            assert [value for _, value in points] == pytest.approx(curve["value"]), (job_id, name)
    assert "custom/accuracy" in runs["own"].data.metrics

    mlflow.set_tracking_uri(uri)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of type hints of its own
        model = mlflow.pyfunc.load_model(f"runs:/{table.info.run_id}/model")
    rows = pd.DataFrame({"x1": [0.5, -1.0], "x2": [0.0, 2.0], "x3": [1.0, 1.0]})
    from traind import load_model

    assert list(model.predict(rows)["prediction"]) == list(
        load_model(tmp_path / "root/models/table.pt").predict(rows)
    )


def test_a_password_in_the_address_is_shown_to_nobody() -> None:
    from traind.service.mirrors.mlflow_runs import _without_secrets

    assert _without_secrets("https://me:hidden@mlflow.example.org:5000/x") == "https://mlflow.example.org:5000/x"
    assert _without_secrets("sqlite:///mlflow.db") == "sqlite:///mlflow.db"
