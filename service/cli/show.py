"""The output of commands: a live bar in a terminal, one line for each event elsewhere, JSON for programs."""

import sys
import termios
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec
from msgspec import UNSET

from traind.service.jobs.job import TERMINAL, Job
from traind.service.plain_text import plain, plain_lines
from traind.trainer.contract.change import FIELDS
from traind.trainer.contract.events import (
    AnyEvent,
    Checkpoint,
    ControlRequested,
    Edited,
    Epoch,
    Failure,
    Log,
    Metric,
    Progress,
    State,
    Status,
    encode_event,
)

COMPARED = ("rmse", "accuracy")  # the metrics to compare jobs by where none is given
EDITABLE = ("name", "tags", "notes", "priority")
_encoder = msgspec.json.Encoder()


class Follower(Protocol):
    """Shows a job's events as they come."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, event: AnyEvent) -> None:
        """Show one event."""


def follower(*, as_json: bool) -> Follower:
    """Return the follower that suits standard output: JSON lines, a bar, or plain lines."""
    if as_json:
        return JsonLines()
    return Bar() if sys.stdout.isatty() else Lines()


class Nothing:
    """Shows no event."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, event: AnyEvent) -> None:
        """Ignore one event."""


class Lines:
    """Prints one line for each event."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, event: AnyEvent) -> None:
        """Print one event as a line."""
        clock = time.strftime("%H:%M:%S", time.localtime(event.ts))
        print(f"{clock}  {line_of(event)}", flush=True)


class EpochLines(Lines):
    """Prints one line for each event except progress and checkpoints."""

    def show(self, event: AnyEvent) -> None:
        """Print one event as a line."""
        if not isinstance(event, Progress | Checkpoint):
            super().show(event)


class JsonLines(Lines):
    """Prints each event as one JSON object."""

    def show(self, event: AnyEvent) -> None:
        """Print one event as JSON."""
        print(encode_event(event).decode(), flush=True)


class Bar:
    """A live progress bar, with states, epochs and warnings as lines above it."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar: RichProgress = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(compact=True),
            expand=True,
        )
        self._task = self._bar.add_task("Waiting", total=100.0, facts="")
        self._terminal = ExitStack()

    def __enter__(self) -> Self:
        self._terminal.enter_context(no_echo_of_keys())
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._terminal.close()

    def show(self, event: AnyEvent) -> None:
        """Move the bar, or print a line above it."""
        match event:
            case Progress():
                facts = f"step {event.step}  loss {number(event.loss)}"
                if event.samples_per_s:
                    facts += f"  {event.samples_per_s:,.0f} rows/s"
                self._bar.update(self._task, completed=event.progress, facts=facts)
            case State():
                self._bar.update(self._task, description=event.message or event.status.capitalize())
                if event.status is Status.COMPLETED:
                    self._bar.update(self._task, completed=100.0)
                if event.resumed_from_step is not None or event.error is not None:
                    self._print(line_of(event))
            case Epoch() | Log():
                self._print(line_of(event))

    def _print(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False)


