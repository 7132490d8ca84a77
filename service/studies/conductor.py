"""One study under way: it keeps the trials going until there are enough, and takes up what a dead server left.

What is tried is on record before its job is submitted, under an id that follows from study and number, so that a
kill in between never makes a trial twice. What a trial came to is on record before the next one is suggested. One
task of `Studies`; every job that it submits is one like any other.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec

from traind.service.engine.engine import Engine, Origin
from traind.service.errors import (
    IdTaken,
    InvalidSpec,
    JobFinished,
    JobNotFound,
    NoSuchDevice,
    NotResumable,
    ServiceError,
)
from traind.service.jobs.job import TERMINAL, Job
from traind.service.processes.lane import CLIENT
from traind.service.processes.side import LOADED_S, SideWorker
from traind.service.record.problems import RETRY_S
from traind.service.studies import tables, verdict
from traind.service.studies.events import (
    AnyStudyEvent,
    StudyControl,
    StudyStatus,
    TrialPruned,
    TrialStatus,
    TrialSuggested,
)
from traind.service.studies.finale import Finale
from traind.service.studies.journal import Board, StudyJournal
from traind.service.studies.space import BUILT_IN, Axis, axes_of, params_in, params_of, point_of, spec_with
from traind.service.studies.study import OVER, Study, Trial
from traind.service.validation.validate import parse_spec
from traind.trainer.contract.events import AnyEvent, Epoch, State, Status, decode_event
from traind.trainer.contract.metrics import VAL_LOSS
from traind.trainer.contract.spec import TrainSpec

ADVANCE = "traind.trainer.search.suggest:advance_request"
ADVANCE_S = 120.0
LOOK_EVERY_S = 0.2  # at epochs' ends: whether running trials are to be pruned
LEAST_ENDED = 5  # trials before any is pruned: `trainer/search` has the same number
EVENTS_AT_ONCE = 1_000
PASSING = (ServiceError, OSError)  # tried again


class Conductor:
    """Keeps one study's trials going."""

    def __init__(self, board: Board, journal: StudyJournal, engine: Engine, side: SideWorker) -> None:
        self.board = board
        self._journal = journal
        self._engine = engine
        self._side = side
        self._axes: list[Axis] = axes_of(board.study.space)
        self._wake = asyncio.Event()
        self._ended: dict[int, Job] = {}  # running trials whose jobs are over
        self._heard: dict[int, dict[int, float | None]] = {}  # the metric after each epoch, of running trials
        self._submitted: set[int] = set()
        self._has_news = False
        self._look: asyncio.TimerHandle | None = None
        self._finale = Finale(board, journal, engine)

    @property
    def study(self) -> Study:
        """The study as it is now."""
        return self.board.study

    def wake(self) -> None:
        """Look at the study: something was asked of it."""
        self._wake.set()

    def heard(self, job: Job, event: AnyEvent) -> None:
        """Take note of what a job of this study says."""
        is_over = isinstance(event, State) and job.status in TERMINAL
        if job.trial is None:
            if is_over:
                self._wake.set()
        elif is_over:
            if job.trial < len(self.board.trials) and self._is_running(job.trial):
                self._ended[job.trial] = job
            self._wake.set()
        elif isinstance(event, Epoch) and self._is_listening:
            self._hear(job.trial, event)
            if self.study.pruner != "none" and self.study.completed >= LEAST_ENDED and self._look is None:
                self._look = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look_soon)

    @property
    def _is_listening(self) -> bool:
        """Whether what epochs report matters: for pruning, or as the value where a trainer's end tells none."""
        return self.study.pruner != "none" or self.study.spec.trainer != BUILT_IN

    async def run(self) -> None:
        """Keep the study going until it is over; what fails for the moment is tried again, and shown."""
        CLIENT.set(self.study.study_id)
        await self._until_done(self._catch_up)
        while self.study.status not in OVER:
            self._wake.clear()
            await self._until_done(self._step)
            if self.study.status not in OVER:
                await self._wait()
        if self._look is not None:
            self._look.cancel()

    async def _until_done(self, work: Callable[[], Awaitable[None]]) -> None:
        what = f"study {self.study.study_id} does not go on"
        while True:
            try:
                await work()
            except PASSING as error:
                self._engine.problems.arose(what, error)
                await asyncio.sleep(RETRY_S)
            else:
                self._engine.problems.passed(what)
                return

    async def _wait(self) -> None:
        """Wait until something happens, or the study's time is over."""
        left = None
        if self.study.max_seconds is not None and self.study.status is StudyStatus.RUNNING:
            left = max(0.0, self.study.max_seconds - self.board.ran_s) if self.study.requested is None else None
        try:
            async with asyncio.timeout(left):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _catch_up(self) -> None:
        """Learn what became of the jobs of trials that were running when the last server ended."""
        await self._adopt()
        for trial in self._running():
            try:
                job = await self._engine.job(trial.job_id)
            except JobNotFound:
                continue  # it was killed between the trial's record and the job's
            self._submitted.add(trial.trial)
            if self._is_listening:
                await self._hear_again(trial)
            if job.status in TERMINAL:
                self._ended[trial.trial] = job
            elif job.status is Status.PAUSED and self._was_resumed and job.reason != "disk_full":
                await self._engine.resume(trial.job_id)  # the server was killed before it said so

    @property
    def _was_resumed(self) -> bool:
        return self.study.status is StudyStatus.RUNNING and self.study.reason == "resumed"

    async def _adopt(self) -> None:
        """Put trials on record again that only their jobs tell of: the study came back from an older file."""
        known = {trial.job_id for trial in self.board.trials} | {self.study.study_id}
        for job_id in await self._journal.store.reading(partial(tables.trial_jobs, self.study.study_id)):
            if job_id in known or (job := await self._engine.job(job_id)).trial != self.study.suggested:
                continue
            params = params_in(self.study.space, job.spec)
            async with self._journal.turn:
                said = TrialSuggested(trial=self.study.suggested, job_id=job_id, params=params)
                await self._journal.record(self.board, said)

    async def _hear_again(self, trial: Trial) -> None:
        after = 0
        while page := (await self._engine.events(trial.job_id, after, EVENTS_AT_ONCE)).events:
            for body in page:
                event = decode_event(body)
                after = event.seq
                if isinstance(event, Epoch):
                    self._hear(trial.trial, event)

    async def _step(self) -> None:
        """Do what is to be done now."""
        if self.study.status is StudyStatus.PAUSED and self.study.requested is None:
            if self._ended:
                await self._advance(0)
            await self._submit()
            await self._ask_each(self._engine.pause)
            return
        await self._look_at_the_end()
        wanted = self._wanted()
        if self._ended or wanted or self._has_news:
            await self._advance(wanted)
            await self._look_at_the_end()
        await self._submit()
        await self._ask_what_is_due()
        if self._is_done():
            await self._finale.play()

    def _is_done(self) -> bool:
        """Whether no trial runs, and none is to be made any more."""
        study = self.study
        if study.running or self._ended:
            return False
        is_enough = study.status is StudyStatus.RUNNING and study.suggested >= study.trials
        return study.requested is not None or is_enough

    async def _look_at_the_end(self) -> None:
        """Record that no more trials are to be made: its time is over, or none comes to anything."""
        study = self.study
        if study.requested is not None or study.status in OVER:
            return
        reason = None
        if study.max_seconds is not None and self.board.ran_s >= study.max_seconds:
            reason = "max_seconds"
        elif verdict.is_hopeless(study):
            reason = "failures"
        if reason is not None:
            async with self._journal.turn:
                if self.study.requested is None:
                    await self._journal.record(self.board, StudyControl(verb="finish", reason=reason))

    def _wanted(self) -> int:
        """Return how many trials are to be begun now."""
        study = self.study
        if study.requested is not None or study.status is not StudyStatus.RUNNING:
            return 0
        each = study.spec.cpus or study.spec.threads * study.spec.workers
        slots = max(1, self._engine.executor.total // each)
        most = study.parallel or slots + 1
        return max(0, min(most - study.running + len(self._ended), study.trials - study.suggested))

    async def _advance(self, wanted: int) -> None:
        """Have trials pruned and new ones suggested, and record that with the ends of those that are over."""
        self._has_news = False
        ended = dict(self._ended)
        rows = [self._row(trial, ended.get(trial.trial)) for trial in self.board.trials]
        answer: dict[str, Any] = await self._side.call(
            ADVANCE, self._request(rows, wanted), ADVANCE_S, LOADED_S, lane="studies"
        )
        pruned = dict(answer["pruned"])
        async with self._journal.turn:
            events: list[AnyStudyEvent] = []
            for trial in self._running():
                events += self._verdict(trial, ended.get(trial.trial), pruned.get(trial.trial))
            if self.study.requested is None and self.study.status is StudyStatus.RUNNING:
                events += self._suggested(answer["points"])
            if events:
                await self._journal.record(self.board, *verdict.with_best(self.study, events))
        for number in ended:
            self._ended.pop(number, None)
            self._heard.pop(number, None)

    def _verdict(self, trial: Trial, job: Job | None, pruned_at: int | None) -> list[AnyStudyEvent]:
        events: list[AnyStudyEvent] = []
        values = self._values(trial, job)
        if pruned_at is not None and trial.pruned_at is None:
            seen = values[:pruned_at]
            events.append(TrialPruned(trial=trial.trial, epoch=pruned_at, value=seen[-1], values=seen))
        if job is not None:
            events.append(verdict.ended(self.study, trial, job, values, trial.pruned_at or pruned_at))
        return events

    def _suggested(self, points: list[list[float]]) -> list[AnyStudyEvent]:
        first, study = self.study.suggested, self.study
        return [
            TrialSuggested(
                trial=number,
                job_id=f"{study.study_id}_{number}",
                params=params_of(study.space, self._axes, point),
            )
            for number, point in enumerate(points, first)
        ]

    async def _submit(self) -> None:
        """Submit the jobs of trials that are on record and have none."""
        for trial in self._running():
            if trial.trial in self._submitted:
                continue
            origin = Origin(self.study.study_id, trial.trial)
            try:
                spec = trial_spec(self.study, trial)
                job = await self._engine.submit(spec, self.study.dataset, trial.job_id, origin=origin)
            except (InvalidSpec, NoSuchDevice, IdTaken) as error:
                async with self._journal.turn:
                    await self._journal.record(self.board, verdict.refused(trial, error))
                self._wake.set()
                continue
            self._submitted.add(trial.trial)
            if job.status in TERMINAL:  # that was there already
                self._ended[trial.trial] = job
                self._wake.set()

    async def _ask_what_is_due(self) -> None:
        """Have running trials do what the study was asked, pruned ones stop, and others go on that were paused."""
        match self.study.requested:
            case "cancel":
                await self._ask_each(self._engine.cancel)
            case "stop":
                await self._ask_each(self._engine.stop)
            case "finish":
                await self._ask_each(partial(self._engine.stop, reason=self.study.reason))
            case _:
                for trial in self._running():
                    if trial.pruned_at is not None and trial.trial not in self._ended:
                        await self._ask(partial(self._engine.stop, reason="pruned"), trial)

    async def _ask_each(self, verb: Callable[[str], Awaitable[Job]]) -> None:
        for trial in self._running():
            if trial.trial not in self._ended:
                await self._ask(verb, trial)

    async def _ask(self, verb: Callable[[str], Awaitable[Job]], trial: Trial) -> None:
        try:
            await verb(trial.job_id)
        except (JobFinished, JobNotFound, NotResumable):
            return

    async def resume_trials(self) -> None:
        """Let the trials go on that were paused."""
        await self._ask_each(self._engine.resume)

    def _request(self, rows: list[list[Any]], wanted: int) -> dict[str, Any]:
        study = self.study
        return {
            "study_id": study.study_id,
            "axes": msgspec.to_builtins(self._axes),
            "rows": rows,
            "wanted": wanted,
            "direction": study.direction,
            "sampler": study.sampler,
            "pruner": study.pruner,
            "seed": study.seed,
            "is_parallel": study.parallel != 1,
            "kinds": list(study.space).index("model") if "model" in study.space else None,
            "first": None if study.first is None else point_of(study.space, study.first),
        }

    def _row(self, trial: Trial, job: Job | None) -> list[Any]:
        """Return a trial as `trainer/search` takes it: one whose job is over is still open to be pruned."""
        if trial.status is not TrialStatus.RUNNING or trial.pruned_at is not None:
            return self._row_of(trial)
        point, values = point_of(self.study.space, trial.params), self._values(trial, job)
        if job is None:
            return [point, "RUNNING", None, values, True]
        value = verdict.ended(self.study, trial, job, values, None).value
        return [point, "FAIL" if value is None else "COMPLETE", value, values, value is not None]

    def _row_of(self, trial: Trial) -> list[Any]:
        """Return a trial of which it is decided what it came to."""
        point = point_of(self.study.space, trial.params)
        values = trial.values if self.study.pruner != "none" else []
        if trial.pruned_at is not None:
            return [point, "PRUNED", None, values[: trial.pruned_at], False]
        if trial.status in (TrialStatus.RUNNING, TrialStatus.FAILED):
            return [point, "RUNNING" if trial.status is TrialStatus.RUNNING else "FAIL", None, [], False]
        return [point, "COMPLETE", trial.value, values, False]

    def _values(self, trial: Trial, job: Job | None) -> verdict.Values:
        if not self._is_listening:
            return []
        heard = self._heard.get(trial.trial, {})
        return verdict.without_gap(heard) if job is None else verdict.values_of(self.study, job, heard)

    def _hear(self, number: int, event: Epoch) -> None:
        metric = self.study.metric
        value = event.val_loss if metric == VAL_LOSS else event.metrics.get(metric)
        self._heard.setdefault(number, {})[event.epoch] = value

    def _look_soon(self) -> None:
        self._look = None
        self._has_news = True
        self._wake.set()

    def _is_running(self, number: int) -> bool:
        return self.board.trials[number].status is TrialStatus.RUNNING

    def _running(self) -> list[Trial]:
        return [trial for trial in self.board.trials if trial.status is TrialStatus.RUNNING]


def trial_spec(study: Study, trial: Trial) -> TrainSpec:
    """Return what a trial trains; raises `InvalidSpec`."""
    values = spec_with(study.spec, trial.params)
    name = f"{study.name or study.study_id} / {trial.trial}"
    if values["monitor"] == VAL_LOSS:
        values["monitor"] = study.metric
    if study.request.space == "auto" and study.spec.dataset is not None:  # networks of other seeds err otherwise
        values["seed"] = (study.spec.seed + trial.trial) % 2**63
    return parse_spec({**values, "name": name[-200:]})
