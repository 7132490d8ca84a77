"""The changes of settings in a job's record: requested, taken up at a step, or refused. Pure functions."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from traind.trainer.contract.change import RequestedChange, values_of
from traind.trainer.contract.events import ControlRequested

OVER = "the job was over before it could be taken up"


def waiting(changes: Sequence[RequestedChange]) -> list[RequestedChange]:
    """Return the changes that are neither taken up nor refused yet."""
    return [change for change in changes if change.is_waiting]


def taken_up(changes: Sequence[RequestedChange]) -> tuple[RequestedChange, ...]:
    """Return those that were taken up."""
    return tuple(change for change in changes if change.step is not None)


def in_force(changes: Sequence[RequestedChange]) -> dict[str, Any]:
    """Return the newest value of each field among the changes that were taken up."""
    return {name: value for change in taken_up(changes) for name, value in values_of(change).items()}


def changed(
    changes: Sequence[RequestedChange], event: ControlRequested
) -> tuple[list[RequestedChange], dict[str, Any]]:
    """Return the changes after the event, and the job's settings that it changed."""
    assert event.number is not None
    known = next((change for change in changes if change.number == event.number), None)
    if known is None:
        values = {name: getattr(event, name) for name in ("lr", "patience", "report_every", "checkpoint_every")}
        if event.epochs is not None:
            values["epochs"] = event.epochs
        return [*changes, RequestedChange(number=event.number, **values)], {}
    settled = msgspec.structs.replace(known, step=event.step, refused=event.refused)
    after = [settled if change.number == event.number else change for change in changes]
    return after, {} if settled.step is None else values_of(settled)


def is_answer(changes: Sequence[RequestedChange], event: ControlRequested) -> bool:
    """Return whether an event says that a requested change was taken up or refused."""
    is_settled = event.verb == "control" and (event.step is not None or bool(event.refused))
    return is_settled and event.number in {change.number for change in changes}


def left_over(changes: Sequence[RequestedChange]) -> list[RequestedChange]:
    """Return the changes of a job that is over: those that still wait become refused."""
    return [_refused(change) if change.is_waiting else change for change in changes]


def _refused(change: RequestedChange) -> RequestedChange:
    return msgspec.structs.replace(change, refused=dict.fromkeys(values_of(change), OVER))


def without_epochs(changes: Sequence[RequestedChange]) -> list[RequestedChange]:
    """Return the changes without their `epochs`, after a `resume` that set the job's epochs."""
    return [msgspec.structs.replace(change, epochs=UNSET) for change in changes]
