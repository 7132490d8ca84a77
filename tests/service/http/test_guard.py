"""The door, tried on every route of the router as it is at run time: a new route is covered by itself."""

import asyncio
import base64
import re

import aiohttp
import pytest
import pytest_asyncio
from multidict import CIMultiDict

from traind.service.http.server import Door
from traind.service.http.tokens import parse_tokens

TOKEN = "s3cret-canary-token"
OPEN = {"/", "", "/docs", "/docs.css", "/health", "/api/health"}
TAKE_NO_BODY = {
    "/api/webhooks/{name}/test",
    *(f"/api/studies/{{study_id}}/{verb}" for verb in ("stop", "pause", "resume", "cancel")),
}
FILLED = {"job_id": "no-such-job", "name": "no-such-name", "study_id": "no-such-study"}
BODIES = {"POST": "{}", "PATCH": "{}", "PUT": "a,b\n1,2\n", "DELETE": None, "GET": None}
FOREIGN_HOSTS = ("evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0")
FOREIGN_ORIGINS = ("https://evil.example", "http://localhost:1", "null", "file://", "http://127.0.0.1", "garbage")
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(tmp_path_factory, calling_on):
    """A server that asks for a token, with pages of one other origin let in."""
    tokens = parse_tokens(f"# who\nalice:{TOKEN}\nbob:another-token", "test")
    door = Door(port=0, tokens=tokens, origins=("https://friend.example",), hosts=("train.example",))
    async with calling_on(tmp_path_factory.mktemp("guarded"), door, slots=1) as call:
        yield call


def routes(call):
    """Return the method, pattern and a filled path of every route."""
    app = call.service.web_app()
    found = [(route.method, route.resource.canonical) for route in app.router.routes() if route.method != "HEAD"]
    assert len(found) > 30
    return [(method, path, re.sub(r"{(\w+)}", lambda name: FILLED[name[1]], path) or "/") for method, path in found]


def is_open(path):
    return path in OPEN or path.startswith("/page/")


def bearer(token=TOKEN):
    return {"Authorization": f"Bearer {token}"}


def sent(method, **headers):
    """Return the options of a request that is well formed but for what `headers` say."""
    kind = {"POST": "application/json", "PATCH": "application/json", "PUT": "text/csv"}.get(method)
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"data": BODIES[method], "headers": ({"Content-Type": kind} if kind else {}) | shown}


async def test_every_route_but_page_and_liveness_asks_for_a_token(guarded):
    for method, path, filled in routes(guarded):
        for extra in ({}, UPGRADE):
            answered = await guarded(method, filled, **sent(method, **extra))
            if is_open(path):
                assert answered.status < 400, path
            else:
                assert (answered.status, answered.error["code"]) == (401, "unauthorized"), path
                assert answered.headers["WWW-Authenticate"] == "Bearer"


async def test_what_is_asked_for_without_its_body_is_guarded_as_with_it(guarded):
    app = guarded.service.web_app()
    for route in app.router.routes():
        if route.method != "HEAD" or route.resource is None:
            continue
        path = re.sub(r"{(\w+)}", lambda name: FILLED[name[1]], route.resource.canonical) or "/"
        for headers in ({}, bearer(), {"Host": FOREIGN_HOSTS[0], **bearer()}):
            statuses = [(await guarded(method, path, headers=headers)).status for method in ("GET", "HEAD")]
            assert statuses[0] == statuses[1], (path, headers)


async def test_paths_that_do_not_exist_ask_for_a_token_too(guarded):
    assert (await guarded.get("/no/such/path")).status == 401
    assert (await guarded.get("/no/such/path", headers=bearer())).status == 404
    assert (await guarded("PATCH", "/api/train")).status == 401


async def test_with_a_token_every_route_is_reached(guarded):
    for method, path, filled in routes(guarded):
        answered = await guarded(method, filled, **sent(method, **bearer()))
        assert answered.status not in (401, 403, 500), (method, path, answered.body)


async def test_foreign_hosts_are_refused_on_every_route(guarded):
    for method, path, filled in routes(guarded):
        for host in FOREIGN_HOSTS:
            for extra in ({}, UPGRADE):
                answered = await guarded(method, filled, **sent(method, Host=host, **bearer(), **extra))
                assert (answered.status, answered.error["code"]) == (403, "host_not_allowed"), (path, host)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:99", "127.0.0.1:3001", "[::1]", "train.example", "Train.Example:8"]
)
async def test_own_hosts_are_served(guarded, host):
    assert (await guarded.get("/health", headers={"Host": host})).status == 200


