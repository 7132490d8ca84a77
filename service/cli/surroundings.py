"""What a command finds around it: the environment, the current folder, and, in a container, orphans.

Other programs set variables of the same names: conda's `HOST` is a platform, and for a service called `traind`
Kubernetes sets `TRAIND_PORT=tcp://...`. What is no address or port is left alone, and said.
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
REAP_S = 1.0  # between two looks for orphans


def host_of(environment: Mapping[str, str], ignored: list[str]) -> str | None:
    """Return the address that the environment names, TRAIND_HOST before HOST; say in `ignored` what was none."""
    if own := environment.get("TRAIND_HOST"):
        return own
    host = environment.get("HOST")
    if not host or host == "localhost" or _is_address(host) or host == socket.gethostname():
        return host or None
    ignored.append(f"HOST={host} is ignored: it is no address of this machine. TRAIND_HOST or --host names one.")
    return None


def port_of(environment: Mapping[str, str], ignored: list[str]) -> int | None:
    """Return the port that the environment names, TRAIND_PORT before PORT; say in `ignored` what was none.

    Raises `Failed` where TRAIND_PORT is wrong, and not somebody else's.
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
    """Have modules in the current folder found, as `python -m` does: trainers are named by module and function."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


async def reap_orphans(own: Callable[[], set[int]]) -> None:
    """Reap, as process 1 of a container, ended processes that were left to this one, until it is cancelled.

    Those are its children that nobody has waited for from one look to the next, its `own` left out. No signal tells
    of them: SIGCHLD is the event loop's, and uvloop keeps it for itself.
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
