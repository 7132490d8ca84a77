"""`traind train` without a server, and what a terminal shows."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest

from traind import TrainSpec
from traind.service.cli.entry import run
from traind.service.cli.show import print_table
from traind.service.cli.spec import SpecFlags, typed_values

UNENDING = ("train", "--job-id", "long", "--epochs", "100000", "--batch-size", "16", "--synthetic", '{"rows": 2000}')


def start(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "traind", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_every_field_of_a_spec_has_its_flag() -> None:
    assert {field.name for field in fields(SpecFlags)} == {field.name for field in msgspec.structs.fields(TrainSpec)}


def test_flags_become_the_values_that_json_would_have() -> None:
    flags = SpecFlags(
        dataset="5", target="2024", epochs="3", lr="auto", model="mlp", patience="null", tags=("a", "b"), seed="7"
    )
    assert typed_values(flags) == {
        "dataset": "5",
        "target": "2024",
        "epochs": 3,
        "lr": "auto",
        "model": {"kind": "mlp"},
        "patience": None,
        "tags": ("a", "b"),
        "seed": 7,
    }


def test_what_is_wrong_with_a_file_is_told_with_its_name(
    server: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = {
        "empty.csv": ("", "The file is empty."),
        "head.csv": ("a,b\n", "The table has a header but no rows."),
        "wide.csv": ("a,b\n1,2\n3,4,5,6\n", "Line 3"),
        "cell.csv": ("a,b\n1,2\n2,3\n3,4\nx,5\n", "Line 5, column 'a': 'x' is not a number."),
    }
    for name, (text, told) in tables.items():
        path = tmp_path / name
        path.write_text(text)
        typed = ["train", "--server", server.url, "--dataset", str(path), "--columns", '{"a": "numeric"}']
        assert run(typed) == 1
        last = capsys.readouterr().err
        assert str(path) in last
        assert told in last
        assert "None" not in last
    assert run(["train", "--server", server.url, "--dataset", "nope.csv"]) == 1
    assert "There is no file nope.csv, and no data set of that name." in capsys.readouterr().err


OWN = """
import torch

def train(run):
    run.report(step=1, total=1, loss=1.0)
    run.finish({"weights": {"slope": torch.tensor([3.0])}})

def predict(model, rows):
    return [float(model["weights"]["slope"]) * float(row["x"]) for row in rows]
"""


def test_a_trainer_from_a_file_trains_and_its_model_predicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own_slope.py").write_text(OWN)
    Path("rows.csv").write_text("x\n1\n2.5\n")
    assert run(["train", "--trainer", "own_slope.py", "--job-id", "slope", "--tensorboard", "runs"]) == 0
    assert list(Path("runs/slope").glob("events.out.tfevents.*"))
    assert run(["predict", "slope", "rows.csv", "-o", "out.csv"]) == 1
    assert "--trainer FILE.py" in capsys.readouterr().err
    assert run(["predict", "slope", "rows.csv", "-o", "out.csv", "--trainer", "own_slope.py"]) == 0
    assert Path("out.csv").read_text().splitlines() == ["x,prediction", "1,3.0", "2.5,7.5"]


def test_a_terminal_is_not_told_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name"], [["\x1b]0;title\x07\u202eevil"], ["Köln"]])
    assert capsys.readouterr().out == "name\n\\x1b]0;title\\x07\\u202eevil\nKöln\n"


def test_an_interrupted_train_goes_on_with_the_same_command(tmp_path: Path) -> None:
    for number, again in ((signal.SIGINT, False), (signal.SIGTERM, True)):
        with start(*UNENDING, folder=tmp_path) as process:
            assert process.stdout is not None
            is_on = not again  # what the first attempt said comes first
            for line in process.stdout:
                if "resumed from step" in line:
                    assert again
                    is_on = True
                if is_on and re.search(r"step \d{3,}/", line):
                    break
            process.send_signal(number)
            _, told = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "--job-id long goes on" in told
        job = json.loads((tmp_path / "artifacts/jobs/long.json").read_bytes())
        assert (job["status"], job["attempt"]) == ("QUEUED", 1 + again)
        assert job["checkpoint"] is not None


def test_a_terminal_shows_a_live_bar(server: Any) -> None:
    command = [sys.executable, "-m", "traind", "train", "--server", server.url, "--epochs", "2"]
    shown = b""
    main, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=terminal, stderr=terminal, env=environment) as process:
        os.close(terminal)
        while True:
            try:
                part = os.read(main, 65_536)
            except OSError:  # the other end is closed
                break
            shown += part
    os.close(main)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert process.returncode == 0, text
    assert "100%" in text
    assert "epoch 2/2 ended" in text
    assert "(baseline " in text
    assert re.search(r"loss \d", text)
    assert "validation  baseline" in text
