"""Changes of a running job's settings, as its record holds them: requested, taken up at a step, or refused. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from traind.trainer.contract.change import RequestedChange, values_of
from traind.trainer.contract.events import ControlRequested

OVER = "the job was over before it could be taken up"


def waiting(changes: Sequence[RequestedChange]) -> list[RequestedChange]:
    """Return those that were neither taken up nor refused."""
    return [change for change in changes if change.is_waiting]


def in_force(changes: Sequence[RequestedChange]) -> dict[str, Any]:
    """Return what was taken up, the newest value of each field."""
    return {name: value for change in changes if change.step is not None for name, value in values_of(change).items()}


def changed(
    changes: Sequence[RequestedChange], event: ControlRequested
) -> tuple[list[RequestedChange], dict[str, Any]]:
    """Return the changes after the event, and what of the job's settings is another now."""
    assert event.number is not None
    known = next((change for change in changes if change.number == event.number), None)
    if known is None:
        values = {name: getattr(event, name) for name in ("lr", "patience", "report_every", "checkpoint_every")}
        if event.epochs is not None:
            values["epochs"] = event.epochs
        return [*changes, RequestedChange(number=event.number, **values)], {}
    told = msgspec.structs.replace(known, step=event.step, refused=event.refused)
    after = [told if change.number == event.number else change for change in changes]
    return after, {} if told.step is None else values_of(told)


def is_answer(changes: Sequence[RequestedChange], event: ControlRequested) -> bool:
    """Whether an event says what became of a change that was requested."""
    is_settled = event.verb == "control" and (event.step is not None or bool(event.refused))
    return is_settled and event.number in {change.number for change in changes}


def left_over(changes: Sequence[RequestedChange]) -> list[RequestedChange]:
    """Return the changes of a job that is over: what waits is not taken up any more."""
    return [_refused(change) if change.is_waiting else change for change in changes]


def _refused(change: RequestedChange) -> RequestedChange:
    return msgspec.structs.replace(change, refused=dict.fromkeys(values_of(change), OVER))


def without_epochs(changes: Sequence[RequestedChange]) -> list[RequestedChange]:
    """Return the changes where a number of epochs has been set for all of the job: theirs count no more."""
    return [msgspec.structs.replace(change, epochs=UNSET) for change in changes]
