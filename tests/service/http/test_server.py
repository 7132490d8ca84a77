"""The server at the level of sockets: what is not HTTP, what drips, what never reads, and where it may listen."""

import asyncio
import json
import resource
import socket
import zlib

import pytest

from traind.service.errors import ServiceError
from traind.service.http.context import Limits
from traind.service.http.errors import BadRequest, PortInUse, TokenNeeded
from traind.service.http.server import Door, is_loopback, serve
from traind.service.http.tokens import parse_tokens

MEGABYTE = 1024 * 1024


async def dial(call):
    host, port = call.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def exchange(call, request):
    """Send bytes, return everything that comes back until the server closes."""
    reader, writer = await dial(call)
    writer.write(request)
    try:
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.close()


def error_of(answer):
    """Return the status and code of a raw answer in the one shape."""
    head, _, body = answer.partition(b"\r\n\r\n")
    said = json.loads(body)
    assert said["ok"] is False
    return int(head.split()[1]), said["error"]["code"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X-Y: z\r\n" * 500 + b"\r\n",
        b"POST /api/train HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"POST /api/train HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}",
        b"POST /api/train HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    ],
)
async def test_what_is_not_http_is_refused_in_the_one_shape(call, request_bytes):
    assert error_of(await exchange(call, request_bytes)) == (400, "bad_request")
    assert (await call.get("/health")).status == 200


@pytest.mark.parametrize(
    "head",
    [
        "GET /health HTTP/1.1",
        "GET /health HTTP/1.0",
        "GET /health HTTP/1.1\r\nHost: evil.example",
        "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example",
        "GET http://evil.example/health HTTP/1.1\r\nHost: localhost",
        "GET http://localhost/health HTTP/1.1\r\nHost: evil.example",
        "GET /health HTTP/1.1\r\nHost: localhost@evil.example",
        "GET /health HTTP/1.1\r\nHost: ",
    ],
)
async def test_only_one_host_of_ours_opens_the_door(call, head):
    status, code = error_of(await exchange(call, f"{head}\r\nConnection: close\r\n\r\n".encode()))
    assert (status, code) in ((403, "host_not_allowed"), (400, "bad_request"))


async def test_an_expectation_is_met_only_when_the_body_is_wanted(call):
    asks = "Host: localhost\r\nContent-Type: {}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
    asks += "Connection: close\r\n\r\n"
    refused = await exchange(call, f"POST /api/train HTTP/1.1\r\n{asks.format('text/plain')}".encode())
    assert error_of(refused) == (415, "unsupported_media_type")
    reader, writer = await dial(call)
    writer.write(f"POST /api/train?dry_run=x HTTP/1.1\r\n{asks.format('application/json')}".encode())
    assert b"422" in await reader.readline()
    writer.close()
    reader, writer = await dial(call)
    writer.write(f"POST /api/train/stop HTTP/1.1\r\n{asks.format('application/json')}".encode())
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    writer.write(b"{}")
    assert error_of((await reader.read()).partition(b"\r\n")[2]) == (422, "validation_failed")
    writer.close()


async def test_bodies_beyond_their_call_are_refused_before_and_while_they_come(call):
    said = await call.post("/api/train", data=b"{" + b" " * 65_536, headers={"Content-Type": "application/json"})
    assert (said.status, said.error["code"]) == (413, "body_too_large")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    head = b"POST /api/train HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    assert error_of(await exchange(call, head + chunk + chunk))[0] == 413


async def test_a_bomb_is_refused_and_costs_no_memory(call):
    packer = zlib.compressobj(9, wbits=31)
    bomb = (packer.compress(bytes(64 * MEGABYTE)) + packer.flush()) * 16  # members in a row are one stream: 1 GB
    assert len(bomb) < 2 * MEGABYTE
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for method, path in (("POST", "/api/train"), ("POST", "/api/models/x/predict"), ("PUT", "/api/datasets/bomb")):
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        answered = await call(method, path, data=bomb, headers=headers)
        assert (answered.status, answered.error["code"]) == (415, "unsupported_media_type")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


