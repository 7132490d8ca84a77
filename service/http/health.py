"""How the server is: liveness, readiness, figures for Prometheus."""

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from traind.service.http.answers import HealthAnswer, SlotsInUse, answer
from traind.service.http.context import SERVICE, STREAMS, TELEMETRY, VERSION
from traind.service.http.errors import NotReady


async def health(request: web.Request) -> web.Response:
    """Answer that the server lives, and with `ready` whether it takes jobs."""
    state = request.app[SERVICE].health()
    if "ready" in request.query and not state["is_ready"]:
        problems = " ".join(state["problems"]) or "The workers are starting."
        raise NotReady(f"Not ready: {problems}")
    slots = SlotsInUse(state["slots"]["busy"], state["slots"]["total"])
    parts = {name: state[name] for name in ("queued", "uptime_s", "is_ready", "problems")}
    return answer(HealthAnswer(version=VERSION, slots=slots, **parts))


async def metrics(request: web.Request) -> web.Response:
    """Answer the figures of this service."""
    service, telemetry = request.app[SERVICE], request.app[TELEMETRY]
    counts = await service.engine.journal.store.counts()
    telemetry.gather(service.health(), counts, service.layout.root)
    telemetry.streams.set(len(request.app[STREAMS]))
    telemetry.dropped.set(service.engine.feed.dropped)
    return web.Response(body=generate_latest(telemetry.registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
