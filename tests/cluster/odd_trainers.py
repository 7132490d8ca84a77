"""Trainers that do one odd thing, by the option `how`; for jobs on a cluster."""

import time
from typing import Any

import torch

from traind.trainer.run.run import Run


def train(run: Run[Any]) -> None:
    """Take a step, do the odd thing, finish."""
    run.report(step=1, total=2, loss=1.0)
    match run.options["how"]:
        case "file":
            (run.files_dir / "notes.txt").write_text("kept", encoding="utf-8")
            run.log("printed and logged")
        case "memory":
            torch.ones(2**28)
        case "hang":
            time.sleep(600)
        case "raise":
            raise ValueError("odd")
    run.finish({"weights": torch.zeros(1)})
