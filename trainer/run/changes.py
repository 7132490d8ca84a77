"""Changes of settings requested while a job runs: each is taken up once, at one step.

Changes that an earlier attempt took up are taken up again at the same steps, and new ones after them, so that the
newest value counts. A checkpoint holds which changes were taken up at which steps. Called by `Run` and by the
built-in loop.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from traind.trainer.contract.change import OF_TRAINING, RequestedChange, look, values_of
from traind.trainer.contract.control import Control
from traind.trainer.contract.events import ControlRequested
from traind.trainer.contract.spec import Place, TrainSpec

STEPS_TO_HEED = 2  # steps after which a trainer that has not called `run.control` counts as ignoring changes


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the spec, or as changed since; None where neither gives a value."""

    lr: float | None
    """Learning rate of the next step."""
    epochs: int | None
    """Number of all epochs."""
    patience: int | None
    """Epochs without a better monitor after which to stop early; None: never, or not given."""


class Changes:
    """The changes of one attempt's job, and the settings that they lead to."""

    def __init__(
        self, spec: TrainSpec, place: Place, control: Control, report: Callable[[ControlRequested], Any]
    ) -> None:
        self.is_heeded = False  # the trainer calls `run.control`
        self.taken: list[RequestedChange] = []
        self.report_every = spec.report_every
        self.checkpoint_every = spec.checkpoint_every
        explicit = {name: None if (value := getattr(spec, name)) == "auto" else value for name in OF_TRAINING}
        self._values: dict[str, Any] = explicit
        self._attempt = place.attempt
        self._control = control
        self._report = report
        self._waiting = deque(change for change in place.changes if not change.refused)
        self.heard = max((change.number for change in place.changes), default=0)
        self._ignored_since: int | None = None
        for change in self._waiting:
            if change.step is not None:
                self._set(change, ("report_every", "checkpoint_every"))

    def saved(self) -> list[list[int]]:
        """Return `[number, step]` of each change taken up, for a checkpoint."""
        return [[change.number, change.step] for change in self.taken if change.step is not None]

    def restored(self, saved: Iterable[Sequence[int]]) -> None:
        """Take up the changes in a checkpoint's `saved`; those the server does not know as taken up are reported."""
        steps = {number: step for number, step in saved}  # noqa: C416 - lists of two are no pairs to mypy
        for change in [change for change in self._waiting if change.number in steps]:
            self._waiting.remove(change)
            self._take(change, steps[change.number], is_new=change.step is None)

    def is_due(self, step: int) -> bool:
        """Return whether a change is to be taken up now, after `step` steps."""
        if self._control.newest != self.heard:
            self._listen()
        return bool(self._waiting) and (self._waiting[0].step is None or self._waiting[0].step <= step)

    def next(self) -> RequestedChange:
        """Return the change that is due."""
        return self._waiting[0]

    def room(self, step: int) -> int:
        """Return how many steps may be taken before the next change with a fixed step."""
        known = self._waiting[0].step if self._waiting else None
        return 2**62 if known is None else max(1, known - step)

    def take(self, step: int) -> None:
        """Take up the change that is due."""
        self._take(self._waiting.popleft(), step, is_new=True)

    def refuse(self, problems: Mapping[str, str]) -> None:
        """Refuse the change that is due; `problems` says why, by field."""
        change = self._waiting.popleft()
        self._report(
            ControlRequested(
                verb="control",
                number=change.number,
                refused=dict(problems),
                attempt=self._attempt,
                **values_of(change),
            )
        )

    def heed(self, step: int, takes: Sequence[str]) -> Settings:
        """Take up due changes for a trainer that supports those in `takes`; return the settings of the next step."""
        self.is_heeded = True
        while self.is_due(step):
            self._take_or_refuse(step, takes)
        return Settings(**self._values)

    def look_after(self, step: int) -> None:
        """For a trainer that never calls `run.control`: take up changes of `Run`'s settings, refuse others."""
        while not self.is_heeded and self.is_due(step):
            if not any(name in values_of(self.next()) for name in OF_TRAINING):
                self.take(step)
                continue
            if self._ignored_since is None:
                self._ignored_since = step
            if step - self._ignored_since < STEPS_TO_HEED:
                return
            self._ignored_since = None
            self._take_or_refuse(step, ())

    def _take_or_refuse(self, step: int, takes: Sequence[str]) -> None:
        alien = [name for name in OF_TRAINING if name in values_of(self.next()) and name not in takes]
        if alien:
            self.refuse(dict.fromkeys(alien, "the job's trainer does not change it while it runs"))
        else:
            self.take(step)

    def _listen(self) -> None:
        for change in look(self._control) or ():
            if change.number > self.heard:
                self._waiting.append(change)
                self.heard = change.number

    def _take(self, change: RequestedChange, step: int, *, is_new: bool) -> None:
        values = values_of(change)
        self.taken.append(msgspec.structs.replace(change, step=step))
        self._set(change, tuple(values))
        if is_new:
            self._report(
                ControlRequested(verb="control", number=change.number, step=step, attempt=self._attempt, **values)
            )

    def _set(self, change: RequestedChange, names: Sequence[str]) -> None:
        for name in names:
            value = getattr(change, name)
            if value is UNSET:
                continue
            if name in OF_TRAINING:
                self._values[name] = value
            else:
                setattr(self, name, value)
