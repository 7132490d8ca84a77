"""Checks the values that training code passes to `Run`: each becomes a plain value or is refused by name and line.

A refusal is an error of the trainer's code, raised in its call: the job fails with it and is not tried again. Called
by `Run` only.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from traind.trainer.contract.errors import Diverged, UserCodeError
from traind.trainer.contract.events import AnyEvent, decode_event, encode_event
from traind.trainer.contract.values import NotPlain, a_kind, number, text
from traind.trainer.run.progress import Loss
from traind.trainer.source import is_foreign

T = TypeVar("T")
Level = Literal["info", "warning", "error"]
EVENT_BYTES_MAX = 16 * 2**20  # of one event: a fourth of the largest frame to the server
LOG_CHARS = 20_000
_LEVELS: dict[str, Level] = {
    "debug": "info",
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "critical": "error",
    "fatal": "error",
}


def taken(take: Callable[[Any], T], value: Any, what: str) -> T:
    """Return `take(value)`; raises `UserCodeError`, with the user's line and `what`, where the value does not fit."""
    try:
        return take(value)
    except NotPlain as refused:
        raise refusal(f"{what}{refused}" if str(refused).startswith("[") else f"{what} {refused}") from None


def refusal(problem: str, hint: str | None = None) -> UserCodeError:
    """Return the error for a wrong value, naming the user's line."""
    return UserCodeError(f"{users_line()}{problem}.", hint=hint)


def users_line() -> str:
    """Return file and line of the innermost frame of user code, as the beginning of a sentence."""
    frame = sys._getframe(1)  # noqa: SLF001 - the way to the caller
    while frame is not None and not is_foreign(frame.f_code.co_filename):
        frame = frame.f_back  # type: ignore[assignment]
    return f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}: " if frame is not None else ""


def numbers(values: Mapping[Any, Any], call: str, argument: str = "") -> dict[str, float | None]:
    """Return metrics as floats by name; `call` and `argument` name the call in errors."""
    if not isinstance(values, Mapping):
        raise refusal(f"{call}({argument}=...) takes numbers by name, not {a_kind(values)}")
    found = {}
    for key, value in values.items():
        name = text(key, 200)
        where = f"{call}({argument}=...)[{name!r}]" if argument else f"{call}({name}=...)"
        found[name] = value if type(value) is float else taken(number, value, where)
    return found


def reported(metrics: dict[str, Any]) -> dict[str, float | None]:
    """Return the metrics given to `report`; learning rates of several groups become `lr`, `lr_1`, `lr_2` ..."""
    lr = metrics.get("lr")
    if isinstance(lr, list | tuple) and len(lr) > 1:
        groups = {"lr" if place == 0 else f"lr_{place}": rate for place, rate in enumerate(lr)}
        metrics = {**metrics, **groups}
    return numbers(metrics, "report")


def one_loss(loss: Any) -> Loss:
    """Return a loss for the meter; a tensor stays on its device, so that nothing waits for it."""
    if isinstance(loss, Tensor):
        if loss.numel() != 1 or loss.is_complex():
            hint = "Give the mean over the batch: loss.mean()."
            raise refusal(f"report(loss=...) takes one number, not {a_kind(loss)}", hint)
        return loss.detach().reshape(()) if loss.dim() else loss
    if callable(loss):
        return lambda: taken(number, loss(), "report(loss=...)") or 0.0
    return taken(number, loss, "report(loss=...)")


def level_of(level: Any) -> Level:
    """Return a log level given by one of its usual names or as a number of `logging`."""
    if isinstance(level, int):
        return "error" if level >= 40 else "warning" if level >= 30 else "info"
    if isinstance(level, str) and (found := _LEVELS.get(level.lower())):
        return found
    raise refusal(f"log(level=...) is {a_kind(level)}: it is info, warning or error")


def checked(event: AnyEvent) -> None:
    """Raise `UserCodeError` for an event that cannot be encoded, cannot be read by the server, or is too large."""
    try:
        encoded = encode_event(event)
        decode_event(encoded)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise refusal(f"what was reported cannot be written as an event: {text(error, 300)}") from None
    if len(encoded) > EVENT_BYTES_MAX:
        size, most = len(encoded) >> 20, EVENT_BYTES_MAX >> 20
        raise refusal(
            f"what was reported makes an event of {size} MiB, and one may have {most}",
            "Write large results to files in run.folder, and report what sums them up.",
        )


def check_weights(weights: Any) -> None:
    """Raise `Diverged` where the finished weights hold a NaN, naming the tensor."""
    for name, tensor in _tensors(weights, ""):
        if (tensor.is_floating_point() or tensor.is_complex()) and bool(torch.isnan(tensor).any()):
            count = int(torch.isnan(tensor).sum())
            raise Diverged(
                f"{users_line()}the weights of the finished model are not finite: {name} has {count:,} NaN.",
                hint="Lower the learning rate, clip gradients, or finish with the weights of the best epoch.",
            )


def _tensors(tree: Any, name: str) -> list[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        return [(name or "the tensor", tree)] if tree.layout is torch.strided else []
    if isinstance(tree, Mapping):
        items = ((f"{name}.{key}" if name else str(key), value) for key, value in tree.items())
    elif isinstance(tree, list | tuple):
        items = ((f"{name}.{place}" if name else str(place), value) for place, value in enumerate(tree))
    else:
        return []
    return [found for inner, value in items for found in _tensors(value, inner)]
