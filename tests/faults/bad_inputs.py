"""Thousands of inputs that are wrong in some way, made from a seed, and the server that has to live with them.

Each kind is a generator of coroutines that send one input and return the status that came back (None where the
server only closed).
"""

import asyncio
import base64
import copy
import gzip
import json
import random
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from functools import cache

import aiohttp
from target import TOKEN, Target

PATHS = (
    "/api/train/status",
    "/api/train/jobs",
    "/api/train/events",
    "/api/train/logs",
    "/api/train/curve",
    "/api/train/ws",
    "/api/models/{}",
    "/api/models/{}/export",
    "/api/models/aliases/{}",
    "/api/datasets/{}",
    "/api/datasets/{}/preview",
    "/page/{}",
    "/{}",
)
POSTS = ("/api/train", "/api/train/stop", "/api/train/pause", "/api/train/resume", "/api/train/cancel")
WORDS = (
    "..",
    "%2e%2e",
    "%00",
    "%2f",
    "%252f",
    "etc/passwd",
    "a" * 300,
    "\u202e",
    "'",
    '"',
    "<script>",
    "$(id)",
    "-1",
    "~",
)
VALUES = (
    None,
    True,
    -1,
    0,
    1e308,
    2**64,
    -(2**70),
    "",
    "\u0000",
    "x" * 5_000,
    [],
    {},
    [[]],
    {"": None},
    "NaN",
    "auto",
    1.5,
)
SPEC = {
    "epochs": 1,
    "batch_size": 16,
    "lr": 0.01,
    "synthetic": {"rows": 100, "columns": 2},
    "model": {"kind": "mlp", "hidden": [8], "dropout": 0.0},
    "validation": {"fraction": 0.2, "kind": "random"},
    "tags": ["a"],
    "options": {},
    "max_seconds": 5,
}
TABLE = b"name,age,city,price\n" + b"".join(b"n%d,%d,c%d,%d.5\n" % (row, row % 60, row % 5, row) for row in range(60))
UPGRADE = (
    "GET /api/train/ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    f"Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n"
)
Send = Callable[[Target], Awaitable[int | None]]


def inputs(seed: int, count: int) -> Iterator[tuple[str, Send]]:
    """Yield `count` inputs of all kinds, the same for the same seed."""
    chance = random.Random(seed)
    kinds = (
        mutated_spec,
        mangled_json,
        wild_verb,
        wild_path,
        wild_query,
        raw_http,
        socket_frames,
        mangled_file,
        wild_rows,
        bomb,
    )
    for place in range(count):
        kind = kinds[place % len(kinds)]
        yield kind.__name__, kind(random.Random(chance.random()))


def mutated_spec(chance: random.Random) -> Send:
    """A spec with one to three values replaced, added or removed, at any depth; never one that trains."""
    spec = json.loads(json.dumps(SPEC))
    for _ in range(chance.randint(1, 3)):
        place = chance.choice([spec, spec["model"], spec["validation"], spec["synthetic"]])
        if isinstance(place, dict):
            name = chance.choice([*place, "epoch", "", "x" * 200, "__class__"])
            place[name] = copy.deepcopy(chance.choice(VALUES))  # what is put in may be changed next
        for name in ("model", "validation", "synthetic"):
            if not isinstance(spec.get(name), dict):
                spec[name] = {}
    spec["no_such_field"] = 1
    return lambda target: target.request("POST", "/api/train", json=spec)


def mangled_json(chance: random.Random) -> Send:
    """JSON with bytes changed, cut or repeated."""
    body = _mangled(json.dumps(SPEC).encode(), chance) + b"!"
    return lambda target: _post(target, chance.choice(POSTS), body)


def wild_verb(chance: random.Random) -> Send:
    """A verb for a job that cannot be."""
    body = {"job_id": chance.choice([*VALUES, *WORDS])}
    path = chance.choice(POSTS[1:])
    return lambda target: target.request("POST", path, json=body)


def wild_path(chance: random.Random) -> Send:
    """A path whose id or name is hostile, with any method."""
    filled = "/".join(chance.choice(WORDS) for _ in range(chance.randint(1, 4)))
    path = chance.choice(PATHS).format(filled if chance.random() < 0.5 else filled.replace("/", "%2f"))
    head = f"{chance.choice(['GET', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'BREW'])} {path} HTTP/1.1\r\n"
    return lambda target: target.raw(_request(target, head))


def wild_query(chance: random.Random) -> Send:
    """Parameters that are not numbers, too large, twice, unknown or not text."""
    names = ("job_id", "after", "limit", "status", "format", "rows", "points", "token", "\u0000")
    values = [*WORDS, "1e9", "9" * 400, "null", "[]", "\ud83d\ude00"]
    query = [(chance.choice(names), chance.choice(values)) for _ in range(chance.randint(1, 4))]
    path = chance.choice(PATHS).format("x")
    return lambda target: target.request("GET", path, params=query)


