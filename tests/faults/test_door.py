"""Crowds at the door: idle and dripping connections by the hundred, a thousand readers that do not read."""

import asyncio
import base64
import contextlib
import socket
import time

import pytest
from bad_inputs import TOKEN, running

MEGABYTE = 1024 * 1024
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
async def test_five_hundred_idle_and_five_hundred_dripping_connections_are_closed(tmp_path):
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


async def test_fifty_readers_that_do_not_read_cost_little_and_others_see_every_event(tmp_path):
    await crowd(tmp_path, count=50, seconds=1)


@pytest.mark.faults
async def test_a_thousand_readers_that_do_not_read_cost_little_and_others_see_every_event(tmp_path):
    await crowd(tmp_path, count=1_000, seconds=45)
