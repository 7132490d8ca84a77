"""`Reporter`: the half of `Run` that makes events of what training code reports. Base of `run.Run`."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from traind.trainer.contract.control import Control, Phase
from traind.trainer.contract.events import AnyEvent, Epoch, Log, Metric, Progress, State, Status
from traind.trainer.contract.spec import Place, TrainSpec
from traind.trainer.contract.values import flag, number, text, whole
from traind.trainer.run.border import LOG_CHARS, Level, checked, level_of, numbers, one_loss, reported, taken
from traind.trainer.run.changes import Changes
from traind.trainer.run.environment import device_of
from traind.trainer.run.outcome import EmitFailed
from traind.trainer.run.progress import Loss, Meter, Pace, finite

Emit = Callable[[AnyEvent], None]
EventT = TypeVar("EventT", bound=AnyEvent)


class Reporter:
    """One attempt's events, progress and phases."""

    def __init__(self, spec: TrainSpec, emit: Emit, place: Place, control: Control) -> None:
        self.spec = spec
        self.place = place
        self.shared = control
        self.changes = Changes(spec, place, control, self.emit)
        self.step = 0
        self.epoch = 0
        self.baseline: dict[str, float | None] = {}  # what epochs report beside their metrics: those of no model
        self._emit = emit
        self._pace = Pace(place.ran_s)
        self._meter = Meter()
        self._running_since: float | None = None
        self._resumed: dict[str, Any] = {}
        self._timings: dict[str, float] = {}
        self._total: int | None = None

    @property
    def device(self) -> str:
        """The device to compute on, as torch names it: `cpu`, or `cuda` for the job's GPU."""
        return device_of(self.spec, self.place)

    @property
    def has_started(self) -> bool:
        """Whether steps have begun in this attempt."""
        return self._running_since is not None

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
                baseline={name: finite(value) for name, value in numbers(self.baseline, "Epoch", "baseline").items()},
                is_best=taken(flag, is_best, "end_epoch(is_best=...)"),
                samples_per_s=self._meter.rates()[0],
            )
        )

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

    def emit(self, event: EventT) -> EventT:
        """Send an event, dated now; return it with its date."""
        dated = msgspec.structs.replace(event, ts=time.time())
        checked(dated)
        try:
            self._emit(dated)
        except Exception as error:
            raise EmitFailed(error) from error
        return dated

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
