"""One attempt at a job, in this process.

`run` loads the trainer, gives it a `Run` and returns the last state. It knows no socket and no server: events go to
`emit`, requests are read from `control`. Called by the worker, by tests, and by `run_trainer`, which tries a trainer
out in a terminal or a debugger.
"""

import hashlib
import inspect
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import torch

from traind.data.files import check_digest, check_size
from traind.data.predict_input import format_of
from traind.trainer import plugins
from traind.trainer.contract.control import Control, LocalControl
from traind.trainer.contract.errors import UserCodeError
from traind.trainer.contract.events import AnyEvent, Epoch, Progress, State, Status, encode_event
from traind.trainer.contract.spec import DatasetFile, Place, TrainSpec
from traind.trainer.contract.values import a_kind
from traind.trainer.run.apart import run_apart
from traind.trainer.run.device import check_device
from traind.trainer.run.outcome import EmitFailed, ended, raised
from traind.trainer.run.ranks import run_together
from traind.trainer.run.rehearsal import unlike_a_service, watched
from traind.trainer.run.reporter import Emit
from traind.trainer.run.run import Run

__all__ = ["Emit", "Run", "run", "run_trainer"]
BUILT_IN = Place(job_id="", attempt=0, attempt_dir="").trainer


def run(spec: TrainSpec, emit: Emit, place: Place | None = None, control: Control | None = None) -> State:
    """Run one attempt of a job and return its last state, which is also the last event.

    Without a `place` the job starts anew in a temporary folder. Raises only the error of an `emit` that fails; errors
    of the trainer are in the last state.
    """
    place = place or Place(job_id="local", attempt=1, attempt_dir=tempfile.mkdtemp(prefix="traind-"))
    control = control or LocalControl()
    try:
        if place.meeting is not None:
            return run_apart(spec, emit, place, place.meeting, control, _train_named)
        if spec.workers > 1:
            return run_together(spec, emit, place, control, _train_named)
        this: Run[Any] = Run(spec, emit, place, control)
        this.emit(State(status=Status.LOADING, attempt=place.attempt))
        try:
            _train_named(this)
            last = ended(this)
        except EmitFailed:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever training code raises ends this job only
            last = raised(this, error)
        return this.emit(last)
    except EmitFailed as failure:
        raise failure.cause from None


def run_trainer(
    train: plugins.Train,
    options: dict[str, Any] | None = None,
    *,
    dataset: str | Path | None = None,
    folder: str | Path | None = None,
    emit: Emit | None = None,
    hang_s: float = 60.0,
    **fields: Any,
) -> State:
    """Run training code in this process, without a service: for a terminal, a debugger, a test.

    Values, events, options and models are checked as in a service. A silent job is warned about rather than ended,
    since a debugger may hold it.

    Args:
        train: the trainer, `def train(run)`.
        options: the values of `run.options`.
        dataset: a file for `run.dataset`.
        folder: for checkpoints and the model; called again with the same folder, training goes on.
        emit: called with each event; by default it is printed.
        hang_s: seconds of silence after which a service would end the job; here a warning is logged.
        fields: further fields of the spec: epochs, seed, report_every, ...

    Returns the last state. Errors of the trainer are raised, so that a debugger stops at them.
    """
    name = "tabular" if train.__module__ == "traind.trainer.tabular.train" else "local"
    spec = msgspec.convert({"trainer": name, "options": options or {}, **fields}, TrainSpec)
    where = Path(folder or tempfile.mkdtemp(prefix="traind-")).resolve()
    where.mkdir(parents=True, exist_ok=True)
    file = _file_of(Path(dataset)) if dataset is not None else None
    place = Place(job_id=where.name, attempt=1, attempt_dir=str(where), dataset=file)
    this: Run[Any] = Run(spec, emit or _print, place, LocalControl())
    warnings = unlike_a_service(train)
    if spec.workers > 1:
        warnings.append("Here it is one process: run.world.size is 1. A service starts as many as `workers` says.")
    for warning in warnings:
        this.log(warning, "warning")
    with watched(this, hang_s):
        try:
            _train(this, plugins.wrap(train))
        except SystemExit as error:
            if error.code not in (None, 0):  # sys.exit() without an error
                raise
        except EmitFailed as failure:
            raise failure.cause from None
        return this.emit(ended(this))


def _train_named(this: Run[Any]) -> None:
    """Let the trainer train that the place names."""
    _train(this, plugins.load(this.place.trainer))


def _train(this: Run[Any], trainer: plugins.Trainer) -> None:
    """Run the trainer with the spec's number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(this.spec.threads)
    try:
        check_device(this.device)
        if this.dataset is not None and this.place.trainer != BUILT_IN:  # the built-in trainer checks the file itself
            check_size(Path(this.dataset.path), this.dataset.size_bytes)
            check_digest(Path(this.dataset.path), this.dataset.digest)
        this.code = trainer.source.digest
        this.options = trainer.options(this.spec.options)
        returned = trainer.train(this)
        if inspect.isawaitable(returned) or inspect.isgenerator(returned):
            if inspect.iscoroutine(returned):
                returned.close()  # else Python warns that it was never awaited
            raise UserCodeError(
                f"The trainer returned {a_kind(returned)}, which nobody runs.",
                hint="Write `def train(run)`; within it, asyncio.run(...) runs what has to be awaited.",
            )
    finally:
        torch.set_num_threads(threads)


def _file_of(path: Path) -> DatasetFile:
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return DatasetFile(path.name, digest, str(path.resolve()), format_of(path), path.stat().st_size)


def _print(event: AnyEvent) -> None:
    """Print an event as a line."""
    match event:
        case State():
            words = f"{event.status} {event.error.message if event.error else event.message}"
        case Progress():
            words = f"step {event.step}/{event.total_steps or '?'}, loss {event.loss}"
        case Epoch():
            numbers = {"train_loss": event.train_loss, "val_loss": event.val_loss, **event.metrics}
            words = f"epoch {event.epoch}: " + ", ".join(f"{name} {value}" for name, value in numbers.items())
        case _:
            words = encode_event(event).decode()
    sys.stdout.write(words.rstrip() + "\n")
