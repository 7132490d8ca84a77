"""The verbs of studies. `Studies` owns their record and a task for each unfinished study."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from typing import Any, Literal

import msgspec

from traind.service.datasets import Datasets
from traind.service.engine.engine import Engine, uninterrupted
from traind.service.errors import (
    CursorAhead,
    JobNotFound,
    NotRunning,
    SlowWatcher,
    StudyFinished,
    StudyIdTaken,
    StudyNotFinished,
    StudyNotFound,
)
from traind.service.jobs.job import Job
from traind.service.processes.side import SideWorker
from traind.service.settings import Layout, Settings
from traind.service.studies import tables
from traind.service.studies.conductor import Conductor
from traind.service.studies.events import StudyControl, StudyState, StudyStatus
from traind.service.studies.finale import discard
from traind.service.studies.importance import importance_of, judged_among
from traind.service.studies.journal import Board, StudyJournal, topic_of
from traind.service.studies.request import StudyRequest
from traind.service.studies.results import StudyEventPage, StudyPage
from traind.service.studies.study import OVER, Study, Trial, direction_of
from traind.service.studies.submission import Wanted, check_study, is_optuna_here, located
from traind.trainer.contract.events import AnyEvent

PAST_EVENTS = 200
LEAST_IMPORTANCE = 4  # trials with a value that importance needs
KEPT_IMPORTANCE = 100  # studies whose importance is cached
_OTHER = "Choose another study_id."


class Studies:
    """The studies of one root. `open` after the engine, `close` before it."""

    def __init__(self, engine: Engine, settings: Settings, layout: Layout) -> None:
        self._engine = engine
        self._settings = settings
        self._layout = layout
        self._side: SideWorker
        self._datasets: Datasets
        self._journal: StudyJournal
        self._conductors: dict[str, Conductor] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._importance: dict[str, tuple[int, dict[str, float]]] = {}

    async def open(self, side: SideWorker, datasets: Datasets) -> None:
        """Continue every unfinished study."""
        engine = self._engine
        self._side, self._datasets = side, datasets
        store, clock = engine.journal.store, engine.journal.clock
        self._journal = StudyJournal(store, engine.feed, clock, self._layout.studies_dir, engine.problems)
        await self._journal.open()
        engine.journal.observers.append(self._heard)
        for board in list(self._journal.live.values()):
            self._conduct(board)

    async def close(self) -> None:
        """Stop all tasks; the next start continues the studies."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._journal.close()
        self._tasks, self._conductors = {}, {}

    @property
    def digests(self) -> set[str]:
        """The data set versions of unfinished studies."""
        boards = self._journal.live.values()
        return {board.study.dataset.digest for board in boards if board.study.dataset is not None}

    async def create(self, value: Mapping[str, Any] | StudyRequest) -> Study:
        """Accept a study. With a `study_id` the same request again gives the same study.

        Raises `InvalidSpec` with every bad field, `DatasetNotFound`, `NoSuchDevice`, `StudyIdTaken`.
        """
        wanted = await check_study(value, self._settings, self._side, self._datasets)
        return await self._create(wanted)

    @uninterrupted
    async def _create(self, wanted: Wanted) -> Study:
        self._engine.watchdog.check_disk()
        request, study_id = wanted.request, wanted.study_id
        async with self._journal.turn:
            if study_id is not None and (known := await self._known(study_id, request)) is not None:
                return known
            now = self._journal.clock.now()
            study_id = study_id or f"study_{int(now * 1000)}_{secrets.token_hex(3)}"
            with located(wanted.space):
                job = Job(job_id=study_id, created_at=now, spec=request.spec, dataset=wanted.dataset)
                self._engine.check_room(job)
            study = Study(
                study_id=study_id,
                name=request.name,
                trials=request.trials,
                metric=request.metric,
                direction=direction_of(request),
                spec=request.spec,
                space=wanted.space,
                first=wanted.first,
                sampler=request.sampler,
                pruner=request.pruner,
                seed=request.seed,
                parallel=request.parallel,
                max_seconds=request.max_seconds,
                ensemble=wanted.has_ensemble,
                dataset=wanted.dataset,
                created_at=now,
                request=request,
            )
            board = Board(study)
            study = await self._journal.record(board, StudyState(status=StudyStatus.RUNNING))
            self._conduct(board)
        return study

    async def _known(self, study_id: str, request: StudyRequest) -> Study | None:
        """Return the study of that id, if there is one; raises `StudyIdTaken`."""
        try:
            study = await self._journal.study(study_id)
        except StudyNotFound:
            await self._check_free(study_id)
            return None
        if study.request != request:
            raise StudyIdTaken(f"The study {study_id!r} exists and was asked for otherwise.", hint=_OTHER)
        return study

    async def _check_free(self, study_id: str) -> None:
        """Raise `StudyIdTaken` where a job or an alias has that name, which the study's ensemble will have."""
        if study_id in await self._engine.journal.store.aliases():
            raise StudyIdTaken(f"{study_id!r} is an alias.", hint=_OTHER)
        try:
            await self._engine.journal.job(study_id)
        except JobNotFound:
            return
        raise StudyIdTaken(f"{study_id!r} is the id of a job.", hint=_OTHER)

    async def study(self, study_id: str, *, importance: bool = True) -> Study:
        """Return a study as it is now, with the importance of its fields; raises `StudyNotFound`."""
        study = await self._journal.study(study_id)
        shares = await self._importance_of(study) if importance else {}
        return msgspec.structs.replace(study, importance=shares, judged_among=judged_among(study.space))

    async def _importance_of(self, study: Study) -> dict[str, float]:
        """Return how much each field matters; computed again after more trials have ended."""
        count, found = self._importance.get(study.study_id, (0, dict[str, float]()))
        now = study.completed + study.stopped
        if count == now or now < LEAST_IMPORTANCE or not is_optuna_here():
            return found
        board = await self._journal.board(study.study_id)
        if board is None:
            return found
        found = await importance_of(board, self._side)
        self._importance[study.study_id] = (now, found)
        if len(self._importance) > KEPT_IMPORTANCE:
            self._importance.pop(next(iter(self._importance)))
        return found

    async def page(self, statuses: Iterable[str], limit: int, after: int | None) -> StudyPage:
        """Return studies, newest first."""
        read = partial(tables.page, limit=limit + 1, before=after, statuses=list(statuses))
        rows = await self._journal.store.reading(read)
        live = self._journal.live
        shown = [live[study.study_id].study if study.study_id in live else study for _, study in rows[:limit]]
        return StudyPage(shown, rows[limit - 1][0] if len(rows) > limit else None)

    async def trials(self, study_id: str, after: int, limit: int) -> list[Trial]:
        """Return up to `limit` trials from number `after` on; raises `StudyNotFound`."""
        await self._journal.study(study_id)
        if (board := self._journal.live.get(study_id)) is not None:
            return board.trials[after : after + limit]
        return await self._journal.store.reading(partial(tables.trials, study_id, after, limit))

    async def events(self, study_id: str, after: int, limit: int) -> StudyEventPage:
        """Return events after `after`, and the newest one's number; raises `StudyNotFound`, `CursorAhead`."""
        study = await self._at_cursor(study_id, after)
        rows = await self._journal.events(study_id, after, limit)
        return StudyEventPage([body for seq, body in rows if seq <= study.seq], study.seq)

    async def watch_bytes(self, study_id: str, after: int = 0) -> AsyncIterator[tuple[int, bytes]]:
        """Yield `(seq, encoded event)` for each event after `after` once, in order, until the study is over.

        Raises `StudyNotFound`, `CursorAhead`, `SlowWatcher`, and `NotRunning` when the service closes first.
        """
        seq = after
        with self._engine.feed.watch(topic_of(study_id)) as watcher:
            study = await self._at_cursor(study_id, after)
            while seq < study.seq:
                rows = await self._journal.events(study_id, seq, PAST_EVENTS)
                for row in rows:
                    if row[0] <= study.seq:
                        yield row
                seq = rows[-1][0] if rows else study.seq  # events lost with a database are skipped
                seq = min(seq, study.seq)
            if study.status in OVER and (await self._journal.study(study_id)).seq == seq:
                return
            while (item := await watcher.next_item()) is not None:
                if item.seq > seq:
                    yield item.seq, item.body
                    seq = item.seq
                    if item.is_last:
                        return
        raise NotRunning("The service is closing.", hint="Connect again with `after`.")

    async def wait(self, study_id: str) -> Study:
        """Return the study once it is over; raises `StudyNotFound`, `NotRunning`."""
        while True:
            with self._engine.feed.watch(topic_of(study_id)) as watcher:
                try:
                    while (study := await self._journal.study(study_id)).status not in OVER:
                        if await watcher.next_item() is None:
                            raise NotRunning("The service is closing.")
                except SlowWatcher:
                    continue
                return await self.study(study.study_id)

    async def stop(self, study_id: str) -> Study:
        """End a study and keep its results; running trials keep their best models. Raises `StudyFinished`."""
        return await self._ask(study_id, "stop")

    async def cancel(self, study_id: str) -> Study:
        """End a study and keep only its record. Raises `StudyFinished`."""
        return await self._ask(study_id, "cancel")

    @uninterrupted
    async def pause(self, study_id: str) -> Study:
        """Pause a study: running trials write checkpoints and free their slots. Raises `StudyFinished`."""
        async with self._journal.turn:
            board = await self._board_to_ask(study_id, "paused")
            if board.study.status is not StudyStatus.PAUSED:
                if board.study.requested in ("stop", "cancel"):
                    raise StudyFinished(f"The study {study_id} is being ended; it cannot be paused.")
                await self._journal.record(board, StudyState(status=StudyStatus.PAUSED, reason="user"))
        self._conductors[study_id].wake()
        return board.study

    @uninterrupted
    async def resume(self, study_id: str) -> Study:
        """Continue a paused study; a running one is left alone. Raises `StudyFinished`."""
        async with self._journal.turn:
            board = await self._board_to_ask(study_id, "resumed")
            is_paused = board.study.status is StudyStatus.PAUSED
            if is_paused:
                await self._journal.record(board, StudyState(status=StudyStatus.RUNNING, reason="resumed"))
        conductor = self._conductors[study_id]
        if is_paused:
            await conductor.resume_trials()
        conductor.wake()
        return board.study

    @uninterrupted
    async def delete(self, study_id: str) -> None:
        """Remove a study that is over, with its trials, their models and its ensemble. Raises `StudyNotFinished`."""
        async with self._journal.turn:
            study = await self._journal.study(study_id)
            if study.status not in OVER:
                raise StudyNotFinished(f"The study {study_id} is not over.", hint="Cancel or stop it first.")
            await discard(self._journal, self._engine, study_id)
            await self._journal.forget(study_id)
            self._importance.pop(study_id, None)

    @uninterrupted
    async def _ask(self, study_id: str, verb: Literal["stop", "cancel"]) -> Study:
        """Record a verb, then carry it out; repeating it changes nothing."""
        async with self._journal.turn:
            end = StudyStatus.STOPPED if verb == "stop" else StudyStatus.CANCELLED
            study = await self._journal.study(study_id)
            if study.status is end or study.requested == verb:
                return study
            board = await self._board_to_ask(study_id, "stopped" if verb == "stop" else "cancelled")
            if board.study.requested == "cancel":
                raise StudyFinished(f"The study {study_id} is being cancelled; it cannot be stopped.")
            study = await self._journal.record(board, StudyControl(verb=verb, reason="user"))
        self._conductors[study_id].wake()
        return study

    async def _board_to_ask(self, study_id: str, past: str) -> Board:
        """Return an unfinished study; raises `StudyNotFound`, `StudyFinished`."""
        if (board := self._journal.live.get(study_id)) is not None:
            return board
        study = await self._journal.study(study_id)
        raise StudyFinished(f"The study {study_id} is {study.status.lower()}; it cannot be {past}.")

    async def _at_cursor(self, study_id: str, after: int) -> Study:
        study = await self._journal.study(study_id)
        if after > study.seq:
            raise CursorAhead(f"The study {study_id} has {study.seq} events; there is none after {after}.")
        return study

    def _conduct(self, board: Board) -> None:
        """Start a study's task."""
        study_id = board.study.study_id
        conductor = Conductor(board, self._journal, self._engine, self._side)
        task = asyncio.create_task(conductor.run(), name=f"traind-study {study_id}")
        self._conductors[study_id], self._tasks[study_id] = conductor, task
        self._engine.watch_task(task)
        task.add_done_callback(lambda _: self._gone(study_id))

    def _gone(self, study_id: str) -> None:
        self._tasks.pop(study_id, None)
        self._conductors.pop(study_id, None)

    def _heard(self, job: Job, event: AnyEvent) -> None:
        if job.study_id is not None and (conductor := self._conductors.get(job.study_id)) is not None:
            conductor.heard(job, event)
