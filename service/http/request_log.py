"""Logs each request: an id for all its log lines, one line when it is answered, and its metrics.

Paths are logged without their query, and headers not at all.
"""

import logging
import re
import time
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from multidict import CIMultiDict, istr

from traind.service.http.context import VERSION
from traind.service.http.errors import shown_path
from traind.service.http.telemetry import CALLER, JOB_ID, REQUEST_ID, Telemetry

LOG = logging.getLogger("traind.http")
ID_HEADER: Final = istr("X-Request-ID")
ID = web.RequestKey("traind_request_id", str)
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ALWAYS: Final = CIMultiDict(
    {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        "Server": "traind",  # without the versions of Python and aiohttp
        "traind-version": VERSION,
    }
)
_UNLESS_OWN: Final = (
    (hdrs.CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (hdrs.CACHE_CONTROL, "no-store"),
)


def make_follower(telemetry: Telemetry) -> Middleware:
    """Return the middleware that gives a request its id, then logs and counts how it was answered."""

    @web.middleware
    async def follow(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get(ID_HEADER)
        request_id = telemetry.new_id() if given is None or not _GIVEN_ID.fullmatch(given) else given
        request[ID] = request_id
        REQUEST_ID.set(request_id)
        match = request.match_info
        job_id = request.query.get("job_id") or match.get("job_id")
        if job_id is not None:
            JOB_ID.set(job_id[:64])
        started = time.perf_counter()
        response = await handler(request)
        seconds = time.perf_counter() - started
        resource = match.route.resource
        call = f"{request.method} {resource.canonical}" if resource else "(nothing)"
        telemetry.requests.count(call, response.status, seconds if isinstance(response, web.Response) else None)
        if LOG.isEnabledFor(logging.DEBUG):
            _log(request, call, response.status, seconds)
        return response

    return follow


def _log(request: web.Request, call: str, status: int, seconds: float) -> None:
    facts = {"call": call, "status": status, "seconds": round(seconds, 6)}
    facts |= {"remote": request.remote, "caller": CALLER.get()}
    LOG.debug("%s %s %s in %.1f ms", request.method, shown_path(request), status, seconds * 1_000, extra=facts)


def harden(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers of all traind's answers; answers of a host program are left alone."""
    if ID not in request:
        return
    headers = response.headers
    headers.update(_ALWAYS)
    for name, value in _UNLESS_OWN:
        headers.setdefault(name, value)
    headers[ID_HEADER] = request[ID]
