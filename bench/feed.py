"""How soon a step is seen, and what being watched costs: python -m bench.feed [--clients 1000] [--seconds 8].

Two slots train without end. First one websocket client a job notes how long each progress event took, from its
date in the worker to its arrival: one clock, one machine. Then windows without and with a crowd of clients on one
job take turns. A job tells 20 steps a second in its first minute and fewer later, so each pair of windows has a new
one. Every client must see every event, and what that costs is processor time, of the server a second and of the
worker a step. The clients are this process: bare sockets that do no more than look at each event's number and date.
"""

import argparse
import asyncio
import resource
import statistics
import time
from collections.abc import Sequence

import msgspec
from bench.records import Repeats, ratio, say, show, write
from bench.server import Server, cpu_s, serving
from msgspec import Struct

SETTLED_S = 1.0
OPENING = 50  # handshakes at once
HANDSHAKE = (
    "GET /api/train/ws?job_id={job_id}&after={after} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TEXT, CLOSE, PING = 0x81, 0x88, 0x89
PONG = b"\x8a\x80\0\0\0\0"


class Seen(Struct):
    """What a client reads of an event."""

    seq: int
    ts: float
    type: str


_decode = msgspec.json.Decoder(Seen).decode


class Client(asyncio.Protocol):
    """One websocket on one job."""

    def __init__(self, hello: bytes) -> None:
        self.seqs: list[int] = []
        self.delays: list[float] = []  # of progress events, in ms
        self.is_closed = False
        self.is_open = asyncio.get_running_loop().create_future()
        self._hello = hello
        self._unread = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the websocket."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        """Note what arrived, and when."""
        arrived = time.time()
        data = self._unread + data
        if not self.is_open.done():
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._unread = head
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self.is_open.set_result(None)
        self._unread = self._read(data, arrived)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember that the server, or this client, left."""
        self.is_closed = True
        if not self.is_open.done():
            self.is_open.set_exception(exc or ConnectionError("closed before it was open"))

    def leave(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    def _read(self, data: bytes, arrived: float) -> bytes:
        """Take every whole frame; return the rest."""
        at = 0
        while len(data) - at >= 4:
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(data[at + 2 : at + 4]), at + 4
            if start + size > len(data):
                break
            self._take(data[at], data[start : start + size], arrived)
            at = start + size
        return data[at:]

    def _take(self, kind: int, body: bytes, arrived: float) -> None:
        if kind == PING:
            self._transport.write(PONG)
        elif kind == TEXT:
            event = _decode(body)
            self.seqs.append(event.seq)
            if event.type == "progress":
                self.delays.append(1e3 * (arrived - event.ts))
        else:
            self.is_closed |= kind == CLOSE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=8.0, help="of a window; the delays are of two")
    parser.add_argument("--repeats", type=int, default=4, help="windows without and with the crowd")
    asked = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with serving(slots=2) as server:
        jobs = [server.busy(), server.busy()]
        time.sleep(SETTLED_S)
        found = asyncio.run(delays(server, jobs, 2 * asked.seconds))
        show_delays(found)
        server.discard(jobs[0])
        costs, missed = asyncio.run(crowd(server, jobs[1], asked))
    show_crowd(asked.clients, costs, missed)
    write("feed", {"clients": asked.clients, "delays_ms": found, "crowd": costs, "missed": missed})


async def delays(server: Server, jobs: Sequence[str], seconds: float) -> list[float]:
    """Return how long each progress event took to one client a job, in ms."""
    clients = [await connect(server, job_id) for job_id in jobs]
    await asyncio.sleep(seconds)
    for client in clients:
        client.leave()
    return [delay for client in clients for delay in client.delays]


async def crowd(server: Server, other: str, asked: argparse.Namespace) -> tuple[Repeats, int]:
    """Return what windows without and with the crowd cost, and how many events any client missed.

    The `other` job is watched by nobody: what its steps cost more is what a busy machine costs.
    """
    costs: Repeats = {}
    missed = 0
    for turn in range(asked.repeats):
        job_id = await asyncio.to_thread(server.busy)
        await window(server, (job_id, other), asked.seconds, "alone", costs)
        clients: list[Client] = []
        while len(clients) < asked.clients:
            count = min(OPENING, asked.clients - len(clients))
            clients += await asyncio.gather(*(connect(server, job_id) for _ in range(count)))
        await asyncio.sleep(SETTLED_S)
        before = len(clients[0].seqs)
        await window(server, (job_id, other), asked.seconds, "watched", costs)
        costs.setdefault("events a second", []).append((len(clients[0].seqs) - before) / asked.seconds)
        last = clients[0].seqs[-1]
        await asyncio.sleep(SETTLED_S)  # what was on its way then has arrived
        missed += sum(unseen(client, last) for client in clients)
        costs.setdefault("delay, ms", []).extend(statistics.median(client.delays) for client in clients)
        for client in clients:
            client.leave()
        await asyncio.sleep(SETTLED_S)
        await asyncio.to_thread(server.discard, job_id)
        say(f"crowd {turn + 1} of {asked.repeats}: {costs['events a second'][-1]:.1f} events a second to each client")
    return costs, missed


async def connect(server: Server, job_id: str) -> Client:
    """Open a websocket that goes on from the newest event."""
    loop = asyncio.get_running_loop()
    after = (await loop.run_in_executor(None, server.status, job_id))["seq"]
    hello = HANDSHAKE.format(job_id=job_id, after=after, port=server.port).encode()
    _, client = await loop.create_connection(lambda: Client(hello), "127.0.0.1", server.port)
    await client.is_open
    return client


async def window(server: Server, jobs: Sequence[str], seconds: float, name: str, costs: Repeats) -> None:
    """Note the server's processor time a second and the workers' a step, that of the watched job first."""

    def look() -> tuple[float, float, list[tuple[float, int]]]:
        found = [server.status(job_id) for job_id in jobs]
        workers = [(cpu_s(status["pid"]), status["step"]) for status in found]
        return time.perf_counter(), cpu_s(server.process.pid), workers

    began, server_before, before = await asyncio.to_thread(look)
    await asyncio.sleep(seconds)
    ended, server_after, after = await asyncio.to_thread(look)
    costs.setdefault(f"{name}: server, cores", []).append((server_after - server_before) / (ended - began))
    for whose, (cpu, step), (later_cpu, later_step) in zip(("worker", "other worker"), before, after, strict=True):
        costs.setdefault(f"{name}: {whose}, us a step", []).append(1e6 * (later_cpu - cpu) / (later_step - step))


def unseen(client: Client, last: int) -> int:
    """Return how many events up to `last` a client missed; one that was dropped counts as such."""
    expected = range(client.seqs[0], last + 1)
    return len(set(expected) - set(client.seqs)) + client.is_closed


def show_delays(found: list[float]) -> None:
    ordered = sorted(found)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    row = ("ms", f"{statistics.median(ordered):.1f}", f"{p99:.1f}", f"{ordered[-1]:.1f}", len(ordered))
    show("step in the worker to websocket client, two busy slots", ("", "median", "p99", "worst", "events"), [row])


def show_crowd(clients: int, costs: Repeats, missed: int) -> None:
    rows = [(name, f"{statistics.median(values):.3f}") for name, values in costs.items()]
    for whose in ("worker", "other worker"):
        more = 100 * (ratio(costs, f"watched: {whose}, us a step", f"alone: {whose}, us a step") - 1)
        rows.append((f"{whose}'s time a step", f"{more:+.1f} %"))
    rows.append(("events missed by any client", str(missed)))
    show(f"{clients} websocket clients on one job", ("", "median"), rows)


if __name__ == "__main__":
    main()
