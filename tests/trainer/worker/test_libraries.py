"""What a job needs is loaded without what it does not need."""

import subprocess
import sys

import pytest

CODE = """
import sys
from traind.trainer.contract.spec import TrainSpec, TreesModel
from traind.trainer.worker.libraries import BESIDE_LIGHTGBM, load_for
load_for(TrainSpec())
assert "lightgbm" not in sys.modules
load_for(TrainSpec(model=TreesModel()))
assert not {name for name in BESIDE_LIGHTGBM if name in sys.modules}
import lightgbm, numpy
table = lightgbm.Dataset(numpy.arange(200.0).reshape(100, 2), numpy.arange(100.0))
booster = lightgbm.train({"verbose": -1}, table, 2)
assert booster.num_trees() == 2
"""


def test_trees_are_grown_without_the_libraries_of_others():
    pytest.importorskip("lightgbm")
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