@pytest.fixture
def impatient(calling_on, tmp_path):
    """A server that waits a quarter of a second where others wait ten or fifteen."""
    limits = Limits(body_s=0.25, slowest_bytes_s=1_000_000)
    return calling_on(tmp_path, Door(port=0, keepalive_s=0.25, connections=60, limits=limits), slots=1)


async def test_idle_and_dripping_connections_are_closed_and_health_answers_throughout(impatient):
    async with impatient as call:
        idle = [await dial(call) for _ in range(20)]
        heads = [await dial(call) for _ in range(10)]
        bodies = [await dial(call) for _ in range(10)]
        for _, writer in heads:
            writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        for _, writer in bodies:
            head = b"POST /api/train HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            writer.write(head + b"Content-Length: 9\r\n\r\n{")
        assert (await call.get("/health")).status == 200
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*(reader.read() for reader, _ in [*idle, *heads, *bodies]))
        assert set(answers[:30]) == {b""}
        assert {error_of(answer) for answer in answers[30:]} == {(408, "body_timeout")}
        for _, writer in [*idle, *heads, *bodies]:
            writer.close()


async def test_a_dripping_upload_is_cut_off_and_leaves_nothing(impatient):
    async with impatient as call:
        reader, writer = await dial(call)
        writer.write(b"PUT /api/datasets/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\na,b\n")
        async with asyncio.timeout(30):
            assert error_of(await reader.read()) == (408, "body_timeout")
        writer.close()
        assert not [path for path in call.service.layout.datasets_dir.rglob("*") if path.is_file()]


async def test_connections_beyond_the_cap_are_told_to_come_back(calling_on, tmp_path):
    async with calling_on(tmp_path, Door(port=0, connections=3), slots=1) as call:
        held = [await dial(call) for _ in range(3)]
        answer = await exchange(call, b"")
        assert error_of(answer) == (503, "too_many_connections")
        assert b"Retry-After: " in answer
        for _, writer in held:
            writer.close()


async def test_a_port_in_use_is_a_sentence(tmp_path, open_root):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        service = open_root(tmp_path)
        with pytest.raises(PortInUse, match=f"127.0.0.1:{port}: address already in use") as refused:
            async with serve(service, Door(port=port)):
                pass
    assert "--port" in (refused.value.hint or "")
    assert not service.is_open


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "train.example"])
async def test_the_network_needs_a_token(tmp_path, host, open_root):
    assert not is_loopback(host)
    with pytest.raises(TokenNeeded, match="token"):
        async with serve(open_root(tmp_path), Door(host=host, port=0)):
            pass


@pytest.mark.parametrize(("host", "port"), [("no-such-host.invalid", 0), ("127.0.0.1", 70_000), ("192.0.2.7", 0)])
async def test_an_address_that_cannot_be_is_a_sentence(tmp_path, host, port, open_root):
    door = Door(host=host, port=port, tokens=parse_tokens("token", "test"))
    with pytest.raises(ServiceError) as refused:
        async with serve(open_root(tmp_path), door):
            pass
    assert isinstance(refused.value, BadRequest | PortInUse)
    assert host in refused.value.message


async def test_a_server_on_all_addresses_answers_to_the_one_that_was_dialled(tmp_path, calling_on):
    door = Door(host="0.0.0.0", port=0, tokens=parse_tokens("token", "test"))
    async with calling_on(tmp_path, door, slots=1) as call:
        port = call.url.rsplit(":", 1)[1]
        for host, status in (("127.0.0.1", 200), (f"127.0.0.1:{port}", 200), ("0.0.0.0", 403), ("192.0.2.7", 403)):
            answered = await call.session.get(f"http://127.0.0.1:{port}/health", headers={"Host": host})
            assert answered.status == status, host


async def test_two_servers_on_one_root_are_told_apart(tmp_path, calling_on, open_root):
    async with calling_on(tmp_path, slots=1) as call:
        with pytest.raises(ServiceError) as refused:
            async with serve(open_root(tmp_path), Door(port=0)):
                pass
        assert refused.value.code == "root_busy"
        assert (await call.get("/health")).status == 200
