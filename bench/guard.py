"""What the guard costs of a status request: python -m bench.guard [--rounds 60] [--requests 400].

Requests go straight into the protocol of a server in this process and answers are taken from it, without a socket
between: the same app with the guard and without it, in turns of some milliseconds, for what different clients send.
"""

import argparse
import asyncio
import tempfile
import time
from statistics import median
from typing import Any

from aiohttp import web
from bench.records import Repeats, show, write

from traind.service.http.server import Line
from traind.service.http.tokens import Tokens
from traind.service.service import TrainingService

TOKEN = "a-token-of-some-length-0123456789"
BEARER = f"Authorization: Bearer {TOKEN}\r\n"
OURS = "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n"  # as Chromium does
CLIENTS = {"program": "", "program, token": BEARER, "our page": OURS, "our page, token": OURS + BEARER}


class Wire(asyncio.Transport):
    """Takes what a server writes, and wakes who waits for it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 40_000), "sockname": ("127.0.0.1", 3001)})
        self.answered: asyncio.Future[bytes]

    def write(self, data: Any) -> None:
        """Hand on an answer."""
        self.answered.set_result(bytes(data))

    def writelines(self, parts: Any) -> None:
        """Hand on an answer in parts."""
        self.write(b"".join(parts))

    def is_closing(self) -> bool:
        """Say that the connection stands."""
        return False

    def close(self) -> None:
        """Have nothing to close."""

    def resume_reading(self) -> None:
        """Have nothing to resume."""

    def pause_reading(self) -> None:
        """Have nothing to pause."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--requests", type=int, default=400, help="a round")
    asyncio.run(compare(parser.parse_args()))


async def compare(asked: argparse.Namespace) -> None:
    """Measure every client with the guard and without, and show what lies between."""
    with tempfile.TemporaryDirectory(prefix="traind-bench-") as root:
        async with TrainingService(root, slots=1) as service:
            job = await service.wait((await service.submit(epochs=1, synthetic={"rows": 200})).job_id)
            head = f"GET /api/train/status?job_id={job.job_id} HTTP/1.1\r\nHost: 127.0.0.1:3001\r\n"
            head += "User-Agent: bench\r\nAccept: */*\r\n"
            servers = {
                (is_guarded, has_token): await serving(service, is_guarded=is_guarded, has_token=has_token)
                for is_guarded in (True, False)
                for has_token in (True, False)
            }
            taken: dict[str, Repeats] = {name: {"with": [], "without": []} for name in CLIENTS}
            for _ in range(asked.rounds):
                for name, more in CLIENTS.items():
                    request = f"{head}{more}\r\n".encode()
                    for kind in ("with", "without"):
                        server = servers[kind == "with", BEARER in more]
                        taken[name][kind].append(await microseconds(server, request, asked.requests))
    rows = []
    for name, one in taken.items():
        whole, bare = median(one["with"]), median(one["without"])
        rows.append(
            (name, f"{whole:.1f}", f"{bare:.1f}", f"{whole - bare:.2f}", f"{100 * (whole - bare) / whole:.1f} %")
        )
    show("The guard's part of GET status", ("sent by", "us", "without guard", "guard", "part"), rows)
    write("guard", taken)


async def serving(service: TrainingService, *, is_guarded: bool, has_token: bool) -> web.Server:
    """Return the server of an app, with its guard or without."""
    app = service.web_app(tokens=Tokens({"bench": TOKEN}) if has_token else None)
    if not is_guarded:
        del app.middlewares[-1]
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    assert runner.server is not None
    return runner.server


async def microseconds(server: web.Server, request: bytes, times: int) -> float:
    """Return the processor time that one request takes of the loop's thread, on a connection that stays open."""
    loop = asyncio.get_running_loop()
    wire = Wire()
    line = Line(server, loop=loop, access_log=None, auto_decompress=False)
    line.connection_made(wire)
    await asyncio.sleep(0)
    began = time.thread_time()
    for _ in range(times):
        wire.answered = loop.create_future()
        line.data_received(request)
        answer = await wire.answered
        await asyncio.sleep(0)
    took = time.thread_time() - began
    assert answer.startswith(b"HTTP/1.1 200"), answer
    line.connection_lost(None)
    return 1e6 * took / times


if __name__ == "__main__":
    main()
