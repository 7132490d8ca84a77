"""`Run` in a job of several processes: all report and save alike, rank 0 alone is heard, and all leave at one step.

`should_stop` is the one call in which they wait for each other: all must make it equally often, after every step.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traind.trainer.contract.control import Control, Verb
from traind.trainer.contract.spec import Place, TrainSpec
from traind.trainer.run.outcome import TIMED_OUT, StopReason
from traind.trainer.run.progress import Pace, is_late
from traind.trainer.run.reporter import Emit
from traind.trainer.run.run import Options, Run
from traind.trainer.run.world import SharedDecisions, World

_REASONS: tuple[StopReason | None, ...] = (None, Verb.PAUSE, Verb.STOP, Verb.CANCEL, Verb.LEAVE, TIMED_OUT)


class SharedRun(Run[Options]):
    """What one of a job's processes sees of it."""

    def __init__(self, spec: TrainSpec, emit: Emit, place: Place, control: Control, world: World) -> None:
        self.decisions = SharedDecisions(control, place, world)
        super().__init__(spec, emit, place, self.decisions)
        self.world = world
        self._asked = control
        if world.rank:
            self._pace = _Following(self.decisions)

    @property
    def wants_model(self) -> bool:
        """Whether a model is wanted of this process now."""
        return self.world.rank == 0 and super().wants_model

    def is_due(self, step: int) -> bool:
        """Whether a report of `step` goes through: by rank 0's clock when all looked last."""
        return step == self._total or self.decisions.is_report_due

    def should_stop(self) -> bool:
        """Whether to leave, as rank 0 says. All processes wait here for each other."""
        self.shared.beat += 1
        stop, every = self._reason(), self.changes.checkpoint_every
        agreed = self.decisions.look(
            _REASONS.index(stop),
            is_save_due=time.perf_counter() - self._saved_at >= every,
            is_report_due=self.world.rank == 0 and self._pace.is_due(),
        )
        self.stop_reason = _REASONS[agreed]
        self.changes.look_after(self.step)
        return self.stop_reason is not None

    def should_save(self, *, is_epoch_end: bool = False) -> bool:
        """Whether a checkpoint is due, by rank 0's clock when all looked last."""
        return self.decisions.is_save_due and (self.changes.checkpoint_every > 0.0 or is_epoch_end)

    def save(
        self,
        state: Any,
        *,
        step: int | None = None,
        epoch: int | None = None,
        is_best: bool = False,
        is_pinned: bool = False,
    ) -> None:
        """Write a checkpoint, on rank 0; the others take note of it."""
        self.decisions.is_save_due = False
        if self.world.rank == 0:
            super().save(state, step=step, epoch=epoch, is_best=is_best, is_pinned=is_pinned)
            return
        self.step = self.step if step is None else step
        self.epoch = self.epoch if epoch is None else epoch
        self.saved = (self.step, self.epoch)

    def finish(
        self,
        model: Mapping[str, Any],
        *,
        metrics: Mapping[str, Any] | None = None,
        best_epoch: int | None = None,
        best_note: str | None = None,
        report: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write the finished model, on rank 0; elsewhere nothing is written."""
        if self.world.rank:
            return self.folder / "model.pt"
        return super().finish(model, metrics=metrics, best_epoch=best_epoch, best_note=best_note, report=report)

    def _reason(self) -> StopReason | None:
        """Return why to stop, as this process sees it."""
        if verb := self._asked.verb:
            return Verb(verb)
        if self.stop_reason is None and self._is_bounded:
            if self.place.finish:
                return Verb.STOP
            return TIMED_OUT if is_late(self.spec, self.place, self._running_since) else None
        return self.stop_reason


class _Following(Pace):
    """The pace of a process whose reports nobody hears: rank 0's."""

    def __init__(self, decisions: SharedDecisions) -> None:
        super().__init__(0.0)
        self._decisions = decisions

    def take(self) -> bool:
        """Whether rank 0 reports now."""
        return self._decisions.is_report_due
