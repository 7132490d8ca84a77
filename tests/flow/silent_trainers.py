"""Trainers that say nothing for a while, for good reasons and for none, by the option `how`. Registered by tests."""

import time
from typing import Any

import numpy as np
import torch

from traind.trainer.run.run import Run

SILENT_S = 4.0  # longer than the tests' `hang_s`, shorter than what a job at work is given


def train(run: Run[Any]) -> None:
    """Take some steps, be silent in the way the option names, and finish."""
    for step in range(1, 21):
        run.report(step=step, total=21, loss=1.0)
    WAYS[run.options["how"]](run)
    run.report(step=21, total=21, loss=1.0)
    run.finish({"weights": torch.zeros(1)})


def _validate_aside(run: Run[Any]) -> None:
    with run.aside():
        time.sleep(SILENT_S)


def _work(run: Run[Any]) -> None:
    end = time.monotonic() + SILENT_S
    while time.monotonic() < end:
        torch.randn(64, 64).sum()


def _work_in_children(run: Run[Any]) -> None:
    for _ in torch.utils.data.DataLoader(Slow(), num_workers=1, batch_size=None):
        pass


class Slow(torch.utils.data.Dataset[int]):
    """One item that takes long to make."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        end = time.monotonic() + SILENT_S
        while time.monotonic() < end:
            np.linalg.norm(np.ones(1_000))
        return 1


def _wait_for_ever(run: Run[Any]) -> None:
    time.sleep(600)


WAYS = {
    "aside": _validate_aside,
    "work": _work,
    "children": _work_in_children,
    "nothing": _wait_for_ever,
}
