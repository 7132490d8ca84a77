"""A spec that needs a library which is not installed is refused at submit, with the command that installs it."""

import subprocess
import sys

import pytest

from traind.service.trainers import check_libraries
from traind.trainer.contract.spec import BlendModel, Model, TrainSpec, TreesModel


@pytest.mark.parametrize("model", [TreesModel(), BlendModel()])
def test_trees_are_accepted_where_lightgbm_is(model: Model) -> None:
    pytest.importorskip("lightgbm")
    check_libraries(TrainSpec(model=model))


@pytest.mark.parametrize("kind", ["trees", "blend"])
def test_trees_are_refused_where_it_is_not(kind: str) -> None:
    code = (
        "import importlib.machinery as m\n"
        "find = m.PathFinder.find_spec\n"
        "m.PathFinder.find_spec = lambda name, *rest: None if name == 'lightgbm' else find(name, *rest)\n"
        "from traind.service.errors import InvalidSpec\n"
        "from traind.service.trainers import check_libraries\n"
        "from traind.service.validation.validate import parse_spec\n"
        "try:\n"
        f"    check_libraries(parse_spec({{'model': {{'kind': {kind!r}}}}}))\n"
        "except InvalidSpec as error:\n"
        "    print(error.details[0]['loc'], error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout.strip() == "model Install it where the server runs: pip install 'traind[trees]'", done.stderr
