"""The websocket: each seq once from any cursor, all jobs at once, subscriptions, and clients that misbehave."""

import asyncio
import base64
import socket

import aiohttp
import msgspec
import pytest


async def receive(ws, count=None):
    """Return messages until there are `count`, or until the server closes."""
    received = []
    async with asyncio.timeout(60):
        while count is None or len(received) < count:
            message = await ws.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            received.append(msgspec.json.decode(message.data))
    return received


async def until(ws, wanted):
    """Return the first message of which `wanted` is true, and those before."""
    earlier = []
    async with asyncio.timeout(60):
        while True:
            message = await ws.receive_json()
            if wanted(message):
                return message, earlier
            earlier.append(message)


async def test_a_finished_job_is_told_whole_and_closed_with_1000(call, done):
    page = (await call.get(f"/api/train/events?job_id={done}")).json
    async with call.socket(f"/api/train/ws?job_id={done}") as ws:
        assert await receive(ws) == page["events"]
        assert ws.close_code == 1000


async def test_a_read_job_closes_at_once(call, done):
    last = (await call.get(f"/api/train/events?job_id={done}")).json["last_seq"]
    async with call.socket(f"/api/train/ws?job_id={done}&after={last}") as ws:
        assert await receive(ws) == []
        assert ws.close_code == 1000


async def test_a_client_that_returns_with_its_cursor_sees_each_seq_once(call):
    job_id = await call.train(epochs=2_000, synthetic={"rows": 500, "columns": 3}, patience=None, batch_size=16)
    seen = []
    for _ in range(5):
        async with call.socket(f"/api/train/ws?job_id={job_id}&after={len(seen)}") as ws:
            seen += [message["seq"] for message in await receive(ws, 7)]
    await call.post("/api/train/stop", {"job_id": job_id})
    async with call.socket(f"/api/train/ws?job_id={job_id}&after={len(seen)}") as ws:
        rest = await receive(ws)
    seen += [message["seq"] for message in rest]
    assert seen == list(range(1, len(seen) + 1))
    assert rest[-1]["status"] == "STOPPED"


async def test_all_jobs_begin_with_a_snapshot_and_go_on_with_states(call, done):
    async with call.socket("/api/train/ws") as ws:
        first = await ws.receive_json()
        assert first["type"] == "snapshot"
        assert done in [job["job_id"] for job in first["jobs"]]
        job_id = await call.train()
        _, earlier = await until(ws, lambda message: message.get("status") == "COMPLETED")
        assert {message["type"] for message in earlier} <= {"state", "progress", "queue"}
        states = [message["status"] for message in earlier if message.get("job_id") == job_id and "status" in message]
        assert states[0] == "QUEUED"


async def test_a_subscription_adds_a_whole_stream_and_ends_when_asked(call, done, endless):
    last = (await call.get(f"/api/train/events?job_id={done}")).json["last_seq"]
    job_id = await call.train(**endless)
    async with call.socket("/api/train/ws") as ws:
        await ws.send_json({"subscribe": done, "after": last - 3})
        await until(ws, lambda message: message.get("job_id") == done and message["seq"] == last)
        await ws.send_json({"subscribe": job_id})
        await until(ws, lambda message: message["type"] == "epoch" and message["job_id"] == job_id)
        await ws.send_json({"unsubscribe": job_id})
        await ws.send_json({"ping": 1})
        await until(ws, lambda message: message["type"] == "pong")
        await call.post("/api/train/cancel", {"job_id": job_id})
        _, earlier = await until(ws, lambda message: message.get("status") == "CANCELLED")
        assert len([message for message in earlier if message["type"] == "epoch"]) <= 64


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{", "invalid_json"),
        ("[" * 2_000, "invalid_json"),
        ("[]", "validation_failed"),
        ('{"subscribe": 1}', "validation_failed"),
        ('{"subscribe": "x", "after": -1}', "validation_failed"),
        ('{"subscibe": "x"}', "validation_failed"),
        ('{"subscribe": "no-such-job"}', "job_not_found"),
        ('{"subscribe": "DONE", "after": 99999}', "cursor_ahead"),
        (b"\x00\x01", "bad_request"),
    ],
)
async def test_what_cannot_be_understood_is_answered_and_the_socket_goes_on(call, done, sent, code):
    async with call.socket("/api/train/ws") as ws:
        if isinstance(sent, bytes):
            await ws.send_bytes(sent)
        else:
            await ws.send_str(sent.replace("DONE", done))
        message, _ = await until(ws, lambda message: message["type"] == "error")
        assert message["error"]["code"] == code
        await ws.send_json({"ping": "still there?"})
        message, _ = await until(ws, lambda message: message["type"] == "pong")
        assert message["ping"] == "still there?"