@contextmanager
def no_echo_of_keys() -> Iterator[None]:
    """Keep the terminal from printing `^C` into the bar, which would then appear twice."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    quiet = [*before]
    quiet[3] &= ~termios.ECHOCTL  # local modes
    termios.tcsetattr(sys.stdin, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


def line_of(event: AnyEvent) -> str:
    """Return an event as a line of text."""
    return plain(_line_of(event))


def _line_of(event: AnyEvent) -> str:
    match event:
        case State():
            return _state_line(event)
        case Progress():
            epoch, loss = f"epoch {event.epoch}", f"loss {number(event.loss)}"
            return f"{event.progress:5.1f} %  {epoch}  step {event.step}/{event.total_steps or '?'}  {loss}"
        case Epoch():
            epochs = f"/{event.epochs}" if event.epochs else ""
            losses = {"train_loss": event.train_loss}
            if event.val_loss is not None:
                losses["val_loss"] = event.val_loss
            measured = numbers({**losses, **event.metrics}, event.baseline)
            by = f" by {event.monitor}" if event.monitor else ""
            return f"epoch {event.epoch}{epochs} ended{measured}{f'  best so far{by}' if event.is_best else ''}"
        case Checkpoint():
            return f"checkpoint at step {event.step}  {event.path}"
        case Log():
            return f"{event.level}: {event.message}" if event.level != "info" else event.message
        case Metric():
            return f"step {event.step}{numbers(event.values)}"
        case ControlRequested():
            return _control_line(event)
        case Edited():
            return f"edited  {', '.join(name for name in EDITABLE if getattr(event, name) is not UNSET)}"


def _state_line(event: State) -> str:
    facts = [event.status.value]
    if event.attempt and event.attempt > 1:
        facts.append(f"attempt {event.attempt}")
    if event.resumed_from_step is not None:
        facts.append(f"resumed from step {event.resumed_from_step}")
    if event.reason:
        facts.append(event.reason.replace("_", " "))
    if event.error is not None:
        facts.append(event.error.message)
    return "  ".join(facts)


def _control_line(event: ControlRequested) -> str:
    if event.verb != "control":
        return f"{event.verb} requested"
    values = {name: getattr(event, name) for name in FIELDS if name != "epochs" or event.epochs is not None}
    changes = ", ".join(f"{name} {value}" for name, value in values.items() if value is not UNSET)
    if event.refused:
        return f"change {event.number} refused  {'; '.join(f'{name} {why}' for name, why in event.refused.items())}"
    return f"change {event.number} {'requested' if event.step is None else f'from step {event.step} on'}  {changes}"


def number(value: float | None) -> str:
    """Return a number for people: four digits, or whole from 10,000 on."""
    if value is None:
        return "not finite"
    return f"{value:,.0f}" if 10_000 <= abs(value) < 1e15 else f"{value:.4g}"


def numbers(values: dict[str, float | None], baseline: dict[str, float | None] | None = None) -> str:
    """Return names and values in one line, each after two spaces; one to compare jobs by with the baseline's."""
    beside = {name: f" (baseline {number(value)})" for name, value in (baseline or {}).items() if name in COMPARED}
    shown = {name: number(value) for name, value in values.items() if _is_number(value)}
    return "".join(f"  {name} {value}{beside.get(name, '')}" for name, value in shown.items())


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    print(_encoder.encode(value).decode())


def print_job(job: Job) -> None:
    """Print a job for people: state, progress, metrics, model or error."""
    print(f"{job.job_id}  {job.status}  {plain(job.message)}")
    if job.status not in TERMINAL:
        place = f"  place {job.queue_position} in the queue" if job.queue_position else ""
        eta = f"  {job.eta_s:.0f} s left" if job.eta_s is not None else ""
        loss = f"  loss {number(job.loss)}" if job.step else ""
        print(f"{job.progress:.1f} %  step {job.step}/{job.total_steps or '?'}{loss}{eta}{place}")
    if job.device is not None:
        print(f"on     {plain(job.device)}")
    if job.error is not None:
        print_failure(job.error)
    print_metrics(job.metrics, job.baseline)
    if job.best.epoch is not None:
        print(f"best      epoch {job.best.epoch} by {job.best.monitor}  {number(job.best.value)}")
    if job.best.note is not None:
        print(plain(job.best.note))
    if job.model is not None:
        print(f"model     {job.model}")


def print_failure(error: Failure) -> None:
    """Print why a job failed."""
    print(f"{error.code}: {plain(error.message)}")
    for text in (error.hint, error.output):
        if text:
            print(plain_lines(text))


def print_metrics(metrics: dict[str, Any], baseline: dict[str, float | None]) -> None:
    """Print the metrics of the splits, or of one epoch and the baseline, as columns; of one epoch alone in a line."""
    splits = {split: values for split, values in metrics.items() if isinstance(values, dict)}
    if metrics and baseline and not splits:
        splits = {"validation": metrics, "baseline": baseline}
    if not splits:
        if metrics:
            print(numbers(metrics).strip())
        return
    shown = [split for split in ("validation", "baseline", "test", "train") if splits.get(split)]
    names = dict.fromkeys(name for split in shown for name, value in splits[split].items() if _is_number(value))
    rows = [
        [name, *(number(splits[split][name]) if name in splits[split] else "" for split in shown)] for name in names
    ]
    print_table(["", *shown], rows)


def print_score(score: dict[str, Any]) -> None:
    """Print a model's metrics on a table beside the baseline's, and the rows left out."""
    print(f"{score['rows']:,} rows, target {plain(score['target'])}")
    for left in score["left_out"]:
        print(f"{left['rows']:,} rows left out: {plain(left['reason'])}")
    metrics, baseline = score["metrics"], score["baseline"]
    rows = [[name, number(value), number(baseline.get(name))] for name, value in metrics.items() if value is not None]
    print_table(["", "model", "baseline"], rows)


def print_table(heads: list[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print a table with aligned columns."""
    lines = [[plain(str(cell)) for cell in row] for row in (heads, *rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int | float)
