"""The environment of a command: variables, the current folder, and, in a container, orphaned processes.

Other programs set variables of the same names: conda's `HOST` is a platform, and for a service called `traind`
Kubernetes sets `TRAIND_PORT=tcp://...`. Values that are no address or port are ignored with a message.
"""

import asyncio
import contextlib
import ipaddress
import os
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from traind.service.cli.entry import MISUSED, Failed
from traind.trainer.contract.process_tree import children, is_zombie

PORT_MAX = 65_535
REAP_S = 1.0  # between two searches for orphans


def host_of(environment: Mapping[str, str], ignored: list[str]) -> str | None:
    """Return the address in TRAIND_HOST, or else HOST; a message about an ignored value is added to `ignored`."""
    if own := environment.get("TRAIND_HOST"):
        return own
    host = environment.get("HOST")
    if not host or host == "localhost" or _is_address(host) or host == socket.gethostname():
        return host or None
    ignored.append(f"HOST={host} is ignored: it is no address of this machine. TRAIND_HOST or --host names one.")
    return None


def port_of(environment: Mapping[str, str], ignored: list[str]) -> int | None:
    """Return the port in TRAIND_PORT, or else PORT; a message about an ignored value is added to `ignored`.

    Raises `Failed` for a wrong TRAIND_PORT, except a URL, which Kubernetes sets.
    """
    for name in ("TRAIND_PORT", "PORT"):
        text = environment.get(name)
        if not text:
            continue
        if text.isascii() and text.isdigit() and int(text) <= PORT_MAX:
            return int(text)
        if name == "TRAIND_PORT" and "://" not in text:
            raise Failed(f"TRAIND_PORT={text} is no port: a number from 0 to {PORT_MAX}.", code=MISUSED)
        ignored.append(f"{name}={text} is ignored: it is no port. --port names one.")
    return None


def search_here() -> None:
    """Add the current folder to the module search path, as `python -m` does, so that own trainers are found."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


async def reap_orphans(own: Callable[[], set[int]]) -> None:
    """Reap ended orphans, as process 1 of a container has to, until cancelled.

    Orphans are children that stay zombies from one look to the next, except those in `own()`, which the service waits
    for. SIGCHLD cannot be used: it is the event loop's.
    """
    seen: set[int] = set()
    while True:
        ended = {pid for pid in children(os.getpid()) if is_zombie(pid)} - own()
        for pid in ended & seen:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - it has ended
        seen = ended
        await asyncio.sleep(REAP_S)


def _is_address(text: str) -> bool:
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(text)
        return True
    return False
