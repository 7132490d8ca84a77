"""Trainers that hand traind every kind of value, by the option `what`: some that it takes, some that it must refuse.

Each function is a whole trainer. `TAKEN` are those that end well, `REFUSED` those that end with the trainer's own
error, at the line marked `# here` where there is one. Registered by the tests that need it.
"""

import asyncio
import collections
import datetime as dt
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from traind.trainer.run.run import Run

WEIGHTS = {"weights": {"w": torch.ones(2)}}


def train(run: Run[Any]) -> Any:
    """Be the trainer that the option names."""
    return WAYS[run.options["what"]](run)


def report_numpy(run: Run[Any]) -> None:
    for step in np.arange(1, 4):
        run.report(
            step=step,
            total=np.int32(3),
            loss=np.float32(0.5),
            epoch=np.int8(1),
            rows=np.int64(8),
            acc=np.float64(0.9),
        )
    run.finish(WEIGHTS)


def report_tensors(run: Run[Any]) -> None:
    for step in range(1, 4):
        run.report(step=torch.tensor(step), total=3, loss=torch.ones(1, 1), acc=torch.tensor([0.5]))
    run.finish(WEIGHTS)


def report_rates(run: Run[Any]) -> None:
    model = torch.nn.Linear(1, 1)
    groups = [{"params": [model.weight]}, {"params": [model.bias], "lr": 0.5}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    for step in range(1, 4):
        optimizer.step()
        run.report(step=step, total=3, loss=1.0, lr=schedule.get_last_lr())
    run.finish(WEIGHTS)


def epochs_of_tensors(run: Run[Any]) -> None:
    run.report(step=1, total=1, loss=1)
    best = np.float32(0.5) < 1
    run.end_epoch(np.int64(1), loss=torch.tensor(0.5), metrics={"acc": torch.tensor(0.9), 1: True}, is_best=best)
    run.finish(WEIGHTS)


def log_objects(run: Run[Any]) -> None:
    run.log({"a": np.ones(2)})
    run.log("careful", "warn")
    run.log(ValueError("caf\udce9"), "CRITICAL")
    run.log("x" * 1_000_000)
    run.measure(gain=np.float16(2), **{"name\udcff": 1})
    run.finish(WEIGHTS)


def finish_with_arrays(run: Run[Any]) -> None:
    model = {**WEIGHTS, "scale": np.float64(2), "table": np.eye(2), "made": dt.date(2026, 1, 2)}
    run.finish(
        model | {"from": Path("/a"), "last": collections.deque([1, 2])},
        best_epoch=np.int64(3),
        metrics={"validation": {"auc": np.float64(0.9)}},
        report={
            "confusion": np.eye(2),
            "when": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
            "file\udcff": Path("b\udcff"),
        },
    )


def save_arrays(run: Run[Any]) -> None:
    state = {
        "order": np.arange(3),
        "best": np.float32(0.5),
        "last": collections.deque([1.0], maxlen=2),
        "random": np.random.default_rng(0).bit_generator.state,
        "folder": Path("a"),
        "seen": {1, 2},
    }
    run.report(step=1, total=1, loss=1.0)
    run.save(state, step=np.int64(1), is_best=np.bool_(True))
    run.finish(WEIGHTS)


def exit_when_finished(run: Run[Any]) -> None:
    run.finish(WEIGHTS)
    sys.exit(0)


def report_half_an_epoch(run: Run[Any]) -> None:
    run.report(step=1, epoch=0.5)  # type: ignore[arg-type] # here


def report_a_quotient(run: Run[Any]) -> None:
    run.report(step=1, total=10 / 4)  # type: ignore[arg-type] # here


def report_losses(run: Run[Any]) -> None:
    run.report(step=1, loss=torch.ones(4))  # here


def report_a_text(run: Run[Any]) -> None:
    run.report(step=1, loss=1.0, acc="0.9")  # here


def report_classes(run: Run[Any]) -> None:
    run.report(step=1, loss=1.0, per_class=np.ones(3))  # here


def report_late(run: Run[Any]) -> None:
    for step in range(1, 100):
        metrics: dict[str, Any] = {"extra": {"a": 1}} if step > 50 else {}
        run.report(step=step, total=99, is_epoch_end=True, loss=1.0, **metrics)  # here


def report_by_a_function(run: Run[Any]) -> None:
    run.report(step=1, total=1, loss=lambda: "low")  # type: ignore[arg-type,return-value] # here


def epoch_of_a_list(run: Run[Any]) -> None:
    run.end_epoch(1, metrics=[0.9])  # type: ignore[arg-type] # here


def log_at_no_level(run: Run[Any]) -> None:
    run.log("x", "loud")  # type: ignore[arg-type] # here


def measure_an_object(run: Run[Any]) -> None:
    run.measure(thing=object())  # here


def finish_with_a_module(run: Run[Any]) -> None:
    run.finish({"model": torch.nn.Linear(1, 1)})  # here


def finish_with_no_dict(run: Run[Any]) -> None:
    run.finish(torch.nn.Linear(1, 1))  # type: ignore[arg-type] # here


def finish_with_an_object(run: Run[Any]) -> None:
    run.finish(WEIGHTS, report={"of": [1, object()]})  # here


def finish_with_too_much(run: Run[Any]) -> None:
    run.finish(WEIGHTS, report={"all": np.zeros(10_000_000)})  # here


def finish_half(run: Run[Any]) -> None:
    run.finish(WEIGHTS, best_epoch=2.5)  # type: ignore[arg-type] # here


def save_a_module(run: Run[Any]) -> None:
    run.save({"model": torch.nn.Linear(1, 1)})  # here


def quote_a_name(run: Run[Any]) -> None:
    raise ValueError("no such file: caf\udce9")


def interrupt(run: Run[Any]) -> None:
    raise KeyboardInterrupt


def cancel(run: Run[Any]) -> None:
    raise asyncio.CancelledError


def leave_the_generator(run: Run[Any]) -> None:
    raise GeneratorExit


def exit_unfinished(run: Run[Any]) -> None:
    sys.exit(0)


def exit_with_words(run: Run[Any]) -> None:
    sys.exit("no data for me")


def be_async(run: Run[Any]) -> Any:
    async def later() -> None:
        run.finish(WEIGHTS)

    return later()


def nan_weights(run: Run[Any]) -> None:
    run.finish({"weights": {"layer": {"w": torch.tensor([1.0, float("nan")])}}})  # here


Trainer = Callable[[Run[Any]], Any]
TAKEN: tuple[Trainer, ...] = (
    report_numpy,
    report_tensors,
    report_rates,
    epochs_of_tensors,
    log_objects,
    finish_with_arrays,
    save_arrays,
    exit_when_finished,
)
REFUSED: dict[Trainer, str] = {  # and words that the message has
    report_half_an_epoch: "report(epoch=...) takes a whole number, not 0.5",
    report_a_quotient: "report(total=...) takes a whole number, not 2.5",
    report_losses: "report(loss=...) takes one number, not a torch.Tensor of shape 4",
    report_a_text: "report(acc=...) takes a number, not the text '0.9'",
    report_classes: "report(per_class=...) takes a number, not a numpy.ndarray of shape 3",
    report_late: "report(extra=...) takes a number, not a dict",
    report_by_a_function: "report(loss=...) takes a number, not the text 'low'",
    epoch_of_a_list: "end_epoch(metrics=...) takes numbers by name, not a list",
    log_at_no_level: "log(level=...) is the text 'loud'",
    measure_an_object: "measure(thing=...) takes a number, not an object",
    finish_with_a_module: "finish(model)['model'] is a torch.nn.modules.linear.Linear",
    finish_with_no_dict: "finish(model) takes a dict",
    finish_with_an_object: "finish(report=...)['of'][1] is an object",
    finish_with_too_much: "MiB",
    finish_half: "finish(best_epoch=...) takes a whole number, not 2.5",
    save_a_module: "save(state)['model'] is a torch.nn.modules.linear.Linear",
    quote_a_name: "ValueError: no such file: caf\\udce9",
    interrupt: "KeyboardInterrupt",
    cancel: "CancelledError",
    leave_the_generator: "GeneratorExit",
    exit_unfinished: "without a model",
    exit_with_words: "SystemExit: no data for me",
    be_async: "coroutine",
    nan_weights: "layer.w has 1 NaN",
}
WAYS = {trainer.__name__: trainer for trainer in (*TAKEN, *REFUSED)}


def line_of(trainer: Trainer) -> int | None:
    """Return the number of the line that a refusal must name."""
    lines, first = inspect.getsourcelines(trainer)
    return next((first + place for place, line in enumerate(lines) if "# here" in line), None)
