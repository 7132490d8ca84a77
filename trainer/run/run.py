"""`Run`: the interface of training code to its job.

The built-in trainer uses it as users' own trainers do. It makes events of the trainer's reports, writes and restores
checkpoints, and says when to stop; it decides nothing about training. Made by `attempt.run`.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec
import torch

from traind.data.errors import BadTable
from traind.trainer.contract.change import OF_TRAINING
from traind.trainer.contract.control import Control, Phase, Verb
from traind.trainer.contract.events import Checkpoint, Result, State, Status
from traind.trainer.contract.spec import DatasetFile, Place, TrainSpec
from traind.trainer.contract.values import a_kind, flag, plain, text, whole
from traind.trainer.model.stored_values import for_checkpoint, for_model, restored
from traind.trainer.model.tensor_file import write_model
from traind.trainer.run.border import (
    LOG_CHARS,
    check_weights,
    checked,
    refusal,
    taken,
)
from traind.trainer.run.changes import Settings
from traind.trainer.run.checkpoints import Checkpoints, files_dir_of
from traind.trainer.run.environment import data_digest, differences, environment, versions
from traind.trainer.run.outcome import TIMED_OUT, StopReason
from traind.trainer.run.progress import is_late
from traind.trainer.run.reporter import Emit, Reporter
from traind.trainer.run.rng import generator_of, random_state, restore_random_state, seed_all
from traind.trainer.run.world import ALONE

Options = TypeVar("Options")


class Run(Reporter, Generic[Options]):
    """A job as its training code sees it.

    `options` is an instance of the trainer's own struct, made from `spec.options`. A trainer needs at least `report`,
    `should_stop` and `finish`; to go on after a pause or a crash also `save` and `restore`.
    """

    options: Options

    def __init__(self, spec: TrainSpec, emit: Emit, place: Place, control: Control) -> None:
        super().__init__(spec, emit, place, control)
        self.world = ALONE  # the processes that train the job together; here it is one
        self.is_start = False  # the restored checkpoint is another job's, from which this one starts
        self.saved_data: str | None = None  # digest of the data of the restored checkpoint
        self.saved: tuple[int, int] | None = None  # step and epoch of the newest checkpoint
        self.stop_reason: StopReason | None = None  # why `should_stop` returned True; None before that
        self.result: Result | None = None
        self.code = ""  # digest of the source of a user's trainer
        earlier = tuple(Path(folder) for folder in place.earlier_dirs)
        self._checkpoints = Checkpoints(Path(place.attempt_dir), earlier, place.keep_checkpoints)
        self._is_bounded = place.finish or spec.max_seconds is not None
        self._saved_at = time.perf_counter()
        seed_all(spec.seed)

    @property
    def dataset(self) -> DatasetFile | None:
        """The file to train on; None for synthetic data."""
        return self.place.dataset

    @property
    def folder(self) -> Path:
        """Folder for the trainer's files, kept until a later attempt has written a checkpoint."""
        return Path(self.place.attempt_dir)

    @property
    def files_dir(self) -> Path:
        """Folder for files that are kept as long as the job; all its attempts share it."""
        return files_dir_of(self.place)

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

    def generator(self, *key: object) -> torch.Generator:
        """Return a new random stream determined by the spec's seed and `key`, such as an epoch's number.

        A `DataLoader` with a new stream for each epoch leaves the global streams alone, and a resumed epoch has the
        same order as before.
        """
        return generator_of(self.spec.seed, *key)

    def _origin(self) -> dict[str, Any]:
        """Return the facts about this run that its files hold."""
        data = data_digest(self.spec, self.place)
        return {"job_id": self.place.job_id, "trainer": self.spec.trainer, "data": data, "code": self.code}
