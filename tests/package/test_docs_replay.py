"""docs/replay.md shows what happens: its step is recorded, planned and written anew here."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from traind.trainer.step.flat_optimizer import Optimizer
from traind.trainer.step.replay.liveness import Borders, live_calls
from traind.trainer.step.replay.replay import CHECKS, EAGER_STEPS, ReplayStep
from traind.trainer.step.replay.tape import record

PAGE = (Path(__file__).parents[2] / "docs/replay.md").read_text()
BLOCKS = re.findall(r"^```(?:text|python)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
ROWS, BATCH = 64, 16


@pytest.fixture
def step() -> ReplayStep:
    torch.manual_seed(0)
    rows = torch.randn(ROWS, 3), torch.randn(ROWS, 1)
    names = {"nn": nn, "rows": rows, "ReplayStep": ReplayStep, "Optimizer": Optimizer}
    exec(BLOCKS[0], names)
    made: ReplayStep = names["step"]
    made.begin_epoch(torch.arange(ROWS))
    return made


def test_the_calls_are_those_shown(step: ReplayStep) -> None:
    batch = step.batches.at(0)
    tape, (loss, gradients) = record(lambda: step.differentiate(batch))
    lasting = (*step.model.parameters(), *step.model.buffers())
    borders = Borders(tuple(batch), lasting, loss, tuple(zip(gradients, step.update.gradients, strict=True)))
    assert [call.name for call in tape.calls] == BLOCKS[1].split()
    assert [call.name for call in live_calls(tape, borders).calls] == BLOCKS[2].split()
    assert f"Here it writes down {len(tape.calls)} calls" in PAGE


def test_the_code_and_its_memory_are_those_shown(step: ReplayStep) -> None:
    for number in range(EAGER_STEPS + CHECKS):
        step.run(number % (ROWS // BATCH))
    plan = step.plans[BATCH]
    assert plan.source == BLOCKS[3]
    assert f"needs {plan.own_bytes} bytes of its own" in PAGE
