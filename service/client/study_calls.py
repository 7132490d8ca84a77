"""The calls about studies: requests, reading of answers, and the methods of `Client`."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from traind.service.client.calls import Call
from traind.service.client.connection import Connection
from traind.service.studies.events import AnyStudyEvent, StudyState, StudyStatus, decode_study_event
from traind.service.studies.request import StudyRequest, SubmitStudy
from traind.service.studies.results import StudyEventPage, StudyPage
from traind.service.studies.study import OVER, Study, Trial

POLL_S = 0.3  # between two requests for a study's events
_encoder = msgspec.json.Encoder(decimal_format="number")
_DEFAULTS = msgspec.to_builtins(SubmitStudy())


class _Accepted(Struct):
    study_id: str


class _StudyBody(Struct):
    study: Study


class _TrialsBody(Struct):
    trials: list[Trial]


class _EventsBody(Struct):
    events: list[msgspec.Raw]
    last_seq: int


def submit(request: StudyRequest | Mapping[str, Any]) -> Call[str]:
    """Submit a study, without an id under a new one, so that sending it twice makes one study."""
    body = dict(request) if isinstance(request, Mapping) else _told(request)
    body["study_id"] = body.get("study_id") or f"study_{int(time.time() * 1000)}_{secrets.token_hex(3)}"
    return Call("POST", "/api/studies", _study_id, body=_encoder.encode(body))


def _told(request: StudyRequest) -> dict[str, Any]:
    values = msgspec.to_builtins(request)
    return {name: value for name, value in values.items() if value != _DEFAULTS[name]}


def study(study_id: str, *, importance: bool = True) -> Call[Study]:
    """Ask for one study."""
    query = {} if importance else {"importance": "false"}
    return Call("GET", _path(study_id), lambda body: msgspec.json.decode(body, type=_StudyBody).study, query=query)


def studies(states: Iterable[str], limit: int, after: int | None) -> Call[StudyPage]:
    """Ask for a page of studies."""
    query: dict[str, object] = {"limit": limit}
    if wanted := ",".join(states):
        query["status"] = wanted
    if after is not None:
        query["after"] = after
    return Call("GET", "/api/studies", lambda body: msgspec.json.decode(body, type=StudyPage), query=query)


def trials(study_id: str, after: int, limit: int) -> Call[list[Trial]]:
    """Ask for trials of a study."""
    query = {"after": after, "limit": limit}
    return Call("GET", f"{_path(study_id)}/trials", _trials, query=query)


def events(study_id: str, after: int, limit: int) -> Call[StudyEventPage]:
    """Ask for a page of a study's events."""
    return Call("GET", f"{_path(study_id)}/events", _events, query={"after": after, "limit": limit})


def verb(name: str, study_id: str) -> Call[str]:
    """Send a verb for a study."""
    return Call("POST", f"{_path(study_id)}/{name}", _study_id)


def delete(study_id: str) -> Call[None]:
    """Remove a study that is over."""
    return Call("DELETE", _path(study_id), lambda _: None)


def _path(study_id: str) -> str:
    return f"/api/studies/{quote(study_id, safe='')}"


def _study_id(body: bytes) -> str:
    return msgspec.json.decode(body, type=_Accepted).study_id


def _trials(body: bytes) -> list[Trial]:
    return msgspec.json.decode(body, type=_TrialsBody).trials


def _events(body: bytes) -> StudyEventPage:
    page = msgspec.json.decode(body, type=_EventsBody)
    return StudyEventPage([bytes(event) for event in page.events], page.last_seq)


class StudyVerbs:
    """The methods about studies. Base of `Client`."""

    _connection: Connection

    async def submit_study(self, request: StudyRequest | Mapping[str, Any] | None = None, **fields: Any) -> Study:
        """Submit a study: a request, a mapping, or its fields as keywords."""
        return await self.study(await self._connection.send(submit(fields if request is None else request)))

    async def study(self, study_id: str, *, importance: bool = True) -> Study:
        """Return a study as it is now, with the importance of fields unless that is not wanted."""
        return await self._connection.send(study(study_id, importance=importance))

    async def studies(
        self,
        status: StudyStatus | str | Iterable[StudyStatus | str] | None = None,
        limit: int = 100,
        after: int | None = None,
    ) -> StudyPage:
        """Return a page of studies, newest first; `after` is the `next` of the page before."""
        wanted = [] if status is None else [status] if isinstance(status, str) else list(status)
        return await self._connection.send(studies([str(state) for state in wanted], limit, after))

    async def trials(self, study_id: str, after: int = 0, limit: int = 1_000) -> list[Trial]:
        """Return up to `limit` trials of a study from number `after` on, in order."""
        return await self._connection.send(trials(study_id, after, limit))

    async def study_events(self, study_id: str, after: int = 0, limit: int = 1_000) -> StudyEventPage:
        """Return a study's events as encoded JSON, in order."""
        return await self._connection.send(events(study_id, after, limit))

    async def watch_study(self, study_id: str, after: int = 0) -> AsyncGenerator[AnyStudyEvent]:
        """Yield each event of a study after `after` exactly once, past ones first, until it is over.

        Lost connections and server restarts are bridged.
        """
        while True:
            page = await self.study_events(study_id, after)
            for body in page.events:
                event = decode_study_event(body)
                after = event.seq
                yield event
                if isinstance(event, StudyState) and event.status in OVER and after == page.last_seq:
                    return
            if after < page.last_seq:
                continue
            if not page.events and (await self.study(study_id)).status in OVER:
                return
            await asyncio.sleep(POLL_S)

    async def wait_study(self, study_id: str) -> Study:
        """Return the study once it is over."""
        while (found := await self.study(study_id)).status not in OVER:
            async for _event in self.watch_study(study_id, found.seq):
                pass
        return found

    async def stop_study(self, study_id: str) -> Study:
        """End a study and keep its results; running trials keep their best models."""
        return await self._asked("stop", study_id)

    async def pause_study(self, study_id: str) -> Study:
        """Pause a study: running trials write checkpoints and free their slots; none is begun."""
        return await self._asked("pause", study_id)

    async def resume_study(self, study_id: str) -> Study:
        """Continue a paused study."""
        return await self._asked("resume", study_id)

    async def cancel_study(self, study_id: str) -> Study:
        """End a study and keep only its record."""
        return await self._asked("cancel", study_id)

    async def delete_study(self, study_id: str) -> None:
        """Remove a study that is over, with its trials, their models and its ensemble."""
        await self._connection.send(delete(study_id))

    async def _asked(self, name: str, study_id: str) -> Study:
        return await self.study(await self._connection.send(verb(name, study_id)))
