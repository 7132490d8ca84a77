"""The calls about studies. Base of `TrainingService`."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from traind.service.parts import Parts
from traind.service.studies.events import AnyStudyEvent, StudyStatus, decode_study_event
from traind.service.studies.request import StudyRequest
from traind.service.studies.results import StudyEventPage, StudyPage
from traind.service.studies.study import Study, Trial


class StudyCalls(Parts):
    """The calls about studies."""

    async def submit_study(self, request: StudyRequest | Mapping[str, Any] | None = None, **fields: Any) -> Study:
        """Accept a study: a request, a mapping, or its fields as keywords. When this returns, it is recorded durably.

        With a `study_id` the same request again gives the same study. Raises `InvalidSpec` with every bad field,
        `DatasetNotFound`, `StudyIdTaken`, `DiskLow`.
        """
        self._check_open()
        return await self._studies.create(fields if request is None else request)

    async def study(self, study_id: str, *, importance: bool = True) -> Study:
        """Return a study as it is now, with the importance of its fields; raises `StudyNotFound`.

        Without `importance` nothing is computed, and nothing waited for.
        """
        self._check_open()
        return await self._studies.study(study_id, importance=importance)

    async def studies(
        self,
        status: StudyStatus | str | Iterable[StudyStatus | str] | None = None,
        limit: int = 100,
        after: int | None = None,
    ) -> StudyPage:
        """Return a page of studies, newest first; `after` is the `next` of the page before."""
        self._check_open()
        wanted = [] if status is None else [status] if isinstance(status, str) else list(status)
        return await self._studies.page([str(state) for state in wanted], limit, after)

    async def trials(self, study_id: str, after: int = 0, limit: int = 1_000) -> list[Trial]:
        """Return up to `limit` trials of a study from number `after` on, in order; raises `StudyNotFound`."""
        self._check_open()
        return await self._studies.trials(study_id, after, limit)

    async def study_events(self, study_id: str, after: int = 0, limit: int = 1_000) -> StudyEventPage:
        """Return a study's events as encoded JSON, in order; raises `StudyNotFound`, `CursorAhead`."""
        self._check_open()
        return await self._studies.events(study_id, after, limit)

    async def watch_study(self, study_id: str, after: int = 0) -> AsyncIterator[AnyStudyEvent]:
        """Yield each event of a study after `after` exactly once, past ones first, until it is over.

        Raises as `watch` does.
        """
        async for _, body in self.watch_study_bytes(study_id, after):
            yield decode_study_event(body)

    def watch_study_bytes(self, study_id: str, after: int = 0) -> AsyncIterator[tuple[int, bytes]]:
        """Yield as `watch_study` does, as `(seq, encoded event)`."""
        self._check_open()
        return self._studies.watch_bytes(study_id, after)

    async def wait_study(self, study_id: str) -> Study:
        """Return the study once it is over; raises `StudyNotFound`, `NotRunning` on close."""
        self._check_open()
        return await self._studies.wait(study_id)

    async def stop_study(self, study_id: str) -> Study:
        """End a study and keep its results; running trials keep their best models. Raises `StudyFinished`."""
        self._check_open()
        return await self._studies.stop(study_id)

    async def pause_study(self, study_id: str) -> Study:
        """Pause a study: running trials write checkpoints and free their slots. Raises `StudyFinished`."""
        self._check_open()
        return await self._studies.pause(study_id)

    async def resume_study(self, study_id: str) -> Study:
        """Continue a paused study. Raises `StudyFinished`."""
        self._check_open()
        return await self._studies.resume(study_id)

    async def cancel_study(self, study_id: str) -> Study:
        """End a study and keep only its record. Raises `StudyFinished`."""
        self._check_open()
        return await self._studies.cancel(study_id)

    async def delete_study(self, study_id: str) -> None:
        """Remove a study that is over, with its trials, their models and its ensemble. Raises `StudyNotFinished`."""
        self._check_open()
        await self._studies.delete(study_id)
