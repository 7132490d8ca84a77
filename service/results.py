"""What the service answers beside jobs and events. The service, HTTP and the client share these."""

from typing import Any

from msgspec import Struct

from traind.service.jobs.job import Job


class JobPage(Struct, frozen=True):
    """Jobs, newest first; `next` is the `after` of the next page, None on the last one."""

    jobs: list[Job]
    next: str | int | None = None


class EventPage(Struct, frozen=True):
    """Events of a job as JSON objects, in order; `last_seq` is the job's newest, shown or not."""

    events: list[bytes]
    last_seq: int


class Prediction(Struct, frozen=True, omit_defaults=True):
    """One prediction a row, labels as they stood in the file; `probabilities` by label, for classes only."""

    predictions: list[Any]
    probabilities: list[dict[str, float]] | None = None


class Dataset(Struct, frozen=True):
    """The newest version of a registered data set."""

    name: str
    digest: str  # sha256 of the bytes as uploaded, hex
    format: str
    size_bytes: int
    created_at: float | None = None
    versions: list[str] = []  # digests, newest first
    summary: dict[str, Any] = {}  # rows, columns with kind and evidence, warnings: data/describe.py
