"""`traind tune`, and what is typed of a space."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from traind.service.cli.entry import Failed
from traind.service.cli.tune import Search, _dimension, _request_of

QUICK = ("--epochs", "2", "--batch-size", "64", "--synthetic", '{"rows": 300, "columns": 3}', "--study-id", "mine")
SEARCHED = ("--search", "lr=1e-4..1e-1:log", "--search", "model.hidden=[[8],[16]]", "--trials", "3", "--no-ensemble")


def tune(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "traind", "tune", *QUICK, *SEARCHED, *flags]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("lr=1e-4..1e-2:log", ("lr", {"low": 1e-4, "high": 1e-2, "log": True})),
        ("batch_size=16..64", ("batch_size", {"low": 16, "high": 64})),
        ("model.hidden=[[8],[16]]", ("model.hidden", {"choices": [[8], [16]]})),
        ('lr={"low": 0.1, "high": 1}', ("lr", {"low": 0.1, "high": 1})),
        ('optimizer=["adam","sgd"]', ("optimizer", {"choices": ["adam", "sgd"]})),
    ],
)
def test_what_is_typed_becomes_what_a_field_may_be(typed: str, expected: tuple[str, Any]) -> None:
    assert _dimension(typed) == expected


@pytest.mark.parametrize("typed", ["lr", "lr=", "lr=fast", "lr=1e..2", "lr=3"])
def test_what_cannot_be_read_is_said(typed: str) -> None:
    with pytest.raises(Failed, match="--search"):
        _dimension(typed)


def test_a_field_that_is_named_twice_is_said() -> None:
    with pytest.raises(Failed, match="names lr twice"):
        _request_of(Search(search=("lr=1e-4..1e-2", "lr=[1, 2]")), {})


def test_name_and_time_are_of_the_study_and_the_rest_of_its_trials() -> None:
    request = _request_of(Search(trials=7), {"name": "n", "max_seconds": 5, "epochs": 3, "seed": 4})
    assert (request["name"], request["max_seconds"], request["seed"], request["trials"]) == ("n", 5, 4, 7)
    assert request["spec"] == {"epochs": 3, "seed": 4}


def test_a_study_runs_without_a_server_and_is_the_same_when_called_again(tmp_path: Path) -> None:
    first = tune(tmp_path)
    assert first.returncode == 0, first.stderr
    assert "COMPLETED  3/3 trials" in first.stdout
    assert "best: trial" in first.stdout
    again = tune(tmp_path, "--json")
    told = [json.loads(line) for line in again.stdout.splitlines()[:-1] if line.startswith('{"type"')]
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    assert len(list((tmp_path / "artifacts/jobs").glob("mine_*.json"))) == 3


def test_a_bad_space_is_told_by_field(tmp_path: Path) -> None:
    refused = tune(tmp_path, "--search", "lrr=[1]")
    assert refused.returncode != 0
    assert "space.lrr" in refused.stderr
    assert "did you mean lr" in refused.stderr
