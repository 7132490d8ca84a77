"""How fast GET status is: python -m bench.http [--seconds 3] [--repeats 5].

Against a bare aiohttp handler that answers the same bytes, in turns, each server in a process of its own. The load
is this process: connections that stay open and ask again as soon as they are answered. The share of requests a second
holds where the servers kept about a core busy; where they did not, the load or other work on the machine was the
limit, and the share of processor time a request is the one to look at.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.records import Repeats, in_turns, ratio, show, write
from bench.server import cpu_s, free_port, serving

ROOT = Path(__file__).parent.parent


class Asker(asyncio.Protocol):
    """One connection that asks without pause."""

    def __init__(self, request: bytes) -> None:
        self.answers = 0
        self._request = request
        self._unread = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Ask again once the answer is whole."""
        self._unread += data
        head, end, body = self._unread.partition(b"\r\n\r\n")
        if not end:
            return
        assert head.startswith(b"HTTP/1.1 200"), head
        size = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        if len(body) >= size:
            self.answers += 1
            self._unread = b""
            self._transport.write(self._request)

    def leave(self) -> None:
        """Close the connection at once."""
        self._transport.abort()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load, a server and turn")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with serving(slots=2) as server:
        finished = server.job()["job_id"]
        results = {"a finished job, slots idle": compare(server.port, server.process.pid, finished, asked)}
        running = [server.busy(), server.busy()][0]
        results["a running job, slots busy"] = compare(server.port, server.process.pid, running, asked)
    write("http", results)


def compare(port: int, pid: int, job_id: str, asked: argparse.Namespace) -> dict[str, Repeats]:
    """Compare traind with the bare handler on one job's status; print the table."""
    path = f"/api/train/status?job_id={job_id}"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        body = answer.read()
    costs: Repeats = {"traind": [], "bare aiohttp": []}

    def loaded(name: str, port: int, pid: int) -> Callable[[], float]:
        def measure() -> float:
            before, began = cpu_s(pid), time.perf_counter()
            answers = asyncio.run(load(port, path, asked))
            costs[name].append(1e6 * (cpu_s(pid) - before) / answers)
            return answers / (time.perf_counter() - began)

        return measure

    with bare(body) as (bare_port, bare_pid):
        contenders = {
            "traind": loaded("traind", port, pid),
            "bare aiohttp": loaded("bare aiohttp", bare_port, bare_pid),
        }
        rates = in_turns(contenders, asked.repeats)
    costs = {name: values[1:] for name, values in costs.items()}  # the round that is not counted
    rows: list[tuple[str, ...]] = [
        (
            name,
            f"{median(rates[name]):.0f}",
            f"{median(costs[name]):.0f}",
            f"{1e-6 * median(rates[name]) * median(costs[name]):.2f}",
        )
        for name in rates
    ]
    shares = (ratio(rates, "traind", "bare aiohttp"), ratio(costs, "bare aiohttp", "traind"))
    rows.append(("traind's share of bare", *(f"{100 * share:.0f} %" for share in shares), ""))
    title = f"GET status, {len(body)} bytes, {asked.connections} connections, job {job_id}"
    show(title, ("", "requests a second", "us of processor a request", "cores"), rows)
    return {"requests_per_s": rates, "cpu_us": costs}


@contextmanager
def bare(body: bytes) -> Iterator[tuple[int, int]]:
    """Run the bare handler; yields its port and process."""
    port = free_port()
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        process = subprocess.Popen([sys.executable, "-m", "bench.bare", file.name, str(port)], cwd=ROOT)
        try:
            while not _answers(port):
                assert process.poll() is None, "the bare server ended"
                time.sleep(0.01)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(30)


async def load(port: int, path: str, asked: argparse.Namespace) -> int:
    """Return how many answers came in the time asked for."""
    loop = asyncio.get_running_loop()
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    askers = [
        (await loop.create_connection(lambda: Asker(request), "127.0.0.1", port))[1] for _ in range(asked.connections)
    ]
    await asyncio.sleep(asked.seconds)
    for asker in askers:
        asker.leave()
    return sum(asker.answers for asker in askers)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/train/status"):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    main()
