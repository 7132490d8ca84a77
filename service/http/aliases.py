"""The calls about aliases: list, set, history, remove."""

from typing import Final

from aiohttp import web
from msgspec import UNSET

from traind.data import errors as data
from traind.service import errors as service
from traind.service.http.bodies import no_body, read_as
from traind.service.http.callers import while_connected
from traind.service.http.context import SERVICE
from traind.service.http.operation import EXAMPLE_ID, PREDICT, Operation
from traind.service.http.requests import AliasPath, AliasRequest
from traind.service.http.schemas import AliasAnswer, AliasesAnswer, AliasHistoryAnswer, Deleted, answer, facts
from traind.service.validation.validate import parse
from traind.trainer.contract.errors import TrainerError


async def list_all(request: web.Request) -> web.Response:
    """Answer every alias with the job it points at."""
    return facts({"aliases": await request.app[SERVICE].aliases()})


async def put(request: web.Request) -> web.Response:
    """Point an alias at a job's model."""
    wanted = await read_as(request, AliasRequest)
    setting = request.app[SERVICE].set_alias(_name(request), wanted.job_id, wanted.if_better)
    made = await while_connected(request, setting)
    assert made is not None
    compared = UNSET if made.comparison is None else made.comparison
    return answer(AliasAnswer(name=made.name, job_id=made.job_id, is_moved=made.is_moved, comparison=compared))


async def get(request: web.Request) -> web.Response:
    """Answer an alias with its history."""
    return answer(AliasHistoryAnswer(alias=await request.app[SERVICE].alias(_name(request))))


async def delete(request: web.Request) -> web.Response:
    """Remove an alias."""
    await no_body(request)
    await request.app[SERVICE].set_alias(_name(request), None)
    return answer(Deleted())


def _name(request: web.Request) -> str:
    """Return the alias in the path; raises `InvalidSpec` for a wrong name."""
    return parse(dict(request.match_info), AliasPath, what="The alias").name


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        method="GET",
        path="/api/models/aliases",
        handler=list_all,
        summary="Every alias, and the job it points at",
        group="models",
        answer=AliasesAnswer,
    ),
    Operation(
        method="PUT",
        path="/api/models/aliases/{name}",
        handler=put,
        summary="Point an alias at a job's model, if wanted only if it is better",
        group="models",
        body=AliasRequest,
        answer=AliasAnswer,
        errors=(
            *PREDICT,
            service.StoreFailed,
            service.NotBetter,
            data.DatasetNotFound,
            data.BadTable,
            TrainerError,
        ),
        example={"job_id": EXAMPLE_ID},
    ),
    Operation(
        method="GET",
        path="/api/models/aliases/{name}",
        handler=get,
        summary="An alias and its history",
        group="models",
        answer=AliasHistoryAnswer,
        errors=(service.InvalidSpec, service.AliasNotFound),
    ),
    Operation(
        method="DELETE",
        path="/api/models/aliases/{name}",
        handler=delete,
        summary="Remove an alias",
        group="models",
        answer=Deleted,
        errors=(service.InvalidSpec, service.StoreFailed),
    ),
)
