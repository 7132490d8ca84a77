"""The calls about the server's health: liveness, readiness, Prometheus metrics."""

import shutil

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from traind.service.http.context import SERVICE, STREAMS, TELEMETRY, VERSION
from traind.service.http.errors import NotReady
from traind.service.http.schemas import (
    HealthAnswer,
    SlotsInUse,
    answer,
)
from traind.service.http.telemetry import Telemetry
from traind.service.results import Figures
from traind.service.service import TrainingService
from traind.trainer.contract.events import Status

DROPPED = "Points that went as part of a later one, or not to a watcher; a job's events lack none"
RESTARTS = "Workers replaced because they died, by what they did then"


async def health(request: web.Request) -> web.Response:
    """Answer that the server lives; with `ready`, whether submitted jobs would run."""
    state = request.app[SERVICE].health()
    if "ready" in request.query and not state["is_ready"]:
        problems = " ".join(state["problems"]) or "The workers are starting."
        raise NotReady(f"Not ready: {problems}")
    slots = SlotsInUse(state["slots"]["busy"], state["slots"]["total"])
    parts = {name: state[name] for name in ("queued", "uptime_s", "is_ready", "problems", "cluster")}
    return answer(HealthAnswer(version=VERSION, slots=slots, **parts))


async def metrics(request: web.Request) -> web.Response:
    """Answer the metrics of this service."""
    service, telemetry = request.app[SERVICE], request.app[TELEMETRY]
    _gather(service, telemetry, await service.figures())
    telemetry.streams.set(len(request.app[STREAMS]))
    return web.Response(body=generate_latest(telemetry.registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def _gather(service: TrainingService, telemetry: Telemetry, figures: Figures) -> None:
    """Set the gauges, which show the present state."""
    state = service.health()
    for status in Status:
        telemetry.jobs.labels(status.value).set(figures.jobs.get(status.value, 0))
    telemetry.slots.set(state["slots"]["total"])
    telemetry.busy.set(state["slots"]["busy"])
    if (cluster := state["cluster"]) is not None:
        telemetry.nodes.set(len(cluster.nodes))
        telemetry.seats.set(sum(node.seats for node in cluster.nodes))
    telemetry.watchers.set(state["watchers"])
    telemetry.disk.set(shutil.disk_usage(service.layout.root).free)
    telemetry.rate.set(figures.samples_per_s)
    dropped = {"worker": telemetry.coalesced, "overview": figures.thinned, "slow_watcher": figures.dropped}
    telemetry.totals.tell("traind_points_dropped", DROPPED, dropped, "at")
    telemetry.totals.tell(
        "traind_slot_restarts", RESTARTS, {"training": telemetry.deaths, **figures.lost_workers}, "while"
    )
