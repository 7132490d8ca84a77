"""The guard: decides which requests are let in before any handler runs. Denies by default.

In order: Host (against DNS rebinding), Origin and Sec-Fetch-Site (against other sites' pages), content encoding
(against compressed bombs), the bearer token, the host program's `authorize`. One middleware around every route,
websocket and page, and around paths that do not exist.
"""

import base64
import binascii
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from multidict import istr

from traind.service.errors import Forbidden
from traind.service.http.callers import network_of
from traind.service.http.errors import (
    BadRequest,
    HostNotAllowed,
    OriginNotAllowed,
    TooManyAttempts,
    Unauthorized,
    UnsupportedMedia,
)
from traind.service.http.telemetry import CALLER, ROLE
from traind.service.http.tokens import FailedAttempts, Tokens
from traind.service.validation.explain import Problem
from traind.service.validation.validate import refusal

Authorize = Callable[[web.Request], bool | Awaitable[bool]]
OWN_SITES: Final = ("same-origin", "none")  # of Sec-Fetch-Site; "same-site" is any other port of this host
ANY_ADDRESS: Final = frozenset({"0.0.0.0", "[::]"})  # noqa: S104 - as a host: the address a connection came in on
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
SUBPROTOCOL: Final = "traind"
TOKEN_SUBPROTOCOL: Final = "traind.token."  # noqa: S105 - followed by the token, base64url without padding
SITE: Final = istr("Sec-Fetch-Site")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9_.:\[\]-]{1,90}")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_PORT = re.compile(r":[0-9]{1,5}\Z")
_PREFLIGHT = {  # what a page of an allowed origin may send
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, PUT, PATCH, DELETE",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type, Last-Event-ID, X-Request-ID",
    hdrs.ACCESS_CONTROL_MAX_AGE: "600",
}
_EXPOSED = "ETag, Retry-After, traind-version, X-Request-ID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one app lets in. `hosts=None` leaves the Host header to the embedding app."""

    hosts: frozenset[str] | None  # lower case; without a port: on any port
    origins: frozenset[str] = frozenset()
    tokens: Tokens | None = None
    authorize: Authorize | None = None
    attempts: FailedAttempts = field(default_factory=FailedAttempts)


@dataclass(frozen=True, slots=True)
class Openings:
    """Handlers with exceptions from the guard's rules."""

    without_token: frozenset[Handler]  # the page, its assets, liveness
    from_links: frozenset[Handler]  # may be opened by a link on another site
    assets: frozenset[Handler] = frozenset()  # the page's scripts and styles, which are no secret
    for_viewers: frozenset[Handler] = frozenset()  # a viewer's token may call these: they read or predict


def make_hosts(names: Iterable[str]) -> frozenset[str]:
    """Return the allow-list of Host headers; raises `InvalidSpec` for names that can never match."""
    hosts = frozenset(name.strip().lower() for name in names)
    for host in hosts - ANY_ADDRESS:
        if not re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?", host):
            problem = f"must be names such as example.org or example.org:3001, got {host!r}"
            raise refusal([Problem("hosts", problem)], "The door")
    return hosts