async def test_foreign_origins_are_refused_on_every_route(guarded):
    for method, path, filled in routes(guarded):
        for origin in FOREIGN_ORIGINS:
            for extra in ({}, UPGRADE, {"Sec-Fetch-Site": "same-origin"}):
                answered = await guarded(method, filled, **sent(method, Origin=origin, **bearer(), **extra))
                assert "Access-Control-Allow-Origin" not in answered.headers
                if path.startswith("/page/"):  # no secret; by them the page behind a proxy can say what is wrong
                    assert answered.headers["Cross-Origin-Resource-Policy"] == "same-origin"
                    continue
                assert (answered.status, answered.error["code"]) == (403, "origin_not_allowed"), (path, origin)


async def test_an_origin_of_ours_does_not_vouch_for_another(guarded):
    for origins in ([guarded.url, "https://evil.example"], ["https://friend.example", "https://evil.example"]):
        headers = CIMultiDict([*(("Origin", origin) for origin in origins), *bearer().items()])
        assert (await guarded.get("/api/train/jobs", headers=headers)).status == 403


async def test_requests_of_other_sites_are_refused_on_every_route_even_without_an_origin(guarded):
    for method, path, filled in routes(guarded):
        for site in ("cross-site", "same-site", "whatever"):
            answered = await guarded(method, filled, **sent(method, Sec_Fetch_Site=site, **bearer()))
            assert (answered.status, answered.error["code"]) == (403, "origin_not_allowed"), (path, site)


async def test_a_link_on_another_site_opens_the_page_and_nothing_else(guarded):
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    opened = {
        path
        for method, path, filled in routes(guarded)
        if (await guarded(method, filled, **sent(method, **link))).status < 400
    }
    assert opened == {"/", "", "/docs", "/docs.css"}
    frame = {**link, "Sec-Fetch-Dest": "iframe"}
    assert (await guarded.get("/", headers=frame)).status == 403


async def test_our_own_page_may_do_everything(guarded):
    origin = {"Origin": guarded.url, "Sec-Fetch-Site": "same-origin"}
    for method, path, filled in routes(guarded):
        answered = await guarded(method, filled, **sent(method, **origin, **bearer()))
        assert answered.status not in (401, 403, 500), path


async def test_pages_of_an_allowed_origin_may_ask_and_read(guarded):
    origin = {"Origin": "https://friend.example", "Sec-Fetch-Site": "cross-site"}
    asked = await guarded("OPTIONS", "/api/train", headers={**origin, "Access-Control-Request-Method": "POST"})
    assert asked.status == 204
    assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
    assert asked.headers["Access-Control-Allow-Origin"] == "https://friend.example"
    answered = await guarded.get("/api/train/jobs", headers={**origin, **bearer()})
    assert answered.status == 200
    assert answered.headers["Access-Control-Allow-Origin"] == "https://friend.example"
    assert answered.headers["Vary"] == "Origin"
    other = await guarded(
        "OPTIONS", "/api/train", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert other.status == 403


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx", ""],
)
async def test_json_routes_take_nothing_else(guarded, content_type):
    for method, path, filled in routes(guarded):
        if method not in {"POST", "PATCH"} and (method, path) != ("PUT", "/api/models/aliases/{name}"):
            continue
        if path in TAKE_NO_BODY:
            continue
        headers = {**bearer(), "Content-Type": content_type}
        answered = await guarded(method, filled, data="{}", headers=headers)
        assert (answered.status, answered.error["code"]) == (415, "unsupported_media_type"), path


async def test_compressed_bodies_are_refused_on_every_route(guarded):
    for method, path, filled in routes(guarded):
        answered = await guarded(method, filled, **sent(method, Content_Encoding="gzip", **bearer()))
        assert answered.status == 415, path


@pytest.mark.parametrize(
    "header", ["Bearer wrong", "Bearer ", "Basic YWxpY2U6eA==", "bearer", TOKEN, "Bearer \xff\xfe"]
)
async def test_what_is_not_a_token_is_refused(guarded, header):
    answered = await guarded.get("/api/train/jobs", headers={"Authorization": header})
    assert answered.status in (401, 429)


