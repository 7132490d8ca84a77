"""Builds the aiohttp application of one service: routes, guard, errors, page. No globals, no signal handlers.

It runs alone (`http.server`) or below any prefix of another app, and any number of times in one process.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable

from aiohttp import web
from aiohttp.typedefs import Handler

from traind.service.http import docs, openapi
from traind.service.http.bodies import expect_later
from traind.service.http.context import (
    ENCODED,
    EXPORTS,
    LIMITS,
    SERVICE,
    STREAMS,
    TELEMETRY,
    Encoded,
    Exports,
    Limits,
    Streams,
)
from traind.service.http.errors import answer_errors
from traind.service.http.guard import (
    LOOPBACK_NAMES,
    Authorize,
    Openings,
    Policy,
    cors_headers,
    make_guard,
    make_hosts,
    make_origins,
)
from traind.service.http.operation import Operation
from traind.service.http.operations import OPERATIONS
from traind.service.http.pages import SAMPLE, add_slash, load_assets, load_sample, show
from traind.service.http.request_log import harden, make_follower
from traind.service.http.telemetry import Telemetry
from traind.service.http.tokens import Tokens
from traind.service.service import TrainingService


def build_app(
    service: TrainingService,
    *,
    hosts: Iterable[str] | None = (),
    origins: Iterable[str] = (),
    authorize: Authorize | None = None,
    tokens: Tokens | None = None,
    limits: Limits | None = None,
) -> web.Application:
    """Return the app of a service, which starts and closes it unless the host program already started it.

    Args:
        service: the service that the app calls.
        hosts: allowed host names beside loopback, each with or without a port; `0.0.0.0` or `[::]` allows the address
            that a connection came in on; None leaves the Host header to the host program.
        origins: other web origins whose pages may use it (`https://example.org`).
        authorize: called for every request; the answer is 403 unless it returns a true value.
        tokens: the accepted tokens; None: no token is needed.
        limits: sizes and times for one client; None: the defaults.
    """
    policy = Policy(
        hosts=None if hosts is None else make_hosts([*LOOPBACK_NAMES, *hosts]),
        origins=make_origins(origins),
        tokens=tokens,
        authorize=authorize,
    )
    limits = limits or Limits()
    assets = {f"/page/{name}": show(asset) for name, asset in load_assets().items()}
    assets[f"/page/{SAMPLE}"] = show(load_sample())
    entries = {"/": assets.pop("/page/index.html"), "": add_slash, **docs.make_pages(OPERATIONS)}
    open_handlers = [*entries.values(), *assets.values(), *(one.handler for one in OPERATIONS if one.is_open)]
    document = openapi.make_handler(OPERATIONS)
    openings = Openings(
        without_token=frozenset(open_handlers),
        from_links=frozenset(entries.values()),
        assets=frozenset(assets.values()),
        for_viewers=_for_viewers() | {document},
    )
    telemetry = Telemetry()
    app = web.Application(middlewares=(make_follower(telemetry), answer_errors, make_guard(policy, openings)))
    app[SERVICE], app[LIMITS], app[ENCODED] = service, limits, Encoded()
    app[STREAMS], app[TELEMETRY] = Streams(service.settings.max_watchers), telemetry
    app[EXPORTS] = Exports(service.settings.max_exports)
    for path, handler in {**entries, **assets, openapi.PATH: document}.items():
        for method in ("GET", "HEAD"):
            app.router.add_route(method, path, handler, expect_handler=expect_later)
    for operation in OPERATIONS:
        for method in _methods(operation):
            app.router.add_route(method, operation.path, operation.handler, expect_handler=expect_later)
    _add_signals(app, policy)
    return app


def _for_viewers() -> frozenset[Handler]:
    """Return the handlers that a viewer's token may call: those that read, and predictions."""
    return frozenset(
        one.handler
        for one in OPERATIONS
        if (one.method == "GET" if one.is_for_viewers is None else one.is_for_viewers)
    )


def _methods(operation: Operation) -> tuple[str, ...]:
    """Return the methods of a call's route: GET has HEAD too, except for streams."""
    is_stream = operation.is_websocket or "text/event-stream" in operation.media
    return ("GET", "HEAD") if operation.method == "GET" and not is_stream else (operation.method,)


def _add_signals(app: web.Application, policy: Policy) -> None:
    """Have the app start and close its service, end streams at shutdown, and add headers to each response."""

    async def run(_app: web.Application) -> AsyncIterator[None]:
        service, telemetry = app[SERVICE], app[TELEMETRY]
        is_ours = not service.is_open
        if is_ours:
            await service.__aenter__()
        observers = service.observers
        observers.append(telemetry.observe)
        lag = asyncio.create_task(telemetry.measure_lag(), name="traind-lag")
        yield
        lag.cancel()
        observers.remove(telemetry.observe)
        if is_ours:
            await service.close()

    async def end_streams(_app: web.Application) -> None:
        app[STREAMS].end()

    async def finish(request: web.Request, response: web.StreamResponse) -> None:
        harden(request, response)
        if policy.origins:
            response.headers.update(cors_headers(request, policy))

    app.cleanup_ctx.append(run)
    app.on_shutdown.append(end_streams)
    app.on_response_prepare.append(finish)