def make_origins(names: Iterable[str]) -> frozenset[str]:
    """Return the allow-list of Origin headers; raises `InvalidSpec` for names that can never match."""
    origins = frozenset(name.strip().lower().rstrip("/") for name in names)
    for origin in origins:
        if not re.fullmatch(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?", origin):
            problem = f"must be such as https://example.org or http://localhost:8080, got {origin!r}"
            raise refusal([Problem("origins", problem)], "The door")
    return origins


def make_guard(policy: Policy, openings: Openings) -> Middleware:
    """Return the middleware that lets a request through or raises an error.

    It runs before every answer, so decisions that depend on few headers are cached by their values.
    """
    hosts, tokens, attempts, authorize = policy.hosts, policy.tokens, policy.attempts, policy.authorize

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers
        host = headers.get(hdrs.HOST)  # at most one: the parser refuses two
        if hosts is not None and not (host and _is_listed(host, hosts) and request.raw_path.startswith("/")):
            _check_host(request, hosts)
        origin, site = headers.get(hdrs.ORIGIN), headers.get(SITE)
        if origin is not None or site is not None:
            is_one = origin is None or len(headers.getall(hdrs.ORIGIN)) == 1
            if not (is_one and _is_welcome(origin, site, host, policy.origins)):
                _check_link(request, openings)
            if hdrs.ACCESS_CONTROL_REQUEST_METHOD in headers and request.method == hdrs.METH_OPTIONS:
                return web.Response(status=204, headers=_PREFLIGHT)
        if hdrs.CONTENT_ENCODING in headers or hdrs.TRANSFER_ENCODING in headers:
            _check_encoding(request)
        if tokens is not None and handler not in openings.without_token:
            caller = attempts.trusted.get(headers.get(hdrs.AUTHORIZATION, ""))
            caller = caller or _authenticate(request, tokens, attempts)
            CALLER.set(caller)
            if caller in tokens.viewers:
                _check_viewer(request, handler, openings)
        if authorize is not None:
            await _ask_host(request, authorize)
        return await handler(request)

    return guard


def _check_encoding(request: web.Request) -> None:
    """Refuse compressed bodies and transfer encodings other than chunked, which would be misread."""
    if hdrs.CONTENT_ENCODING in request.headers:
        raise UnsupportedMedia("Compressed bodies are not taken.", hint="Send it without Content-Encoding.")
    if [one.strip().lower() for one in request.headers.getall(hdrs.TRANSFER_ENCODING)] != ["chunked"]:
        raise BadRequest("Transfer-Encoding is chunked here, and nothing else.", headers={hdrs.CONNECTION: "close"})


def _check_host(request: web.Request, allowed: frozenset[str]) -> None:
    """Refuse a host name that is not allowed, in the Host header or in an absolute target (RFC 9112, 3.2.2)."""
    named = request.headers.get(hdrs.HOST)
    if named is not None and all(_is_ours(request, name, allowed) for name in (named, request.host)):
        return
    shown = "none" if named is None else named[:100]
    name = _PORT.sub("", shown) if _NAME.fullmatch(_PORT.sub("", shown)) else "NAME"
    hint = f"If that is the name it is reached by, start it with `--allow-host {name}`, or TRAIND_ALLOW_HOST={name}."
    raise HostNotAllowed(f"This server does not answer to the host {shown!r}.", hint=hint)


def _is_ours(request: web.Request, host: str, allowed: frozenset[str]) -> bool:
    if _is_listed(host, allowed):
        return True
    if not allowed & ANY_ADDRESS or request.transport is None:
        return False
    return _is_address(host, request.transport.get_extra_info("sockname")[0])


@lru_cache(maxsize=1024)
def _is_listed(host: str, allowed: frozenset[str]) -> bool:
    """Return whether a Host header is in the allow-list, with or without its port."""
    whole = host.lower()
    name = _PORT.sub("", whole)
    return name not in ANY_ADDRESS and (whole in allowed or name in allowed)


@lru_cache(maxsize=1024)
def _is_address(host: str, address: str) -> bool:
    """Return whether a Host header is the address that a connection came in on, with any port."""
    return _PORT.sub("", host) == (f"[{address}]" if ":" in address else address)


@lru_cache(maxsize=1024)
def _is_welcome(origin: str | None, site: str | None, host: str | None, allowed: frozenset[str]) -> bool:
    """Return whether the request is from one of traind's own pages or from an allowed origin."""
    if origin is not None and origin.lower() in allowed:
        return True
    is_ours = site is None or site.lower() in OWN_SITES
    return is_ours and (origin is None or _is_same_origin(origin, host or ""))


def _is_same_origin(origin: str, host: str) -> bool:
    """Return whether an Origin is that of traind's own pages, by the host that the client used."""
    try:
        parts = urlsplit(origin.lower())
        default = {"http": ":80", "https": ":443"}[parts.scheme]
    except (KeyError, ValueError):
        return False
    return bool(host) and parts.netloc.removesuffix(default) == host.lower().removesuffix(default)


def _check_link(request: web.Request, openings: Openings) -> None:
    """Refuse requests from pages of other sites; a link there may open the page, and nothing else.

    The page's own scripts and styles are not secret, and browsers let no other site read them. They pass unless the
    browser names another site, so that behind a proxy that changes Host the page can say what is wrong.
    """
    origin = request.headers.get(hdrs.ORIGIN)
    is_other = request.headers.get(SITE, OWN_SITES[0]).lower() not in OWN_SITES
    if request.match_info.handler in openings.assets and not is_other:
        return
    is_link = (
        request.method == hdrs.METH_GET
        and request.headers.get("Sec-Fetch-Mode") == "navigate"
        and request.headers.get("Sec-Fetch-Dest") == "document"
    )
    if is_link and origin is None and request.match_info.handler in openings.from_links:
        return
    shown = "another site" if origin is None else origin[:100]
    site = shown if origin is not None and _ORIGIN.fullmatch(shown) else "https://SITE"
    hint = (
        f"Let it in with `--allow-origin {site}`, or TRAIND_ALLOW_ORIGIN={site}; where traind is embedded, "
        "with origins=(...). If this is traind's own page behind a proxy, have the proxy pass the Host header on "
        "(nginx: `proxy_set_header Host $http_host;`), and name that host with `--allow-host`."
    )
    raise OriginNotAllowed(f"Pages of {shown} may not use this server.", hint=hint)


def cors_headers(request: web.Request, policy: Policy) -> dict[str, str]:
    """Return the CORS headers for an allowed origin; only `Vary` for others."""
    origin = request.headers.get(hdrs.ORIGIN, "").lower()
    if origin not in policy.origins:
        return {hdrs.VARY: hdrs.ORIGIN}
    return {
        hdrs.VARY: hdrs.ORIGIN,
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: request.headers[hdrs.ORIGIN],
        hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: _EXPOSED,
    }


def _authenticate(request: web.Request, tokens: Tokens, attempts: FailedAttempts) -> str:
    """Return the caller's name, or raise `Unauthorized` or `TooManyAttempts`."""
    sent = _token_of(request)
    if sent is None:
        raise _unauthorized("This server wants a token.")
    header, token = sent
    address = network_of(request.remote or "")
    if not attempts.is_proven(address, header) and (wait_s := attempts.wait_s(address)):
        headers = {"Retry-After": str(int(wait_s) + 1)}
        raise TooManyAttempts("Too many wrong tokens came from this address.", headers=headers)
    name = tokens.name_of(token)
    if name is None:
        attempts.failed(address)
        raise _unauthorized("That token is not one of this server's.")
    attempts.succeeded(address, header, name)
    return name


def _check_viewer(request: web.Request, handler: Handler, openings: Openings) -> None:
    """Refuse calls that change something; a path that does not exist is answered with 404 as usual."""
    ROLE.set("viewer")
    if handler not in openings.for_viewers and request.match_info.http_exception is None:
        raise Forbidden(
            "A viewer's token reads and predicts; this changes something.", hint="Use an operator's token."
        )


def _unauthorized(message: str) -> Unauthorized:
    hint = "Send it as `Authorization: Bearer <token>`."
    return Unauthorized(message, hint=hint, headers={"WWW-Authenticate": "Bearer"})


def _token_of(request: web.Request) -> tuple[str, bytes] | None:
    """Return the header with the token, and the token; None without one."""
    header = request.headers.get(hdrs.AUTHORIZATION, "")
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return header, token.strip().encode("utf-8", "surrogateescape")
    header = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "")
    for name in header.split(","):
        encoded = name.strip()
        if encoded.startswith(TOKEN_SUBPROTOCOL):
            return header, _from_base64(encoded.removeprefix(TOKEN_SUBPROTOCOL))
    return None


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("The token in the subprotocol is not base64url.") from None


async def _ask_host(request: web.Request, authorize: Authorize) -> None:
    """Call the host program's `authorize`; raises `Forbidden` unless it returns a true value."""
    answer = authorize(request)
    if inspect.isawaitable(answer):
        answer = await answer
    if not answer:
        raise Forbidden("You may not do that here.")
