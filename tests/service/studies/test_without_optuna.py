"""Where Optuna is not installed a study is refused with what installs it, and one from before is shown."""

import json
import subprocess
import sys
from pathlib import Path

HIDDEN = """
import importlib.machinery as machinery
find = machinery.PathFinder.find_spec
machinery.PathFinder.find_spec = lambda name, *rest: None if name == "optuna" else find(name, *rest)
"""
PROGRAM = """
import asyncio, json, sys
from traind.service.errors import InvalidSpec
from traind.service.service import TrainingService

SPEC = {"epochs": 1, "synthetic": {"rows": 200, "columns": 3}, "batch_size": 64}
SPACE = {"lr": {"low": 1e-3, "high": 1e-1, "log": True}}

async def main():
    async with TrainingService(root=sys.argv[1], slots=1) as service:
        try:
            study = await service.submit_study(spec=SPEC, space=SPACE, trials=4, study_id="before", ensemble=False)
            print((await service.wait_study("before")).status)
        except InvalidSpec as error:
            told = await service.study("before")
            print(json.dumps([error.message, error.hint, error.details[0]["loc"], told.status, told.importance]))

asyncio.run(main())
"""


def run(root: Path, program: str) -> str:
    command = [sys.executable, "-c", program, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_study_is_refused_with_the_command_and_one_from_before_is_shown(tmp_path: Path) -> None:
    assert run(tmp_path, PROGRAM) == "COMPLETED"
    message, hint, loc, status, importance = json.loads(run(tmp_path, HIDDEN + PROGRAM))
    assert message == "Studies need Optuna, which is not installed where the server runs."
    assert hint == "pip install 'traind[studies]'"
    assert (loc, status, importance) == ("sampler", "COMPLETED", {})
