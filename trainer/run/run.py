"""`Run`: the interface of training code to its job.

The built-in trainer uses it as users' own trainers do. It makes events of the trainer's reports, writes and restores
checkpoints, and says when to stop; it decides nothing about training. Made by `attempt.run`.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec
import torch

from traind.data.errors import BadTable
from traind.trainer.contract.change import OF_TRAINING
from traind.trainer.contract.control import Control, Phase, Verb
from traind.trainer.contract.events import AnyEvent, Checkpoint, Epoch, Log, Metric, Progress, Result, State, Status
from traind.trainer.contract.spec import DatasetFile, Place, TrainSpec
from traind.trainer.contract.values import a_kind, flag, number, plain, text, whole
from traind.trainer.model.stored_values import for_checkpoint, for_model, restored
from traind.trainer.model.tensor_file import write_model
from traind.trainer.run.border import (
    LOG_CHARS,
    Level,
    check_weights,
    checked,
    level_of,
    numbers,
    one_loss,
    refusal,
    reported,
    taken,
)
from traind.trainer.run.changes import Changes, Settings
from traind.trainer.run.checkpoints import Checkpoints, files_dir_of
from traind.trainer.run.environment import data_digest, device_of, differences, environment, versions
from traind.trainer.run.outcome import TIMED_OUT, EmitFailed, StopReason
from traind.trainer.run.progress import Loss, Meter, Pace, finite, is_late
from traind.trainer.run.rng import generator_of, random_state, restore_random_state, seed_all
from traind.trainer.run.world import ALONE

Emit = Callable[[AnyEvent], None]
Options = TypeVar("Options")
EventT = TypeVar("EventT", bound=AnyEvent)


class Run(Generic[Options]):
    """A job as its training code sees it.

    `options` is an instance of the trainer's own struct, made from `spec.options`. A trainer needs at least `report`,
    `should_stop` and `finish`; to go on after a pause or a crash also `save` and `restore`.
    """

    options: Options

    def __init__(self, spec: TrainSpec, emit: Emit, place: Place, control: Control) -> None:
        self.spec, self.place, self.shared = spec, place, control
        self.world = ALONE  # the processes that train the job together; here it is one
        self.changes = Changes(spec, place, control, self.emit)
        self.step = 0
        self.epoch = 0
        self.is_start = False  # the restored checkpoint is another job's, from which this one starts
        self.saved_data: str | None = None  # digest of the data of the restored checkpoint
        self.saved: tuple[int, int] | None = None  # step and epoch of the newest checkpoint
        self.stop_reason: StopReason | None = None  # why `should_stop` returned True; None before that
        self.result: Result | None = None
        self.code = ""  # digest of the source of a user's trainer
        self._emit = emit
        earlier = tuple(Path(folder) for folder in place.earlier_dirs)
        self._checkpoints = Checkpoints(Path(place.attempt_dir), earlier, place.keep_checkpoints)
        self._pace = Pace(place.ran_s)
        self._meter = Meter()
        self._running_since: float | None = None
        self._is_bounded = place.finish or spec.max_seconds is not None
        self._saved_at = time.perf_counter()
        self._resumed: dict[str, Any] = {}
        self._timings: dict[str, float] = {}
        self._total: int | None = None
        seed_all(spec.seed)

    @property
    def dataset(self) -> DatasetFile | None:
        """The file to train on; None for synthetic data."""
        return self.place.dataset

    @property
    def device(self) -> str:
        """The device to compute on, as torch names it: `cpu`, or `cuda` for the job's GPU."""
        return device_of(self.spec, self.place)

    @property
    def folder(self) -> Path:
        """Folder for the trainer's files, kept until a later attempt has written a checkpoint."""
        return Path(self.place.attempt_dir)

    @property
    def files_dir(self) -> Path:
        """Folder for files that are kept as long as the job; all its attempts share it."""
        return files_dir_of(self.place)

    @property
    def has_started(self) -> bool:
        """Whether steps have begun in this attempt."""
        return self._running_since is not None

    @property
    def wants_model(self) -> bool:
        """Whether to make a model now: training ran to its end or was stopped, and is not to go on later."""
        return self.stop_reason in (None, Verb.STOP, TIMED_OUT)

    def restore(self) -> Any | None:
        """Return the state that was saved last, or None at the first start.

        Build everything first and call this just before the first step: the global random streams (torch, numpy,
        random) are restored as well. Raises `BadTable` where the data differs from that of the checkpoint.
        """
        with self._in(Phase.SAVING):
            found = self._checkpoints.newest(lambda path, why: self.log(f"{path.name} is not used: {why}", "warning"))
        if found is None:
            if self.place.earlier_dirs:
                self.log("There is no whole checkpoint to go on from: starting over.", "warning")
            return None
        _, content = found
        self.is_start = content["job_id"] != self.place.job_id
        if not self.is_start and content["data"] != data_digest(self.spec, self.place):
            raise BadTable(
                "The data is not what this job has trained on so far.",
                hint="Submit a new job for the new data, or put the file back as it was.",
            )
        self._resumed = {"resumed_from_step": content["step"]}
        if unlike := differences(content, self.spec, self.place, self.code):
            self._resumed["bit_exact"] = False
            self.log(f"Going on under other conditions, so not bit for bit: {'; '.join(unlike)}.", "warning")
        self.saved_data = content["data"]
        self.step, self.epoch = content["step"], content["epoch"]
        self.saved = None if self.is_start else (self.step, self.epoch)
        self.changes.restored(content.get("changes", ()))
        restore_random_state(content["random"])
        return restored(content["state"])

    def start(self, *, total: int | None = None, epochs: int | None = None) -> None:
        """Report that steps begin, `total` in `epochs` epochs. Without this call the first `report` does it."""
        self._running_since = time.perf_counter()
        self._meter = Meter()
        self._total = total = None if total is None else taken(whole, total, "start(total=...)")
        epochs = None if epochs is None else taken(whole, epochs, "start(epochs=...)")
        device, resumed = self.place.device_name or self.device, self._resumed if self.step else {}
        about = {"attempt": self.place.attempt, "timings": self._timings, "device": device, **resumed}
        self.emit(State(status=Status.RUNNING, total_steps=total, epochs=epochs, **about))

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Measure the seconds of a part of loading; `start` reports them, for the status' `timings`."""
        began = time.perf_counter()
        yield
        self._timings[part] = round(time.perf_counter() - began, 6)

    def report(
        self,
        *,
        step: int,
        total: int | None = None,
        loss: Loss = None,
        epoch: int = 0,
        rows: int = 1,
        is_epoch_end: bool = False,
        **metrics: Any,
    ) -> float | None:
        """Report that `step` steps have been taken; an event is made only when one is due.

        `loss` is the mean over the `rows` taken since the last call: a number, a tensor (read only when an event is
        due), or a function that returns the mean since its last call. Returns the mean loss of the event, if any.
        """
        self.beat()
        if not (type(step) is type(epoch) is type(rows) is int):
            step, epoch = taken(whole, step, "report(step=...)"), taken(whole, epoch, "report(epoch=...)")
            rows = taken(whole, rows, "report(rows=...)")
        if type(loss) is not float and not callable(loss):
            loss = one_loss(loss)
        self.step, self.epoch = step, epoch
        if total is not None:
            self._total = total if type(total) is int else taken(whole, total, "report(total=...)")
        if self._running_since is None:
            reported(metrics)  # so that wrong metrics are refused at the first step
            self.start(total=self._total)
        self._meter.count(loss, rows)
        is_counted = is_epoch_end or step % self.changes.report_every == 0
        if step != self._total and not (is_counted and self._pace.take()):
            return None
        return self._progress(loss, metrics)

    def count(self, rows: int) -> None:
        """Count rows that no report has counted, so that the rates include them."""
        self._meter.count(None, rows)

    def is_due(self, step: int) -> bool:
        """Return whether a report of `step` would make an event; for trainers to skip the call otherwise."""
        return step == self._total or self._pace.is_due()

    def beat(self) -> None:
        """Show that the job is alive, in long work between two reports."""
        self.shared.beat += 1

    def should_stop(self) -> bool:
        """Return whether to stop: then save, or finish with the best model so far, and return. Call it every step."""
        self.shared.beat += 1
        if verb := self.shared.verb:
            self.stop_reason = Verb(verb)
        elif self.stop_reason is None and self._is_bounded:
            has_no_time = is_late(self.spec, self.place, self._running_since)
            self.stop_reason = Verb.STOP if self.place.finish else TIMED_OUT if has_no_time else None
        self.changes.look_after(self.step)
        return self.stop_reason is not None

    def control(self, *takes: Literal["lr", "epochs", "patience"]) -> Settings:
        """Return learning rate, epochs and patience for the next step: from the spec, or as changed since.

        Call it before every step, so that changes by `traind control` take effect. `takes` names the settings that
        the trainer supports, if not all three; changes of others are refused.
        """
        return self.changes.heed(self.step, takes or OF_TRAINING)

    def should_save(self, *, is_epoch_end: bool = False) -> bool:
        """Return whether a checkpoint is due: every `checkpoint_every` seconds, or if 0 at the end of an epoch."""
        every = self.changes.checkpoint_every
        return time.perf_counter() - self._saved_at >= every and (every > 0.0 or is_epoch_end)

    def save(
        self,
        state: Any,
        *,
        step: int | None = None,
        epoch: int | None = None,
        is_best: bool = False,
        is_pinned: bool = False,
    ) -> None:
        """Write a checkpoint of `state`, made of tensors and plain values; `restore` returns it.

        The global random streams, the versions and the data's digest are saved with it. Step and epoch default to
        those of the last `report`. The newest checkpoints, the best and the pinned are kept.
        """
        self.step = self.step if step is None else taken(whole, step, "save(step=...)")
        self.epoch = self.epoch if epoch is None else taken(whole, epoch, "save(epoch=...)")
        is_best, is_pinned = taken(flag, is_best, "save(is_best=...)"), taken(flag, is_pinned, "save(is_pinned=...)")
        with self._meter.aside(), self._in(Phase.SAVING):
            content = {
                **self._origin(),
                "step": self.step,
                "epoch": self.epoch,
                "environment": environment(self.spec, self.place),
                "random": random_state(),
                "changes": self.changes.saved(),
                "state": taken(for_checkpoint, state, "save(state)"),
            }
            saved = self._checkpoints.write(
                content, step=self.step, epoch=self.epoch, is_best=is_best, is_pinned=is_pinned
            )
        self._saved_at = time.perf_counter()
        self.saved = (self.step, self.epoch)
        attempt, path, seconds = self.place.attempt, str(saved.path), saved.seconds
        self.emit(Checkpoint(attempt=attempt, step=self.step, path=path, epoch=self.epoch, seconds=seconds))

    def end_epoch(
        self,
        epoch: int,
        *,
        epochs: int | None = None,
        loss: Any = None,
        val_loss: Any = None,
        metrics: Mapping[str, Any] | None = None,
        is_best: bool = False,
    ) -> None:
        """Report the end of an epoch: the mean training loss, and loss and metrics on the validation rows.

        `is_best`: the epoch is the best so far by `spec.monitor`.
        """
        self.beat()
        found = numbers(metrics or {}, "end_epoch", "metrics")
        self.emit(
            Epoch(
                attempt=self.place.attempt,
                epoch=taken(whole, epoch, "end_epoch(epoch)"),
                epochs=None if epochs is None else taken(whole, epochs, "end_epoch(epochs=...)"),
                step=self.step,
                train_loss=finite(taken(number, loss, "end_epoch(loss=...)")),
                val_loss=finite(taken(number, val_loss, "end_epoch(val_loss=...)")),
                monitor=self.spec.monitor,
                metrics={name: finite(value) for name, value in found.items()},
                is_best=taken(flag, is_best, "end_epoch(is_best=...)"),
                samples_per_s=self._meter.rates()[0],
            )
        )

    def finish(
        self,
        model: Mapping[str, Any],
        *,
        metrics: Mapping[str, Any] | None = None,
        best_epoch: int | None = None,
        best_note: str | None = None,
        report: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write the finished model, tensors and plain values with the weights in `model["weights"]`; return its file.

        The file also holds the spec, the metrics, the digests of data and code, and the versions. `best_note` says
        why the validation metrics differ from the best epoch's, if they do. Call it once, last. Raises `Diverged`
        where the weights hold a NaN.
        """
        if not isinstance(model, Mapping):
            raise refusal(f"finish(model) takes a dict such as {{'weights': ...}}, not {a_kind(model)}")
        figures = taken(plain, dict(metrics or {}), "finish(metrics=...)")
        facts = taken(plain, dict(report or {}), "finish(report=...)")
        best_epoch = None if best_epoch is None else taken(whole, best_epoch, "finish(best_epoch=...)")
        with self._in(Phase.SAVING):
            content = taken(for_model, dict(model), "finish(model)")
            check_weights(content.get("weights", content))
            path = self.folder / "model.pt"
            spec = msgspec.to_builtins(self.spec)
            head = {**self._origin(), "spec": spec, "versions": versions(), "metrics": figures}
            digest = write_model(path, content, head)
        note = None if best_note is None else text(best_note, LOG_CHARS)
        result = Result(str(path), digest, figures, best_epoch, facts, note)
        checked(State(status=Status.COMPLETED, result=result))
        self.result = result
        return path

    def log(self, message: object, level: Level = "info") -> None:
        """Log a message for people; an object is written as `print` would write it."""
        self.emit(Log(message=text(message, LOG_CHARS), level=level_of(level), attempt=self.place.attempt))

    def measure(self, **values: Any) -> None:
        """Report numbers of the trainer's own, outside steps and epochs."""
        found = {name: finite(value) for name, value in numbers(values, "measure").items()}
        self.emit(Metric(attempt=self.place.attempt, step=self.step, values=found))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave the time within, such as validation, out of the training rate; it may take long without a beat."""
        with self._meter.aside(), self._in(Phase.ASIDE):
            yield

    def generator(self, *key: object) -> torch.Generator:
        """Return a new random stream determined by the spec's seed and `key`, such as an epoch's number.

        A `DataLoader` with a new stream for each epoch leaves the global streams alone, and a resumed epoch has the
        same order as before.
        """
        return generator_of(self.spec.seed, *key)

    def emit(self, event: EventT) -> EventT:
        """Send an event, dated now; return it with its date."""
        dated = msgspec.structs.replace(event, ts=time.time())
        checked(dated)
        try:
            self._emit(dated)
        except Exception as error:
            raise EmitFailed(error) from error
        return dated

    def _origin(self) -> dict[str, Any]:
        """Return the facts about this run that its files hold."""
        data = data_digest(self.spec, self.place)
        return {"job_id": self.place.job_id, "trainer": self.spec.trainer, "data": data, "code": self.code}

    def _progress(self, loss: Loss, metrics: dict[str, Any]) -> float | None:
        """Send a progress event; return its mean loss."""
        mean = self._meter.take(one_loss(loss) if callable(loss) else loss)
        rate, wall_rate = self._meter.rates()
        found = reported(metrics)
        self.emit(
            Progress(
                attempt=self.place.attempt,
                epoch=self.epoch,
                step=self.step,
                total_steps=self._total,
                progress=min(100.0, 100.0 * self.step / self._total) if self._total else 0.0,
                loss=finite(mean),
                diverged=mean is not None and not math.isfinite(mean),
                lr=finite(found.pop("lr", None)),
                samples_per_s=rate,
                wall_samples_per_s=wall_rate,
                metrics={name: finite(value) for name, value in found.items()},
            )
        )
        return mean

    @contextmanager
    def _in(self, phase: Phase) -> Iterator[None]:
        """Set the job's phase: the watchdog waits longer in some."""
        shared, before = self.shared, self.shared.phase
        shared.beat += 1
        shared.phase = int(phase)
        try:
            yield
        finally:
            shared.phase = before
            shared.beat += 1
