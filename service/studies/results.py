"""Pages of studies and of their events. The service, HTTP and the client share these."""

from msgspec import Struct

from traind.service.studies.study import Study


class StudyPage(Struct, frozen=True):
    """Studies, newest first; `next` is the `after` of the next page, None on the last one."""

    studies: list[Study]
    """The studies, newest first."""
    next: int | None = None
    """The `after` of the next page; null on the last one."""


class StudyEventPage(Struct, frozen=True):
    """Events of a study as JSON objects, in order; `last_seq` is the study's newest, shown or not."""

    events: list[bytes]
    """The events in order, each as JSON."""
    last_seq: int
    """Number of the study's newest event, shown or not."""
