"""A trainer that takes no step, and a model that predicts when a file is there: a slow call, for tests."""

import time
from pathlib import Path
from typing import Any


def train(run: Any) -> None:
    """Finish at once."""
    run.report(step=1, total=1, loss=0.0)
    run.finish({"weights": {}})


def predict(_model: dict[str, Any], rows: list[dict[str, Any]]) -> list[int]:
    """Note that it began, and wait for the word to end."""
    Path(rows[0]["begun"]).touch()
    while not Path(rows[0]["end"]).exists():
        time.sleep(0.005)
    return [1] * len(rows)
