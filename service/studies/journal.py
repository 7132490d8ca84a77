"""The only writer of every study's state: apply, commit, then publish. Like `record/journal.py` for jobs.

A study that is not over is held in memory with all its trials. Its file, `artifacts/studies/<study_id>.json`, is a
snapshot that a lost database is made again from.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from traind.service.errors import StudyNotFound
from traind.service.record.clock import Clock
from traind.service.record.disk import Disk
from traind.service.record.feed import Feed, Item
from traind.service.record.problems import RETRY_S, Problems
from traind.service.record.store import Store
from traind.service.studies import tables
from traind.service.studies.events import (
    AnyStudyEvent,
    StudyLog,
    StudyState,
    StudyStatus,
    TrialEnded,
    TrialPruned,
    TrialSuggested,
    encode_study_event,
)
from traind.service.studies.study import OVER, Study, Trial, apply_study

LOG = logging.getLogger(__name__)
WRITING = "a study's file cannot be written"
FILE_EVERY_S = 1.0  # shortest time between two writes of a study's file
FILE_SHARE = 0.05  # largest share of time for writing it: large files are written more rarely


class StudyFile(Struct, frozen=True):
    """The content of a study's file."""

    study: Study
    trials: list[Trial]


@dataclass(slots=True, eq=False)
class Board:
    """A study in memory: its record, its trials, and the start of its uncounted running time."""

    study: Study
    trials: list[Trial] = field(default_factory=list)
    counted_at: float = field(default_factory=time.monotonic)
    file_due: asyncio.TimerHandle | None = None
    file_pause_s: float = FILE_EVERY_S

    @property
    def ran_s(self) -> float:
        """Seconds that the study has been running until now."""
        more = time.monotonic() - self.counted_at if self.study.status is StudyStatus.RUNNING else 0.0
        return self.study.ran_s + more


def topic_of(study_id: str) -> str:
    """Return the topic of a study's watchers, which no job id equals."""
    return f"study/{study_id}"


