"""A trainer whose one checkpoint has as many mebibytes as its option says. Registered by the tests that need it."""

from typing import Any

import torch

from traind.trainer.run.run import Run


def train(run: Run[Any]) -> None:
    """Take a step, save, and finish with a small model."""
    run.restore()
    run.report(step=1, total=1, loss=1.0)
    run.save({"ballast": torch.zeros(run.options["mebibytes"] * 2**18)})
    run.finish({"weights": torch.zeros(1)})
