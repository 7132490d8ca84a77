"""What tests have a side worker call, by name: one argument, one answer."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from jobs_for_slots import Unpicklable

from traind.trainer.contract.errors import CheckpointDamaged, SpecError

_calls: list[Any] = []


def double(request: Any) -> Any:
    return {"twice": request["number"] * 2}


def who(request: Any) -> Any:
    return {"pid": os.getpid()}


def echo(request: Any) -> Any:
    return request


def count_calls(request: Any) -> Any:
    _calls.append(request)
    return {"calls": len(_calls), "pid": os.getpid()}


def refuse(request: Any) -> Any:
    from traind.data import errors as data_errors
    from traind.data.errors import BadCell
    from traind.trainer.contract import errors as trainer_errors

    kind = getattr(trainer_errors, request["kind"], None) or getattr(data_errors, request["kind"])
    if issubclass(kind, data_errors.DataError):
        raise kind("no", hint="try", cells=(BadCell(3, "price", "x", "not a number"),))
    raise kind("no", hint="try")


class OurSpecError(SpecError):
    """A leaf that the server does not know."""


def refuse_in_private(request: Any) -> Any:
    raise OurSpecError("no", field="epochs")


def refuse_damaged(request: Any) -> Any:
    raise CheckpointDamaged("torn")


def fail(request: Any) -> Any:
    raise Unpicklable(1, 2)


def leave(request: Any) -> Any:
    sys.exit(0)


def answer_nonsense(request: Any) -> Any:
    return {"it": object()}


def die(request: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for(request: Any) -> Any:
    """Say that the call has begun, and wait for the word to end it."""
    Path(request["begun"]).touch()
    while not Path(request["end"]).exists():
        time.sleep(0.005)
    return {"ended": True}
