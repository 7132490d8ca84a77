"""Follows each request: an id that every log line about it carries, one line when it is answered, its figures.

Paths are logged without their query, and headers not at all.
"""

import logging
import re
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from traind.service.http.context import TELEMETRY, VERSION
from traind.service.http.errors import shown_path
from traind.service.http.guard import CALLER
from traind.service.telemetry import JOB_ID, REQUEST_ID

LOG = logging.getLogger("traind.http")
ID_HEADER = "X-Request-ID"
ID = web.RequestKey("traind_request_id", str)
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HARDENING = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "traind-version": VERSION,
}


@web.middleware
async def follow(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its id, then log and count how it was answered."""
    given = request.headers.get(ID_HEADER, "")
    request[ID] = given if given and _GIVEN_ID.fullmatch(given) else request.app[TELEMETRY].new_id()
    REQUEST_ID.set(request[ID])
    job_id = request.query.get("job_id") or request.match_info.get("job_id")
    if job_id is not None:
        JOB_ID.set(job_id[:64])
    started = time.perf_counter()
    response = await handler(request)
    _tell(request, response, time.perf_counter() - started)
    return response


def _tell(request: web.Request, response: web.StreamResponse, seconds: float) -> None:
    resource = request.match_info.route.resource
    call = f"{request.method} {resource.canonical}" if resource else "(nothing)"
    is_stream = not isinstance(response, web.Response)
    request.app[TELEMETRY].answered(call, response.status, None if is_stream else seconds)
    if LOG.isEnabledFor(logging.INFO):
        facts = {"call": call, "status": response.status, "seconds": round(seconds, 6), "remote": request.remote}
        said = (request.method, shown_path(request), response.status, seconds * 1_000)
        LOG.info("%s %s %s in %.1f ms", *said, extra={**facts, "caller": request.get(CALLER)})


def harden(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that every answer of ours has, where it has none of its own; a host's answers are its own."""
    if ID not in request:
        return
    headers = response.headers
    for name, value in _HARDENING.items():
        headers.setdefault(name, value)
    headers[ID_HEADER] = request[ID]
