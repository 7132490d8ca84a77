"""The calls about webhooks: list them, look at deliveries, send a test. Targets come from the operator alone."""

from typing import Final

from aiohttp import web

from traind.service.errors import InvalidSpec, StoreFailed, WebhookNotFound
from traind.service.http.bodies import no_body, read_query
from traind.service.http.context import SERVICE
from traind.service.http.operation import Operation
from traind.service.http.requests import AliasPath
from traind.service.http.schemas import (
    answer,
    facts,
)
from traind.service.http.webhook_schemas import DeliveriesAnswer, DeliveriesQuery, WebhooksAnswer, WebhookTested
from traind.service.validation.validate import parse


async def list_all(request: web.Request) -> web.Response:
    """Answer every webhook."""
    return facts({"webhooks": await request.app[SERVICE].webhook_list()})


async def deliveries(request: web.Request) -> web.Response:
    """Answer a webhook's newest deliveries."""
    query = read_query(request, DeliveriesQuery)
    found = await request.app[SERVICE].webhook_deliveries(_name(request), query.limit)
    return answer(DeliveriesAnswer(deliveries=found))


async def test(request: web.Request) -> web.Response:
    """Have a test message delivered."""
    await no_body(request)
    return answer(WebhookTested(webhook_id=await request.app[SERVICE].test_webhook(_name(request))), status=202)


def _name(request: web.Request) -> str:
    return parse(dict(request.match_info), AliasPath, what="The webhook").name


OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        method="GET",
        path="/api/webhooks",
        handler=list_all,
        summary="Every webhook that the operator has named",
        group="webhooks",
        answer=WebhooksAnswer,
    ),
    Operation(
        method="GET",
        path="/api/webhooks/{name}/deliveries",
        handler=deliveries,
        summary="A webhook's newest deliveries",
        group="webhooks",
        query=DeliveriesQuery,
        answer=DeliveriesAnswer,
        errors=(InvalidSpec, WebhookNotFound),
    ),
    Operation(
        method="POST",
        path="/api/webhooks/{name}/test",
        handler=test,
        summary="Have a test message delivered",
        group="webhooks",
        answer=WebhookTested,
        status=202,
        errors=(InvalidSpec, WebhookNotFound, StoreFailed),
    ),
)