class StudyJournal:
    """The unfinished studies in memory, and the recording of their changes."""

    def __init__(self, store: Store, feed: Feed, clock: Clock, folder: Path, problems: Problems) -> None:
        self.store = store
        self.feed = feed
        self.clock = clock
        self.turn = asyncio.Lock()  # held from reading a study to recording its change
        self.live: dict[str, Board] = {}
        self._folder = folder
        self._disk = Disk()
        self._problems = problems
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Load the unfinished studies; after a lost database, restore studies from their files."""
        await asyncio.to_thread(self._disk.sweep, self._folder)
        files = await asyncio.to_thread(self._disk.names, self._folder)
        names = [name.removesuffix(".json") for name in files if name.endswith(".json")]
        for study_id in await self.store.reading(partial(tables.unknown, names)):
            await self._bring_back(study_id)
        for study_id in await self.store.reading(tables.unfinished):
            if (board := await self.board(study_id)) is not None:
                self.live[study_id] = board

    async def close(self) -> None:
        """Write the files that wait."""
        for board in self.live.values():
            if board.file_due is not None:
                board.file_due.cancel()
                board.file_due = None
                await self._write_file(board)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.live = {}

    async def study(self, study_id: str) -> Study:
        """Return a study as it is now; raises `StudyNotFound`."""
        if (board := self.live.get(study_id)) is not None:
            return msgspec.structs.replace(board.study, ran_s=round(board.ran_s, 3))
        found = await self.store.reading(partial(tables.one, study_id))
        if found is None:
            raise StudyNotFound(f"There is no study {study_id!r}.")
        return found

    async def board(self, study_id: str) -> Board | None:
        """Return a study with all its trials, missing ones from its file; None: there is no such study."""
        if (board := self.live.get(study_id)) is not None:
            return board
        study = await self.store.reading(partial(tables.one, study_id))
        if study is None:
            return None
        found = {one.trial: one for one in await self.store.reading(partial(tables.trials, study_id, 0, 2**31))}
        if len(found) < study.suggested and (kept := await self._read_file(study_id)) is not None:
            found = {one.trial: one for one in kept.trials} | found
        return Board(study, [found[number] for number in sorted(found)])

    async def record(self, board: Board, *events: AnyStudyEvent) -> Study:
        """Commit and publish events of a study; return it as it is then. The caller holds `turn`."""
        now = time.monotonic()
        study, trials = msgspec.structs.replace(board.study, ran_s=round(board.ran_s, 3)), list(board.trials)
        changed: dict[int, Trial] = {}
        items: list[Item] = []
        for event in events:
            numbered = msgspec.structs.replace(event, seq=study.seq + 1, study_id=study.study_id, ts=self.clock.now())
            number = _trial_of(numbered)
            before = trials[number] if number is not None and number < len(trials) else None
            study, after = apply_study(study, before, numbered)
            if number is not None and after is not None:
                trials[number : number + 1] = [after]
                changed[number] = after
            is_last = study.status in OVER and isinstance(numbered, StudyState)
            items.append(Item(numbered.seq, encode_study_event(numbered), is_last))
        rows = [(item.seq, item.body) for item in items]
        change = tables.StudyChange(study, list(changed.values()), rows, trials)
        await self.store.writing(partial(tables.put, change), is_synced=True)
        board.study, board.trials, board.counted_at = study, trials, now
        await self._publish(board, events, items)
        return study

    async def forget(self, study_id: str) -> None:
        """Remove a study that is over: its file, then its record. The caller holds `turn`."""
        await asyncio.to_thread(self._disk.remove_file_durably, self._path(study_id))
        await self.store.writing(partial(tables.delete, study_id), is_synced=True)
        self.feed.notify_all({"type": "study_deleted", "study_id": study_id})

    async def events(self, study_id: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Return events of a study, in order."""
        return await self.store.reading(partial(tables.events, study_id, after, limit))

    async def _publish(self, board: Board, events: Sequence[AnyStudyEvent], items: Sequence[Item]) -> None:
        study = board.study
        is_over = study.status in OVER
        if is_over:
            self.live.pop(study.study_id, None)
        else:
            self.live[study.study_id] = board
        if any(isinstance(event, StudyState) for event in events):
            await self._write_file(board)
        elif board.file_due is None:
            board.file_due = asyncio.get_running_loop().call_later(board.file_pause_s, self._file_due, board)
        for item in items:
            self.feed.publish(topic_of(study.study_id), item)
        self.feed.notify_all({"type": "study", **summary(study)})

    def _path(self, study_id: str) -> Path:
        return self._folder / f"{study_id}.json"

    def _file_due(self, board: Board) -> None:
        board.file_due = None
        task = asyncio.create_task(self._write_file(board, is_durable=False), name="traind-study-file")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write_file(self, board: Board, *, is_durable: bool = True) -> None:
        """Replace a study's file; a failure is a problem, and is tried again."""
        if board.file_due is not None:
            board.file_due.cancel()
            board.file_due = None
        async with self._writing:
            began, study_id = time.monotonic(), board.study.study_id
            kept = StudyFile(board.study, list(board.trials))
            try:
                await asyncio.to_thread(self._write, study_id, kept, is_durable)
            except OSError as error:
                self._problems.arose(WRITING, error)
                board.file_due = asyncio.get_running_loop().call_later(RETRY_S, self._file_due, board)
            else:
                self._problems.passed(WRITING)
            board.file_pause_s = max(FILE_EVERY_S, (time.monotonic() - began) / FILE_SHARE)

    def _write(self, study_id: str, kept: StudyFile, is_durable: bool) -> None:
        self._disk.write(self._path(study_id), msgspec.json.encode(kept), is_durable=is_durable)

    async def _read_file(self, study_id: str) -> StudyFile | None:
        try:
            content = await asyncio.to_thread(self._disk.read, self._path(study_id))
            return msgspec.json.decode(content, type=StudyFile)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            LOG.warning("the file of study %s cannot be read: %s", study_id, error)
            return None

    async def _bring_back(self, study_id: str) -> None:
        """Write a study to the database that only its file has."""
        if (kept := await self._read_file(study_id)) is None or kept.study.study_id != study_id:
            return
        board = Board(kept.study, kept.trials)
        said = StudyLog(message="The database was lost; this study was rebuilt from its file.", level="warning")
        LOG.warning("study %s is rebuilt from its file", study_id)
        async with self.turn:
            await self.record(board, said)
        self.live.pop(study_id, None)


def summary(study: Study) -> dict[str, object]:
    """Return the notice of a study for those who watch everything."""
    return {
        "study_id": study.study_id,
        "name": study.name,
        "status": study.status,
        "trials": study.trials,
        "ended": study.ended,
        "running": study.running,
        "metric": study.metric,
        "best": None if study.best is None else study.best.value,
    }


def _trial_of(event: AnyStudyEvent) -> int | None:
    return event.trial if isinstance(event, TrialSuggested | TrialPruned | TrialEnded) else None
