"""The events of studies: their states and their trials. Numbered by the study's journal, encoded as JSON."""

from enum import StrEnum
from typing import Any, Literal

import msgspec
from msgspec import Struct

from traind.trainer.contract.events import Failure


class StudyStatus(StrEnum):
    """The states of a study."""

    RUNNING = "RUNNING"  # trials are made
    PAUSED = "PAUSED"  # running trials are paused, and none is begun
    COMPLETED = "COMPLETED"  # all trials are made, or its time was over
    STOPPED = "STOPPED"  # a user stopped it; results are kept
    CANCELLED = "CANCELLED"  # a user discarded it; only the record is kept
    FAILED = "FAILED"  # no trial has a value


class TrialStatus(StrEnum):
    """The states of a trial."""

    RUNNING = "RUNNING"  # suggested; its job waits, runs or is paused
    COMPLETED = "COMPLETED"  # ran to its end and has a value
    PRUNED = "PRUNED"  # ended early, since others were better at that epoch
    STOPPED = "STOPPED"  # ended early by a user or the study's end; has the value of its best epoch
    FAILED = "FAILED"  # has no value, but an error


class StudyEvent(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """The fields of every event of a study."""

    seq: int = 0
    """Number of the event in its study: 1, 2, 3 ... without gaps."""
    study_id: str = ""
    """Id of the study."""
    ts: float = 0.0
    """When it happened, in seconds since 1970 (UTC)."""


class StudyState(StudyEvent, frozen=True, kw_only=True, omit_defaults=True, tag="study"):
    """The study entered `status`."""

    status: StudyStatus
    """The state that the study entered."""
    message: str = ""
    """What happened, in a few words for people."""
    reason: str | None = None
    """Why, where the state has several reasons: trials, max_seconds, user."""
    error: Failure | None = None
    """Why it failed; null in every other state."""
    model: str | None = None
    """Path of the ensemble's model file, relative to the root; null where there is none."""
    note: str | None = None
    """Why there is no ensemble; null where there is one, or none is wanted."""


class StudyControl(StudyEvent, frozen=True, kw_only=True, omit_defaults=True, tag="control"):
    """A verb was recorded, by a user or by the study itself at the end of its trials."""

    verb: Literal["stop", "cancel", "finish"]
    """What was requested; finish: its trials or its time are over."""
    reason: str | None = None
    """Why it is to finish: trials, max_seconds."""


class TrialSuggested(StudyEvent, frozen=True, kw_only=True, omit_defaults=True, tag="suggested"):
    """A trial was recorded; its job is submitted next."""

    trial: int
    """Number of the trial, from 0."""
    job_id: str
    """Id of its job."""
    params: dict[str, Any]
    """Its values of the searched fields, by path in the spec."""


class TrialPruned(StudyEvent, frozen=True, kw_only=True, omit_defaults=True, tag="pruned"):
    """A trial was pruned; its job is stopped next, or has ended."""

    trial: int
    """Number of the trial, from 0."""
    epoch: int
    """Epoch at which it was pruned, from 1."""
    value: float | None = None
    """The metric after that epoch."""
    values: list[float | None] = []
    """The metric after each epoch, up to that one."""


class TrialEnded(StudyEvent, frozen=True, kw_only=True, omit_defaults=True, tag="trial"):
    """A trial is over."""

    trial: int
    """Number of the trial, from 0."""
    job_id: str
    """Id of its job."""
    status: TrialStatus
    """State of the trial."""
    value: float | None = None
    """The metric on the validation rows; null where there is none."""
    is_best: bool = False
    """Whether it is the best trial so far."""
    values: list[float | None] = []
    """The metric after each epoch, from the first on, as far as it is known."""
    epochs: int = 0
    """Epochs that it trained."""
    error: Failure | None = None
    """Why it has no value; null where it has one."""
    timings: dict[str, float] = {}
    """Seconds of its job by phase."""


class StudyLog(StudyEvent, frozen=True, kw_only=True, omit_defaults=True, tag="log"):
    """A message for people."""

    message: str
    """A sentence for people."""
    level: Literal["info", "warning", "error"] = "info"
    """Severity: info, warning or error."""


AnyStudyEvent = StudyState | StudyControl | TrialSuggested | TrialPruned | TrialEnded | StudyLog

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyStudyEvent)


def encode_study_event(event: AnyStudyEvent) -> bytes:
    """Return the event as one JSON object."""
    return _encoder.encode(event)


def decode_study_event(data: bytes | str) -> AnyStudyEvent:
    """Return the event in one JSON object, or raise `msgspec.ValidationError`."""
    event: AnyStudyEvent = _decoder.decode(data)
    return event
