"""The end of a study: its trials' models become one where that is wanted, and its last state is recorded."""

import contextlib
from functools import partial

import msgspec

from traind.service.engine.engine import Engine, Origin
from traind.service.errors import IdTaken, JobFinished, JobNotFinished, JobNotFound
from traind.service.jobs.job import TERMINAL, Job
from traind.service.studies import tables, verdict
from traind.service.studies.events import StudyState, StudyStatus, TrialStatus
from traind.service.studies.journal import Board, StudyJournal
from traind.service.studies.study import RANKED, Study
from traind.trainer.contract.events import Status
from traind.trainer.contract.spec import EnsembleModel, TrainSpec

CANDIDATES = 50  # best trials that an ensemble is chosen from


class Finale:
    """Ends one study whose trials are over. `play` is called again until it is over."""

    def __init__(self, board: Board, journal: StudyJournal, engine: Engine) -> None:
        self._board = board
        self._journal = journal
        self._engine = engine

    async def play(self) -> None:
        """Do what is to be done now; what has to be waited for is heard of."""
        study = self._board.study
        if study.requested == "cancel":
            if await self._is_without_job():
                await self._discard()
                await self._enter(StudyState(status=StudyStatus.CANCELLED))
        elif study.best is None:
            await self._enter(_without_value(study, self._board))
        elif not study.ensemble:
            await self._enter(_over(study))
        else:
            await self._with_ensemble(study)

    async def _with_ensemble(self, study: Study) -> None:
        """Have the ensemble made by a job of the study's own id, and end the study with it."""
        job = await self._job()
        if job is None:
            spec = ensemble_spec(study, self._board)
            try:
                await self._engine.submit(spec, study.dataset, study.study_id, origin=Origin(study.study_id))
            except IdTaken as error:
                await self._enter(
                    msgspec.structs.replace(_over(study), note=f"There is no ensemble. {error.message}")
                )
        elif job.status in TERMINAL:
            note = None
            if job.model is None:
                said = job.error.message if job.error is not None else f"Its job is {job.status.lower()}."
                note = f"There is no ensemble: {said}"
            await self._enter(msgspec.structs.replace(_over(study), model=job.model, note=note))
        elif job.status is Status.PAUSED and job.reason != "disk_full":
            await self._engine.resume(job.job_id)

    async def _is_without_job(self) -> bool:
        """Have the ensemble's job cancelled, if there is one; return whether it is over."""
        job = await self._job()
        if job is None or job.status in TERMINAL:
            return True
        with contextlib.suppress(JobFinished, JobNotFound):
            job = await self._engine.cancel(job.job_id)
        return job.status in TERMINAL

    async def _job(self) -> Job | None:
        """Return the job that makes the ensemble."""
        try:
            job = await self._engine.job(self._board.study.study_id)
        except JobNotFound:
            return None
        return job if job.study_id == self._board.study.study_id else None

    async def _discard(self) -> None:
        """Remove the jobs of all trials with their files, except those that an alias means."""
        await discard(self._journal, self._engine, self._board.study.study_id)

    async def _enter(self, state: StudyState) -> None:
        async with self._journal.turn:
            study = self._board.study
            if study.requested == "cancel" and state.status is not StudyStatus.CANCELLED:
                return  # asked meanwhile
            await self._journal.record(self._board, state)


async def discard(journal: StudyJournal, engine: Engine, study_id: str) -> None:
    """Remove the jobs of a study with their files, except those that an alias means."""
    pinned = {job_id for job_id, _ in (await engine.journal.store.aliases()).values()}
    for job_id in await journal.store.reading(partial(tables.trial_jobs, study_id)):
        if job_id not in pinned:
            with contextlib.suppress(JobNotFound, JobNotFinished):  # the latter: a user let it go on meanwhile
                await engine.delete(job_id)


def ensemble_spec(study: Study, board: Board) -> TrainSpec:
    """Return what the job does that makes the ensemble: the best trials' models are its candidates."""
    ranked = [one for one in board.trials if one.status in RANKED and one.value is not None]
    ranked.sort(key=lambda one: -(one.value or 0.0) if study.is_higher_better else (one.value or 0.0))
    model = EnsembleModel(jobs=tuple(one.job_id for one in ranked[:CANDIDATES]))
    name = f"{study.name or study.study_id} / ensemble"[-200:]
    return msgspec.structs.replace(study.spec, model=model, name=name, workers=1, cpus=None, gpus=None)


def _over(study: Study) -> StudyState:
    """Return the last state of a study that has found something."""
    if study.requested == "stop":
        return StudyState(status=StudyStatus.STOPPED, reason="user")
    messages = {"max_seconds": "Completed: its time is over", "failures": "Completed"}
    message = messages.get(study.reason or "", "")
    return StudyState(status=StudyStatus.COMPLETED, reason=study.reason or "trials", message=message)


def _without_value(study: Study, board: Board) -> StudyState:
    """Return the last state of a study none of whose trials has a value."""
    if study.requested == "stop":
        return StudyState(status=StudyStatus.STOPPED, reason="user", message="Stopped before a trial had a value")
    failed = [trial for trial in board.trials if trial.status is TrialStatus.FAILED]
    error = verdict.commonest(failed) if failed else verdict.TOO_LATE
    if study.reason == "max_seconds" and error.code == verdict.CANCELLED:  # by the study's end
        error = verdict.TOO_LATE
    return StudyState(status=StudyStatus.FAILED, message=error.message, error=error, reason=study.reason or "trials")