async def test_tokens_in_the_address_are_no_tokens(guarded):
    assert (await guarded.get(f"/api/train/jobs?token={TOKEN}")).status == 401


async def test_a_browser_authenticates_its_websocket_by_subprotocol(guarded):
    encoded = base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
    async with guarded.socket("/api/train/ws", protocols=("traind", f"traind.token.{encoded}")) as ws:
        assert ws.protocol == "traind"
        assert (await ws.receive_json())["type"] == "snapshot"
    for wrong in ("traind.token.AAAA", "traind.token.", "traind.token.!!", "traind"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await guarded.socket("/api/train/ws", protocols=("traind", wrong))
        assert refused.value.status in (400, 401, 429)


async def test_wrong_tokens_are_limited_and_right_ones_that_were_proven_are_not(tmp_path, calling_on):
    door = Door(port=0, tokens=parse_tokens(f"a:{TOKEN}\nb:second-token", "test"))
    async with calling_on(tmp_path, door, slots=1) as call:
        assert (await call.get("/api/train/jobs", headers=bearer())).status == 200
        tried = [(await call.get("/api/train/jobs", headers=bearer("no"))) for _ in range(20)]
        assert [one.status for one in tried[:10]] == [401] * 10
        assert {one.status for one in tried[10:]} == {429}
        assert int(tried[-1].headers["Retry-After"]) >= 1
        assert tried[-1].error["code"] == "too_many_attempts"
        assert (await call.get("/api/train/jobs", headers=bearer("second-token"))).status == 429
        assert (await call.get("/api/train/jobs", headers=bearer())).status == 200
        assert (await call.get("/health")).status == 200


async def test_every_answer_is_hardened(guarded):
    for method, path, filled in routes(guarded):
        for headers in ({}, bearer()):
            answered = await guarded(method, filled, **sent(method, **headers))
            assert answered.headers["X-Content-Type-Options"] == "nosniff", path
            assert "frame-ancestors 'none'" in answered.headers["Content-Security-Policy"], path
            assert answered.headers["traind-version"], path
            assert answered.headers["X-Request-ID"], path


async def test_ids_and_names_never_become_paths(guarded, tmp_path):
    canary = guarded.service.layout.root.parent / "canary.txt"
    canary.write_text("canary-of-the-file-system")
    ups = ["../" * depth + "canary.txt" for depth in range(1, 6)]
    forms = [
        *ups,
        *(up.replace("/", "\\") for up in ups),
        str(canary),
        f"{canary}\0.pt",
        "....//canary.txt",
        "~root",
        ".",
    ]
    payloads = {
        form
        for up in forms
        for form in (up, up.replace(".", "%2e"), up.replace("/", "%2f"), up.replace("/", "%252f"))
    }
    for method, path, _ in routes(guarded):
        for payload in sorted(payloads) if "{" in path else ():
            quoted = payload.replace("/", "%2f").replace("\\", "%5c").replace("\0", "%00")
            tried = path.replace("{job_id}", quoted).replace("{name}", quoted).replace("{study_id}", quoted)
            answered = await guarded(method, tried, **sent(method, **bearer()))
            assert answered.status in (400, 401, 404, 405, 409, 415, 422), (path, payload, answered.body)
            assert b"canary-of-the-file-system" not in answered.body
    assert canary.read_text() == "canary-of-the-file-system"


async def test_gets_change_nothing(guarded):
    before = await _known(guarded)
    for method, _, filled in routes(guarded):
        if method == "GET":
            async with asyncio.timeout(10):
                await guarded.get(filled, headers=bearer())
    assert await _known(guarded) == before


async def _known(call):
    """Return what the server holds, without what training itself moves on."""
    jobs = (await call.get("/api/train/jobs", headers=bearer())).json["jobs"]
    sets = (await call.get("/api/datasets", headers=bearer())).json
    aliases = (await call.get("/api/models/aliases", headers=bearer())).json
    return [(job["job_id"], job["requested"], job["spec"]) for job in jobs], sets, aliases


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked, chunked", "identity", "gzip", "chunked, identity"])
async def test_a_body_is_sent_whole_or_chunked_and_in_no_other_way(call, coding):
    host, port = call.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "POST /api/train HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Transfer-Encoding: {coding}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n".encode())
    async with asyncio.timeout(30):
        answered = await reader.read(65_536)
    assert answered.partition(b" ")[2].startswith(b"400 "), answered
    writer.close()
