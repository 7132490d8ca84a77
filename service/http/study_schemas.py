"""The JSON of the calls about studies."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from traind.service.http.schemas import Answer
from traind.service.studies.events import AnyStudyEvent, StudyStatus
from traind.service.studies.study import Study, Trial

_STATE = "|".join(StudyStatus)
_STATES = f"one of {', '.join(StudyStatus)}, or several by commas"
StudyStates = Annotated[str, Meta(pattern=rf"^({_STATE})(,({_STATE}))*\Z", max_length=200, description=_STATES)]


class StudyAccepted(Answer, frozen=True, kw_only=True):
    """The study or the verb is recorded durably."""

    study_id: str
    """Id of the study."""
    status: StudyStatus
    """State that the study is in."""


class StudyAnswer(Answer, frozen=True, kw_only=True):
    """One study."""

    study: Study
    """The study."""


class StudiesAnswer(Answer, frozen=True, kw_only=True):
    """Studies, newest first; `next` is the `after` of the next page."""

    studies: list[Study]
    """The studies, newest first."""
    next: int | None
    """The `after` of the next page; null on the last one."""


class TrialsAnswer(Answer, frozen=True, kw_only=True):
    """Trials of a study, in order."""

    trials: list[Trial]
    """The trials, by number."""
    next: int | None
    """The `after` of the next page; null on the last one."""


class StudyEventsAnswer(Answer, frozen=True, kw_only=True):
    """Events of a study, in order; `last_seq` is its newest, shown or not."""

    events: list[AnyStudyEvent]
    """The events, in order."""
    last_seq: int
    """Number of the study's newest event, shown or not."""


class StudiesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which page of studies."""

    status: StudyStates | UnsetType = UNSET
    """State, or several separated by commas."""
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    """Most studies of a page."""
    after: Annotated[int, Meta(ge=0, le=2**53, description="`next` of the last page")] | UnsetType = UNSET
    """Where the page begins: `next` of the last page."""


class StudyQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parts of a study."""

    importance: Annotated[bool, Meta(description="false: importance is not computed")] = True
    """Whether to compute how much each field matters, which may take time."""


class TrialsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which trials of a study."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 1_000
    """Most trials of a page."""
    after: Annotated[int, Meta(ge=0, le=2**53, description="number of the first trial")] = 0
    """Number of the first trial, from 0: `next` of the page before."""


class StudyEventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events of a study."""

    after: Annotated[int, Meta(ge=0, le=2**53, description="the last seq that was seen")] = 0
    """Number of the last event that was seen; 0: from the first."""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    """Most events of a page."""
