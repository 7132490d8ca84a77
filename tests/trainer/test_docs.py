"""The trainer that docs/training.md shows trains, goes on, and predicts."""

import re
import sys
import types

import pytest

from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import Status
from traind.trainer.model.model import load_model


@pytest.fixture
def shown(repository, monkeypatch):
    """The document's program as a module that can be imported."""
    program = re.search(r"```python\n(.*?)```", (repository / "docs/training.md").read_text(), re.DOTALL).group(1)
    module = types.ModuleType("shown_in_docs")
    monkeypatch.setitem(sys.modules, "shown_in_docs", module)
    exec(program, vars(module))
    return module


def test_the_trainer_in_the_docs_works(shown, new_job):
    whole, job = (new_job(None, "shown_in_docs:train", trainer="mine", options={"steps": 20}) for _ in range(2))
    expected = whole.attempt().result
    assert job.attempt(Verb.PAUSE, 7).status is Status.PAUSED
    assert job.attempt().result.weights_digest == expected.weights_digest
    assert len(load_model(expected.model_path, trainer=shown.train).predict([{"x": 1.0}])) == 1
