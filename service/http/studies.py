"""The calls about studies: submit, show, the verbs, trials and events."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import UNSET

from traind.data import errors as data
from traind.data.limits import how_many_fit
from traind.service import errors as service
from traind.service.http.bodies import no_body, read_as, read_query
from traind.service.http.callers import client_of
from traind.service.http.context import SERVICE
from traind.service.http.operation import Operation
from traind.service.http.schemas import Deleted, answer, encode
from traind.service.http.study_schemas import (
    StudiesAnswer,
    StudiesQuery,
    StudyAccepted,
    StudyAnswer,
    StudyEventsAnswer,
    StudyEventsQuery,
    StudyQuery,
    TrialsAnswer,
    TrialsQuery,
)
from traind.service.processes.lane import CLIENT
from traind.service.service import TrainingService
from traind.service.studies.request import SubmitStudy
from traind.service.studies.study import Study
from traind.trainer.contract import errors as trainer


async def create(request: web.Request) -> web.Response:
    """Accept a study."""
    wanted = await read_as(request, SubmitStudy)
    CLIENT.set(client_of(request))
    return _told(await request.app[SERVICE].submit_study(wanted), status=202)


async def list_all(request: web.Request) -> web.Response:
    """Answer a page of studies."""
    query = read_query(request, StudiesQuery)
    states = query.status.split(",") if query.status else None
    page = await request.app[SERVICE].studies(states, query.limit, None if query.after is UNSET else query.after)
    return answer(StudiesAnswer(studies=page.studies, next=page.next))


async def get(request: web.Request) -> web.Response:
    """Answer one study."""
    query = read_query(request, StudyQuery)
    study = await request.app[SERVICE].study(_id(request), importance=query.importance)
    return answer(StudyAnswer(study=study))


async def trials(request: web.Request) -> web.Response:
    """Answer a page of a study's trials."""
    query = read_query(request, TrialsQuery)
    found = await request.app[SERVICE].trials(_id(request), query.after, query.limit + 1)
    shown = found[: query.limit][: how_many_fit(len(encode(one)) for one in found)]
    return answer(TrialsAnswer(trials=shown, next=shown[-1].trial + 1 if len(found) > len(shown) else None))


async def events(request: web.Request) -> web.Response:
    """Answer a page of a study's events."""
    query = read_query(request, StudyEventsQuery)
    page = await request.app[SERVICE].study_events(_id(request), query.after, query.limit)
    shown = page.events[: how_many_fit(map(len, page.events))]
    body = b'{"ok":true,"events":[%b],"last_seq":%d}' % (b",".join(shown), page.last_seq)
    return web.Response(body=body, content_type="application/json")


async def delete(request: web.Request) -> web.Response:
    """Remove a study that is over, with its trials."""
    await no_body(request)
    await request.app[SERVICE].delete_study(_id(request))
    return answer(Deleted())


def verb(ask: Callable[[TrainingService, str], Awaitable[Study]]) -> Handler:
    """Return the handler of a verb."""

    async def handle(request: web.Request) -> web.Response:
        await no_body(request)
        return _told(await ask(request.app[SERVICE], _id(request)))

    return handle


def _told(study: Study, status: int = 200) -> web.Response:
    return answer(StudyAccepted(study_id=study.study_id, status=study.status), status=status)


def _id(request: web.Request) -> str:
    return request.match_info["study_id"]


GROUP: Final = "studies"
ONE: Final = "/api/studies/{study_id}"
GONE: Final = (service.StudyNotFound,)
_VERBS: Final = {
    "stop": (TrainingService.stop_study, "End a study and keep what it has found"),
    "pause": (TrainingService.pause_study, "Have a study's trials keep their place and free their slots"),
    "resume": (TrainingService.resume_study, "Let a paused study go on"),
    "cancel": (TrainingService.cancel_study, "End a study and keep nothing but its record"),
}
_EXAMPLE: Final = {
    "name": "rates",
    "spec": {"epochs": 2},
    "space": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}, "model.dropout": {"low": 0.0, "high": 0.5}},
    "trials": 4,
}
OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        method="POST",
        path="/api/studies",
        handler=create,
        summary="Search for the best spec by trials",
        group=GROUP,
        body=SubmitStudy,
        answer=StudyAccepted,
        status=202,
        errors=(
            data.DatasetNotFound,
            service.StudyIdTaken,
            service.NoSuchDevice,
            service.DiskLow,
            service.StoreFailed,
            service.SideWorkerFailed,
            service.SideWorkerBusy,
            trainer.TrainerError,
        ),
        example=_EXAMPLE,
    ),
    Operation(
        method="GET",
        path="/api/studies",
        handler=list_all,
        summary="Studies, newest first",
        group=GROUP,
        query=StudiesQuery,
        answer=StudiesAnswer,
    ),
    Operation(
        method="GET",
        path=ONE,
        handler=get,
        summary="One study: its best trial, what mattered, how the time went",
        group=GROUP,
        query=StudyQuery,
        answer=StudyAnswer,
        errors=(*GONE, service.SideWorkerFailed, service.SideWorkerBusy),
    ),
    Operation(
        method="GET",
        path=f"{ONE}/trials",
        handler=trials,
        summary="A study's trials, in order",
        group=GROUP,
        query=TrialsQuery,
        answer=TrialsAnswer,
        errors=GONE,
    ),
    Operation(
        method="GET",
        path=f"{ONE}/events",
        handler=events,
        summary="A study's events, as a page",
        group=GROUP,
        query=StudyEventsQuery,
        answer=StudyEventsAnswer,
        errors=(*GONE, service.CursorAhead),
    ),
    *(
        Operation(
            method="POST",
            path=f"{ONE}/{name}",
            handler=verb(ask),
            summary=summary,
            group=GROUP,
            answer=StudyAccepted,
            errors=(*GONE, service.StudyFinished, service.StoreFailed),
        )
        for name, (ask, summary) in _VERBS.items()
    ),
    Operation(
        method="DELETE",
        path=ONE,
        handler=delete,
        summary="Remove a study that is over, with its trials and their models",
        group=GROUP,
        answer=Deleted,
        errors=(*GONE, service.StudyNotFinished, service.JobNotFinished, service.StoreFailed),
    ),
)
