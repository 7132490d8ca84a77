"""The client of a request, for queues and limits; work whose client has left is cancelled.

aiohttp does not tell a handler that its client has left, so the connection is watched during the work.
"""

import asyncio
import ipaddress
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiohttp import web

from traind.service.http.telemetry import CALLER
from traind.service.processes.lane import CLIENT

T = TypeVar("T")
LOOK_EVERY_S = 0.1
_SITE_BITS = 64  # of an IPv6 address: the network of one customer, who may choose any address in it


def network_of(address: str) -> str:
    """Return the client of an address: the IPv4 address, or the /64 network of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, _SITE_BITS), strict=False))


def client_of(request: web.Request) -> str:
    """Return the client whose share of the side worker a request uses: the token's name, or the address.

    Programs of this machine without a token are distinguished by their connections.
    """
    if name := CALLER.get():
        return f"token {name}"
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    if not isinstance(peer, tuple):
        return request.remote or ""
    address, port = str(peer[0]), peer[1]
    is_here = address in ("127.0.0.1", "::1")
    return f"{address} {port}" if is_here else network_of(address)


async def while_connected(request: web.Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`, counted for the request's client.

    Cancels it and raises `ConnectionError` when the client has left: nobody would read the answer.
    """
    CLIENT.set(client_of(request))
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait((task,), timeout=LOOK_EVERY_S)
            if not task.done() and (request.transport is None or request.transport.is_closing()):
                raise ConnectionError("the client has left")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
