"""Jobs in TensorBoard: its own server, asked by its own HTTP interface, shows the curves that traind has."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from traind.service.errors import InvalidSpec
from traind.service.jobs.job import Job
from traind.service.mirrors.tensorboard_files import TensorBoardFiles
from traind.service.service import TrainingService
from traind.trainer.contract.events import Progress, State, Status
from traind.trainer.contract.spec import TrainSpec

TRAINER = Path(__file__).with_name("mirrored_trainer.py")


@contextlib.contextmanager
def tensorboard(folder: Path, port: int) -> Iterator[str]:
    command = [str(Path(sys.executable).with_name("tensorboard")), "--logdir", str(folder), "--port", str(port)]
    with subprocess.Popen(
        [*command, "--host", "127.0.0.1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as it:
        try:
            yield f"http://127.0.0.1:{port}/data"
        finally:
            it.terminate()


def asked(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


async def eventually(url: str, is_wanted: Callable[[Any], bool]) -> Any:
    """Return an answer once it is what is wanted: the mirror and TensorBoard work in the background."""
    while True:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if is_wanted(found := await asyncio.to_thread(asked, url)):
                return found


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[TrainingService]:
    trainers = {"own": f"{TRAINER}:train"}
    async with TrainingService(
        root=tmp_path / "root", slots=1, tensorboard=str(tmp_path / "runs"), trainers=trainers
    ) as opened:
        yield opened


@pytest.mark.timeout(300)
async def test_a_real_tensorboard_shows_the_same_curves(
    service: TrainingService, tmp_path: Path, free_port: int
) -> None:
    await service.submit({"epochs": 3, "synthetic": {"rows": 500, "columns": 3}}, job_id="table")
    await service.submit({"trainer": "own"}, job_id="own")
    for job_id in ("table", "own"):
        assert (await service.wait(job_id)).status is Status.COMPLETED
    curves = {job_id: (await service.curve(job_id, points=5_000))["series"] for job_id in ("table", "own")}
    assert {"loss", "lr", "train_loss", "val_loss", "metrics.rmse"} <= set(curves["table"])
    assert {"loss", "custom.accuracy", "metrics.recall"} <= set(curves["own"])
    with tensorboard(tmp_path / "runs", free_port) as url:
        for run, series in curves.items():
            for name, curve in series.items():
                of_curve = f"{url}/plugin/scalars/scalars?run={run}&tag={name.replace('.', '/', 1)}"
                points = await eventually(of_curve, lambda points, curve=curve: len(points) >= len(curve["step"]))
                assert [step for _, step, _ in points] == curve["step"], (run, name)
                assert [value for _, _, value in points] == pytest.approx(curve["value"], rel=1e-6), (run, name)
        of_text = f"{url}/plugin/text/text?run=table&tag=job/text_summary"
        await eventually(of_text, lambda text: "COMPLETED" in str(text))


@pytest.mark.timeout(300)
async def test_a_resumed_attempt_and_a_restarted_server_leave_one_curve(tmp_path: Path, free_port: int) -> None:
    job = Job(job_id="again", created_at=1.0, spec=TrainSpec())
    first = [point(step, 1.0) for step in (1, 2, 3, 4)]
    resumed = State(status=Status.RUNNING, attempt=2, resumed_from_step=2)
    second = [point(step, 2.0) for step in (3, 4, 5)]
    files = TensorBoardFiles(tmp_path)
    assert files.begin(job) == 0
    files.write(job, first)
    restarted = TensorBoardFiles(tmp_path)
    assert restarted.begin(job) == 0
    restarted.write(job, [*first, resumed, *second])
    restarted.end(job)
    with tensorboard(tmp_path, free_port) as url:
        asked_for = f"{url}/plugin/scalars/scalars?run=again&tag=loss"
        points = await eventually(asked_for, lambda points: len(points) >= 5)
        assert [(step, value) for _, step, value in points] == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0), (5, 2.0)]


def point(step: int, loss: float) -> Progress:
    return Progress(ts=float(step), attempt=1, epoch=1, step=step, total_steps=5, progress=0.0, loss=loss)


async def test_a_job_of_before_is_no_run_and_one_that_goes_on_is(tmp_path: Path) -> None:
    root, runs = tmp_path / "root", tmp_path / "runs"
    spec = {"epochs": 1, "synthetic": {"rows": 100, "columns": 2}}
    async with TrainingService(root=root, slots=1) as service:
        await service.wait((await service.submit(spec, job_id="before")).job_id)
    async with TrainingService(root=root, slots=1, tensorboard=str(runs)) as service:
        await service.wait((await service.submit(spec, job_id="after")).job_id)
        assert service.health()["problems"] == []
    assert [run.name for run in runs.iterdir()] == ["after"]


async def test_no_process_is_left_and_a_missing_package_is_said(tmp_path: Path, monkeypatch) -> None:
    async with TrainingService(root=tmp_path / "root", slots=1, tensorboard=str(tmp_path / "runs")) as service:
        [pid] = service.mirrors.pids()
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InvalidSpec, match=r"traind\[tensorboard\]"):
        TrainingService(root=tmp_path / "other", tensorboard=str(tmp_path / "runs"))
