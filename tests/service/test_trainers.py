"""Trainers are named, or handed over as functions, and looked at once when the service starts."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traind import InvalidSpec, Run, Status, TrainingService
from traind.service.trainers import references

OWN = """
import dataclasses
import torch
from traind import Run

@dataclasses.dataclass
class Options:
    width: int = 2

def train(run: Run[Options]) -> None:
    run.report(step=1, total=1, loss=1.0)
    run.finish({"weights": torch.zeros(run.options.width)})

async def later(run): ...
"""


def at_the_top(run: Run[Any]) -> None:
    """Be a trainer that can be imported."""


def test_functions_and_files_become_what_workers_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"one": "package.module:train", "two": "digits.py:train", "three": at_the_top}
    assert references(given) == {
        "one": "package.module:train",
        "two": f"{tmp_path.resolve()}/digits.py:train",
        "three": f"{__name__}:at_the_top",
    }


@pytest.mark.parametrize(
    ("trainer", "words"), [(lambda run: None, "inside a function"), (42, "neither a function"), (object(), "neither")]
)
def test_what_workers_cannot_import_is_said(
    trainer: Any, words: str, tmp_path: Path, open_root: Callable[..., TrainingService]
) -> None:
    with pytest.raises(InvalidSpec, match=rf"trainers\.mine.*{words}"):
        open_root(root=tmp_path, trainers={"mine": trainer})


async def test_a_trainer_from_a_file_trains_and_its_options_are_checked(
    tmp_path: Path, open_root: Callable[..., TrainingService]
) -> None:
    (tmp_path / "own_trainer.py").write_text(OWN)
    trainers = {"own": f"{tmp_path}/own_trainer.py:train"}
    async with open_root(root=tmp_path / "root", slots=1, trainers=trainers) as service:
        with pytest.raises(Exception, match="no option `widht`"):
            await service.submit(trainer="own", options={"widht": 4})
        job = await service.wait((await service.submit(trainer="own", options={"width": 3})).job_id)
        assert job.status is Status.COMPLETED, job.error


def test_an_installed_trainer_that_cannot_be_imported_stops_the_start(tmp_path: Path) -> None:
    installed = tmp_path / "own_package-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: own-package\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[traind.trainers]\nfaulty = own_package:train\n")
    (tmp_path / "own_package.py").write_text("import no_such_library\n")
    serve = [sys.executable, "-m", "traind", "serve", "--root", str(tmp_path / "root"), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    refused = subprocess.run(serve, check=False, capture_output=True, text=True, timeout=120, env=environment)
    assert refused.returncode == 1
    assert "trainers.faulty" in refused.stderr
    assert "no_such_library" in refused.stderr


async def test_bad_trainers_stop_the_start_all_of_them_named(
    tmp_path: Path, open_root: Callable[..., TrainingService]
) -> None:
    (tmp_path / "own_trainer.py").write_text(OWN)
    trainers = {
        "async": f"{tmp_path}/own_trainer.py:later",
        "absent": "no_such_module:train",
        "good": f"{tmp_path}/own_trainer.py:train",
    }
    with pytest.raises(InvalidSpec) as refused:
        async with open_root(root=tmp_path / "root", slots=1, trainers=trainers):
            pass
    assert [detail["loc"] for detail in refused.value.details] == ["trainers.async", "trainers.absent"]
    async with open_root(root=tmp_path / "root", slots=1):  # the root was let go
        pass
