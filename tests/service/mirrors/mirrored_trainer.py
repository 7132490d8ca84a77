"""A trainer of one's own that reports a number of its own beside the loss."""

from traind import Run


def train(run: Run) -> None:
    """Take ten steps."""
    for step in range(1, 11):
        run.report(step=step, total=10, loss=1 / step, epoch=1, accuracy=step / 10)
        run.end_epoch(step, epochs=10, metrics={"recall": step / 20})
    run.finish({"weights": [1.0]}, metrics={"recall": 0.5})
