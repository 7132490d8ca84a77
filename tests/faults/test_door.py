"""Crowds at the door: idle and dripping connections, readers that do not read, readers that come again and again."""

import asyncio
import base64
import contextlib
import random
import socket
import time

import aiohttp
import pytest
from tally import seeds
from target import TOKEN, running

MEGABYTE = 1024 * 1024
LONG = {
    "epochs": 400,
    "patience": None,
    "report_every": 1,
    "batch_size": 16,
    "synthetic": {"rows": 2_000, "columns": 3},
}
ENDLESS = {"epochs": 100_000, "patience": None, "report_every": 1, "batch_size": 16}


async def health_times(target, until):
    """Return how long each /health took until the task is done."""
    times = []
    while not until.done():
        began = time.perf_counter()
        assert await target.request("GET", "/health") == 200
        times.append(time.perf_counter() - began)
        await asyncio.wait({until}, timeout=0.02)
    return sorted(times)


async def flood(target, each):
    """Open idle connections and ones that drip heads and bodies; return how long the last one stayed open."""
    began = time.perf_counter()
    idle = [await asyncio.open_connection(target.host, target.port) for _ in range(each)]
    dripping = [await asyncio.open_connection(target.host, target.port) for _ in range(each)]
    head = f"POST /api/train HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 900\r\n\r\n{"

    async def drip(place, reader, writer):
        writer.write(b"GET /health HTTP/1.1\r\nHost: " if place % 2 else head.encode())
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b" ")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await reader.read()
        writer.close()

    async def wait(reader, writer):
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    waits = [drip(place, *pair) for place, pair in enumerate(dripping)]
    await asyncio.gather(*waits, *(wait(*pair) for pair in idle))
    return time.perf_counter() - began


@pytest.mark.faults
async def test_five_hundred_idle_and_five_hundred_dripping_connections_are_closed(tmp_path, tally):
    with tally.case("idle or dripping connection") as case:
        case.asked = 1_000
        await stood_the_flood(tmp_path)


async def stood_the_flood(tmp_path):
    async with running(tmp_path) as target:
        crowd = asyncio.create_task(flood(target, 500))
        times = await health_times(target, crowd)
        p99 = times[int(len(times) * 0.99)]
        print(f"\n1,000 connections: all closed after {crowd.result():.1f} s, /health p99 {p99 * 1_000:.0f} ms")
        assert crowd.result() < 25  # 15 s, a drip, and what opening them took
        assert p99 < 0.25


async def slow_reader(target, job_id):
    """Return a socket that has shaken hands for a job's events and never reads again."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.setblocking(False)
    await loop.sock_connect(sock, (target.host, target.port))
    key = base64.b64encode(bytes(16)).decode()
    head = f"GET /api/train/ws?job_id={job_id} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    await loop.sock_sendall(sock, f"{head}Sec-WebSocket-Key: {key}\r\n\r\n".encode())
    assert b" 101 " in await loop.sock_recv(sock, 64)
    return sock


async def crowd(tmp_path, count, seconds):
    async with running(tmp_path) as target, target.session.post(f"{target.url}/api/train", json=ENDLESS) as accepted:
        job_id = (await accepted.json())["job_id"]
        before = target.resident_bytes()
        slow = [await slow_reader(target, job_id) for _ in range(count)]
        seen, most = [], before
        async with target.session.ws_connect(f"{target.url}/api/train/ws?job_id={job_id}") as ws:
            began = time.perf_counter()
            while time.perf_counter() - began < seconds or len(seen) < 100:
                seen.append((await ws.receive_json())["seq"])
                most = max(most, target.resident_bytes())
        print(f"\n{count} slow readers: at most {(most - before) / MEGABYTE:.1f} MB more")
        print(f"{len(seen)} events without a gap beside them")
        for sock in slow:
            sock.close()
        assert seen == list(range(1, len(seen) + 1))
        assert most - before < 100 * MEGABYTE


async def test_fifty_readers_that_do_not_read_cost_little_and_others_see_every_event(tmp_path, tally):
    with tally.case("reader that does not read") as case:
        case.asked = 50
        await crowd(tmp_path, count=50, seconds=1)


@pytest.mark.faults
async def test_a_thousand_readers_that_do_not_read_cost_little_and_others_see_every_event(tmp_path, tally):
    with tally.case("reader that does not read") as case:
        case.asked = 1_000
        await crowd(tmp_path, count=1_000, seconds=45)


async def come_again_and_again(session, url, chance):
    """Read a job to its end over ever new connections; return what was seen, and how many they were."""
    seen, connections = [], 0
    while True:
        connections += 1
        try:
            async with session.ws_connect(f"{url}&after={len(seen)}") as ws:
                until = len(seen) + chance.randint(1, 40)
                while len(seen) < until:
                    message = await ws.receive()
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        assert message.data == 1000, message
                        return seen, connections
                    seen.append(message.json()["seq"])
        except aiohttp.WSServerHandshakeError as refused:
            if refused.status not in {429, 503}:  # as many as there may be are connected
                raise
            await asyncio.sleep(chance.uniform(0.05, 0.2))


async def storm(case, tmp_path, count):
    chance = random.Random(case.seed)
    async with running(tmp_path) as target:
        async with target.session.post(f"{target.url}/api/train", json=LONG) as accepted:
            job_id = (await accepted.json())["job_id"]
        url = f"{target.url}/api/train/ws?job_id={job_id}"
        at_once = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=at_once, headers=target.session.headers) as session:
            readers = [come_again_and_again(session, url, random.Random(chance.random())) for _ in range(count)]
            read = asyncio.gather(*readers)
            times = await health_times(target, read)
        async with target.session.get(f"{target.url}/api/train/status?job_id={job_id}") as answer:
            last = (await answer.json())["status"]["seq"]
    case.asked = sum(connections for _, connections in read.result())
    p99 = times[int(len(times) * 0.99)]
    print(f"\n{count} readers came {case.asked} times for {last} events each, /health p99 {p99 * 1_000:.0f} ms")
    assert all(seen == list(range(1, last + 1)) for seen, _ in read.result())


async def test_readers_that_come_again_and_again_see_each_event_once(tmp_path, tally):
    with tally.case("reader that comes again", 5) as case:
        await storm(case, tmp_path, count=8)


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_a_storm_of_readers_that_come_again_and_again_see_each_event_once(tmp_path, tally):
    for seed in seeds([6]):
        with tally.case("reader that comes again", seed) as case:
            await storm(case, tmp_path, count=300)
