"""The last state of an attempt, from its stop reason, its result and the error it raised."""

import traceback
from typing import Any, Final, Literal, Protocol

import msgspec

from traind.data.errors import DataError, sentence
from traind.trainer.contract.control import Control, Verb
from traind.trainer.contract.errors import DiskFull, SpecError, TrainerError, UserCodeError
from traind.trainer.contract.events import Failure, Result, State, Status
from traind.trainer.contract.spec import Place, TrainSpec
from traind.trainer.contract.values import text
from traind.trainer.run.device import is_of_gpu, is_out_of_memory

TIMED_OUT: Final = "timed_out"
StopReason = Verb | Literal["timed_out"]
OUTPUT_LINES = 30
MESSAGE_CHARS = 2_000


class EmitFailed(BaseException):
    """An event could not be sent. A `BaseException`, so that a trainer's `except Exception` does not catch it."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Ran(Protocol):
    """The attributes of a run that are used here."""

    spec: TrainSpec
    place: Place
    shared: Control
    step: int
    stop_reason: StopReason | None
    result: Result | None


def ended(run: Ran) -> State:
    """Return the last state of an attempt whose trainer returned."""
    stop_reason = run.stop_reason or (Verb(run.shared.verb) if run.result is None else None)
    match stop_reason:
        case Verb.CANCEL:
            return _state(run, Status.CANCELLED)
        case Verb.STOP if run.result is None and run.step == 0:
            return _state(run, Status.CANCELLED, message="Stopped before the first step")
        case Verb.STOP:
            return _state(run, Status.STOPPED, result=run.result)
        case Verb.PAUSE:
            return _state(run, Status.PAUSED, reason="user")
        case Verb.LEAVE:
            return _state(run, Status.QUEUED, reason="server_left")
        case "timed_out":
            return _timed_out(run)
    if run.result is None:
        return _state(
            run,
            Status.FAILED,
            error=Failure(
                code="trainer_error",
                message="The trainer returned without a model.",
                hint="End it with run.finish({...}), or leave early only when run.should_stop() says so.",
            ),
        )
    return _state(run, Status.COMPLETED, result=run.result)


def raised(run: Ran, error: BaseException) -> State:
    """Return the last state of an attempt that raised; a cancelled job stays cancelled."""
    if isinstance(error, SystemExit) and error.code in (None, 0):  # sys.exit() without an error
        return ended(run)
    if Verb.CANCEL in (run.stop_reason, run.shared.verb):
        return _state(run, Status.CANCELLED)
    if not isinstance(error, TrainerError | DataError):  # unexpected: print the whole traceback to the job's output
        traceback.print_exception(error)
    return _state(run, Status.FAILED, error=failure_of(error), result=run.result)


def failure_of(error: BaseException) -> Failure:
    """Return an error as a `Failure`: traind's own with message and hint, others with the end of the traceback.

    Text that is no valid UTF-8 is escaped.
    """
    failure = _failure_of(error)
    return Failure(
        code=failure.code,
        message=text(failure.message, MESSAGE_CHARS),
        hint=text(failure.hint, MESSAGE_CHARS) if failure.hint else None,
        details=[{text(name): _detail(value) for name, value in detail.items()} for detail in failure.details],
        output=text(failure.output) if failure.output else None,
    )


def _detail(value: Any) -> Any:
    return text(value, MESSAGE_CHARS) if isinstance(value, str) else value


def _failure_of(error: BaseException) -> Failure:
    match error:
        case SpecError():
            details: list[dict[str, Any]] = [{"loc": error.field, "msg": error.message}] if error.field else []
            return Failure(code=error.code, message=error.message, hint=error.hint, details=details)
        case DiskFull():
            room: list[dict[str, Any]] = [{"loc": "disk", "msg": error.message, "needed_bytes": error.needed_bytes}]
            return Failure(code=error.code, message=error.message, hint=error.hint, details=room)
        case UserCodeError():
            return Failure(code=error.code, message=error.message, hint=error.hint, output=_tail(error))
        case TrainerError():
            return Failure(code=error.code, message=error.message, hint=error.hint)
        case DataError():
            cells = [msgspec.to_builtins(cell) for cell in error.cells]
            hint = sentence(error.hint) if error.hint else None
            return Failure(code=error.code, message=sentence(error.message), hint=hint, details=cells)
    if is_out_of_memory(error):
        return _out_of_memory(error)
    return Failure(code="trainer_error", message=f"The trainer raised {_words(error)}", output=_tail(error))


def _out_of_memory(error: BaseException) -> Failure:
    message = "The job needed more memory than it may have."
    hint = "Use a smaller batch_size or model, or fewer columns."
    if is_of_gpu(error):
        message = "The GPU had no memory left for the job."
        hint = "Resume it when other programs have left the GPU, or use a smaller batch_size or model."
    return Failure(code="out_of_memory", message=message, hint=hint, output=_tail(error))


def _timed_out(run: Ran) -> State:
    assert run.spec.max_seconds is not None
    kept = "The best model so far is kept." if run.result else "There was no model yet."
    failure = Failure(
        code=TIMED_OUT,
        message=f"The job ran for the {run.spec.max_seconds:g} seconds it was given. {kept}",
        hint="Give it more max_seconds, fewer epochs or a smaller model.",
    )
    return _state(run, Status.FAILED, error=failure, result=run.result)


def _state(run: Ran, status: Status, **fields: Any) -> State:
    return State(status=status, attempt=run.place.attempt, **fields)


def _tail(error: BaseException) -> str:
    """Return the end of a traceback."""
    try:
        lines = "".join(traceback.format_exception(error)).rstrip().splitlines()
    except Exception:  # noqa: BLE001 - an error's own __str__ may raise
        lines = [*"".join(traceback.format_tb(error.__traceback__)).splitlines(), type(error).__name__]
    return "\n".join(line[:MESSAGE_CHARS] for line in lines[-OUTPUT_LINES:])


def _words(error: BaseException) -> str:
    """Return type and message of an error, even if its `__str__` raises."""
    try:
        return f"{type(error).__name__}: {error}".rstrip(": ")
    except Exception:  # noqa: BLE001 - an error's own __str__ may raise
        return type(error).__name__