async def test_a_message_that_is_too_large_closes_with_1009(call):
    async with call.socket("/api/train/ws") as ws:
        await ws.send_str('{"ping": "' + "x" * 10_000 + '"}')
        await receive(ws)
        assert ws.close_code == 1009


async def test_refusals_come_before_the_handshake_in_the_one_shape(call, done):
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = base64.b64encode(bytes(16)).decode()
    for query, status, code in (
        ("job_id=no-such-job", 404, "job_not_found"),
        (f"job_id={done}&after=99999", 409, "cursor_ahead"),
        (f"job_id={done}&after=x", 422, "validation_failed"),
    ):
        answered = await call.get(f"/api/train/ws?{query}", headers=upgrade)
        assert (answered.status, answered.error["code"]) == (status, code)


async def test_a_plain_get_is_told_what_the_path_speaks(call):
    answered = await call.get("/api/train/ws")
    assert (answered.status, answered.error["code"]) == (400, "bad_request")


async def test_a_job_socket_takes_no_subscriptions(call, endless):
    job_id = await call.train(**endless)
    async with call.socket(f"/api/train/ws?job_id={job_id}") as ws:
        await ws.send_json({"subscribe": job_id})
        message, _ = await until(ws, lambda message: message["type"] == "error")
        assert message["error"]["code"] == "bad_request"
    await call.post("/api/train/cancel", {"job_id": job_id})


async def test_subscriptions_and_streams_are_capped(calling_on, tmp_path, limits_door):
    async with calling_on(tmp_path, limits_door(subscriptions=2), slots=1, max_watchers=2) as call:
        jobs = [await call.train(epochs=100_000, patience=None) for _ in range(3)]
        async with call.socket("/api/train/ws") as ws:
            for job_id in jobs:
                await ws.send_json({"subscribe": job_id})
            message, _ = await until(ws, lambda message: message["type"] == "error")
            assert message["error"]["code"] == "too_many_streams"
            async with call.socket("/api/train/ws"):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await call.socket("/api/train/ws")
                assert refused.value.status == 503
                assert refused.value.headers["Retry-After"]


async def test_a_client_that_does_not_read_is_dropped_and_others_see_no_gap(calling_on, tmp_path, limits_door):
    async with calling_on(tmp_path, limits_door(send_s=0.5), slots=1) as call:
        job_id = await call.train(
            epochs=100_000, patience=None, synthetic={"rows": 16, "columns": 1}, batch_size=16, report_every=1
        )
        slow = await _handshake(call, f"/api/train/ws?job_id={job_id}")
        async with call.socket(f"/api/train/ws?job_id={job_id}") as ws:
            seen = []
            async with asyncio.timeout(90):
                while await _open_streams(call) > 1:
                    seen += [message["seq"] for message in await receive(ws, 50)]
        assert seen == list(range(1, len(seen) + 1))
        slow.close()
        await call.post("/api/train/cancel", {"job_id": job_id})


async def _open_streams(call):
    figures = (await call.get("/metrics")).body.decode()
    return float(next(line.split()[1] for line in figures.splitlines() if line.startswith("traind_http_streams ")))


async def _handshake(call, path):
    """Return a raw socket that has shaken hands and never reads again; its window is small."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    sock.setblocking(False)
    host, port = call.url.removeprefix("http://").split(":")
    await loop.sock_connect(sock, (host, int(port)))
    key = base64.b64encode(bytes(16)).decode()
    head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    await loop.sock_sendall(sock, f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    assert b" 101 " in await loop.sock_recv(sock, 100)
    return sock
