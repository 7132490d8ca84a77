"""The methods about studies as blocking calls. Base of `SyncClient`."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from traind.service.client.study_calls import StudyVerbs
from traind.service.studies.events import AnyStudyEvent, StudyStatus
from traind.service.studies.request import StudyRequest
from traind.service.studies.results import StudyEventPage, StudyPage
from traind.service.studies.study import Study, Trial

T = TypeVar("T")


class SyncStudyVerbs(ABC):
    """The methods about studies, without asyncio."""

    @abstractmethod
    def _opened(self) -> StudyVerbs:
        """Return the `Client`, opened on the loop's thread."""

    @abstractmethod
    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the work on the loop's thread and return its result."""

    def submit_study(self, request: StudyRequest | Mapping[str, Any] | None = None, **fields: Any) -> Study:
        """Submit a study: a request, a mapping, or its fields as keywords."""
        return self._wait(self._opened().submit_study(request, **fields))

    def study(self, study_id: str, *, importance: bool = True) -> Study:
        """Return a study as it is now, with the importance of fields unless that is not wanted."""
        return self._wait(self._opened().study(study_id, importance=importance))

    def studies(
        self,
        status: StudyStatus | str | Iterable[StudyStatus | str] | None = None,
        limit: int = 100,
        after: int | None = None,
    ) -> StudyPage:
        """Return a page of studies, newest first; `after` is the `next` of the page before."""
        return self._wait(self._opened().studies(status, limit, after))

    def trials(self, study_id: str, after: int = 0, limit: int = 1_000) -> list[Trial]:
        """Return up to `limit` trials of a study from number `after` on, in order."""
        return self._wait(self._opened().trials(study_id, after, limit))

    def study_events(self, study_id: str, after: int = 0, limit: int = 1_000) -> StudyEventPage:
        """Return a study's events as encoded JSON, in order."""
        return self._wait(self._opened().study_events(study_id, after, limit))

    def watch_study(self, study_id: str, after: int = 0) -> Iterator[AnyStudyEvent]:
        """Yield each event of a study after `after` exactly once, past ones first, until it is over."""
        stream = self._opened().watch_study(study_id, after)
        try:
            while (event := self._wait(_next_of(stream))) is not None:
                yield event
        finally:
            self._wait(stream.aclose())

    def wait_study(self, study_id: str) -> Study:
        """Return the study once it is over."""
        return self._wait(self._opened().wait_study(study_id))

    def stop_study(self, study_id: str) -> Study:
        """End a study and keep its results; running trials keep their best models."""
        return self._wait(self._opened().stop_study(study_id))

    def pause_study(self, study_id: str) -> Study:
        """Pause a study: running trials write checkpoints and free their slots; none is begun."""
        return self._wait(self._opened().pause_study(study_id))

    def resume_study(self, study_id: str) -> Study:
        """Continue a paused study."""
        return self._wait(self._opened().resume_study(study_id))

    def cancel_study(self, study_id: str) -> Study:
        """End a study and keep only its record."""
        return self._wait(self._opened().cancel_study(study_id))

    def delete_study(self, study_id: str) -> None:
        """Remove a study that is over, with its trials, their models and its ensemble."""
        self._wait(self._opened().delete_study(study_id))


async def _next_of(stream: AsyncGenerator[AnyStudyEvent]) -> AnyStudyEvent | None:
    """Return the next event; None after the last."""
    return await anext(stream, None)