def raw_http(chance: random.Random) -> Send:
    """A request whose bytes are changed, cut or repeated."""

    def send(target: Target) -> Awaitable[int | None]:
        body = json.dumps({**SPEC, "no_such_field": 1}).encode()
        head = f"POST /api/train HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return target.raw(_mangled(_request(target, head) + body, chance))

    return send


def socket_frames(chance: random.Random) -> Send:
    """A websocket whose frames are random: opcodes, lengths, masks, fragments, bad UTF-8."""
    frames = b""
    for _ in range(chance.randint(1, 6)):
        payload = chance.choice([b"{", b'{"subscribe": "x"}', b"\xff\xfe", chance.randbytes(30), b'{"ping": 1}'])
        length = len(payload) if chance.random() < 0.8 else chance.randint(0, 125)
        frames += bytes([chance.randint(0, 255), 128 | length]) + bytes(4) + payload
    if chance.random() < 0.2:
        frames += bytes([0x81, 0xFF]) + struct.pack(">Q", 2**62) + bytes(4)
    return lambda target: target.raw(_request(target, UPGRADE) + frames)


def mangled_file(chance: random.Random) -> Send:
    """A table with bytes changed, under a name and kind that may be wrong too."""
    body = _mangled(TABLE, chance)
    name = chance.choice(["ok-name", ".hidden", "a" * 70, "x%2fy", "name"])
    kind = chance.choice(["csv", "tsv", "jsonl", "parquet", "csv.gz", "exe"])
    return lambda target: target.request("PUT", f"/api/datasets/{name}", params={"format": kind}, data=body)


def wild_rows(chance: random.Random) -> Send:
    """Rows for a model that is not there, in no shape that rows have."""
    body = {chance.choice(["rows", "columns", "row"]): chance.choice([*VALUES, [{"a": value} for value in VALUES]])}
    return lambda target: target.request("POST", "/api/models/x/predict", json=body)


def bomb(chance: random.Random) -> Send:
    """Few bytes that become many where they are unpacked: as a body, a frame or a table; or that nest deeply."""
    packed = _packed()
    kind = chance.choice(["gzip", "deflate", "br", "zstd"])
    coded = {"Content-Type": "application/json", "Content-Encoding": kind}
    nested = chance.choice([b"[", b'{"a":']) * 10_000
    return chance.choice(
        [
            lambda target: target.request("POST", "/api/train", data=packed, headers=coded),
            lambda target: target.request(
                "PUT", "/api/datasets/bomb", data=packed, headers={"Content-Encoding": kind}
            ),
            lambda target: target.request("PUT", "/api/datasets/bomb", params={"format": "csv.gz"}, data=packed),
            lambda target: _post(target, "/api/train", nested),
            lambda target: target.raw(_request(target, UPGRADE) + b"\xc1\xfe\x40\x00" + bytes(4) + packed),
        ]
    )


@cache
def _packed() -> bytes:
    return gzip.compress(b"0" * 20_000_000)


def _request(target: Target, head: str) -> bytes:
    return f"{head}Host: {target.host}:{target.port}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()


async def _post(target: Target, path: str, body: bytes) -> int:
    return await target.request("POST", path, data=body, headers={"Content-Type": "application/json"})


def _mangled(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with some changed, cut out, doubled or put in."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        place = chance.randrange(len(changed)) if changed else 0
        match chance.randrange(4):
            case 0:
                changed[place : place + 1] = chance.randbytes(1)
            case 1:
                del changed[place : place + chance.randint(1, 20)]
            case 2:
                changed[place:place] = changed[place : place + 20] * chance.randint(1, 50)
            case _:
                changed[place:place] = chance.choice([b"\x00", b"\r\n", b'"', b"{" * 100, b"\xff", b",", b"9" * 400])
    return bytes(changed)


async def endure(target: Target, seed: int, count: int, at_once: int = 8) -> tuple[Counter[str], float]:
    """Send the inputs, some at once; return how often each answer came, and the slowest /health meanwhile."""
    answers: Counter[str] = Counter()
    slowest = 0.0
    waiting = inputs(seed, count)

    async def work() -> None:
        for kind, send in waiting:
            try:
                status = await send(target)
            except (aiohttp.ClientError, ConnectionError):
                status = None
            if target.process.returncode is not None:
                raise RuntimeError(f"the server died of {kind}")
            answers[f"{kind} {status}"] += 1

    workers = [asyncio.create_task(work()) for _ in range(at_once)]
    while not all(worker.done() for worker in workers):
        began = time.perf_counter()
        assert await target.request("GET", "/health") == 200
        slowest = max(slowest, time.perf_counter() - began)
        await asyncio.wait(workers, timeout=0.05)
    await asyncio.gather(*workers)
    return answers, slowest
