"""Inside somebody else's aiohttp app: any prefix, any Host, the host's own login, twice in one process."""

import asyncio
import logging
import signal
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web


@asynccontextmanager
async def hosting(app):
    """Run an app on a free port, as its own program would."""
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield session
    finally:
        await runner.cleanup()


USER = web.RequestKey("user", str)


async def own_route(request):
    return web.Response(text=f"the host's own, for {request.get(USER, 'anybody')}")


async def test_it_works_below_a_prefix_beside_the_hosts_routes(tmp_path, open_root):
    app = web.Application()
    app.router.add_get("/own", own_route)
    app.add_subapp("/deep/training/", open_root(tmp_path, slots=1).web_app(hosts=None))
    async with hosting(app) as session:
        assert "anybody" in await (await session.get("/own")).text()
        page = await session.get("/deep/training")
        assert (page.status, page.url.path) == (200, "/deep/training/")
        assert 'src="page/' in await page.text()
        assert (await session.get("/deep/training/page/app.js")).status == 200
        document = await (await session.get("/deep/training/api/openapi.json")).json()
        assert document["servers"] == [{"url": "/deep/training"}]
        headers = {"Host": "any.example:8443", "Origin": "https://any.example:8443"}
        body = {"epochs": 1, "synthetic": {"rows": 100, "columns": 2}}
        accepted = await session.post("/deep/training/api/train", json=body, headers=headers)
        assert accepted.status == 202
        job_id = (await accepted.json())["job_id"]
        async with session.ws_connect(f"/deep/training/api/train/ws?job_id={job_id}") as ws:
            messages = [message.json() async for message in ws]
        assert messages[-1]["status"] == "COMPLETED"
        missing = await session.get("/deep/training/nope")
        assert (missing.status, (await missing.json())["error"]["code"]) == (404, "not_found")
        foreign = await session.post(
            "/deep/training/api/train", json=body, headers={"Origin": "https://evil.example"}
        )
        assert foreign.status == 403


async def test_the_host_decides_who_may_do_what(tmp_path, open_root):
    async def check(request):
        await asyncio.sleep(0)
        return request.method == "GET" or request.headers.get("X-User") == "alice"

    app = web.Application()
    app.add_subapp("/t/", open_root(tmp_path, slots=1).web_app(hosts=None, authorize=check))
    async with hosting(app) as session:
        assert (await session.get("/t/api/train/jobs")).status == 200
        refused = await session.post("/t/api/train", json={"epochs": 1})
        assert (refused.status, (await refused.json())["error"]["code"]) == (403, "forbidden")
        assert (await session.post("/t/api/train", json={"epochs": 1}, headers={"X-User": "alice"})).status == 202


async def test_a_hosts_own_refusal_keeps_its_status_in_our_shape(tmp_path, open_root):
    def check(request):
        raise web.HTTPUnauthorized(text="Log in first.", headers={"WWW-Authenticate": "Basic"})

    app = web.Application()
    app.add_subapp("/t/", open_root(tmp_path, slots=1).web_app(hosts=None, authorize=check))
    async with hosting(app) as session:
        refused = await session.get("/t/api/train/jobs")
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Basic")
        assert (await refused.json())["error"]["message"] == "Log in first."


async def test_a_hosts_middleware_and_its_answers_are_left_alone(tmp_path, open_root):
    @web.middleware
    async def login(request, handler):
        if "X-User" not in request.headers:
            return web.Response(text="<h1>log in</h1>", content_type="text/html")
        request[USER] = request.headers["X-User"]
        return await handler(request)

    app = web.Application(middlewares=[login])
    app.router.add_get("/own", own_route)
    app.add_subapp("/t/", open_root(tmp_path, slots=1).web_app(hosts=None))
    async with hosting(app) as session:
        shown = await session.get("/t/api/train/jobs")
        assert "log in" in await shown.text()
        assert "Content-Security-Policy" not in shown.headers
        assert (await session.get("/t/api/train/jobs", headers={"X-User": "bob"})).status == 200
        assert "for bob" in await (await session.get("/own", headers={"X-User": "bob"})).text()


async def test_two_services_in_one_process_do_not_meet(tmp_path, open_root):
    app = web.Application()
    for name in ("a", "b"):
        app.add_subapp(f"/{name}/", open_root(tmp_path / name, slots=1).web_app(hosts=None))
    async with hosting(app) as session:
        body = {"epochs": 1, "job_id": "only-in-a", "synthetic": {"rows": 100, "columns": 2}}
        assert (await session.post("/a/api/train", json=body)).status == 202
        assert (await session.get("/a/api/train/status?job_id=only-in-a")).status == 200
        assert (await session.get("/b/api/train/status?job_id=only-in-a")).status == 404
        figures = [await (await session.get(f"/{name}/metrics")).text() for name in ("a", "b")]
        assert 'traind_events_total{type="state"}' in figures[0]
        assert 'traind_events_total{type="state"}' not in figures[1]


async def test_a_service_that_the_host_started_stays_the_hosts(tmp_path, open_root):
    async with open_root(tmp_path, slots=1) as service:
        app = web.Application()
        app.add_subapp("/t/", service.web_app(hosts=None))
        async with hosting(app) as session:
            assert (await session.get("/t/health")).status == 200
        assert service.is_open
    assert not service.is_open


async def test_signals_logging_and_open_streams_are_the_hosts_to_end(tmp_path, open_root):
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)}
    loggers = [(name, list(logging.getLogger(name).handlers)) for name in (None, "traind", "traind.http")]
    app = web.Application()
    app.add_subapp("/t/", open_root(tmp_path, slots=1).web_app(hosts=None))
    async with hosting(app) as session:
        assert {number: signal.getsignal(number) for number in handlers} == handlers
        assert [(name, list(logging.getLogger(name).handlers)) for name, _ in loggers] == loggers
        ws = await session.ws_connect("/t/api/train/ws")
        assert (await ws.receive_json())["type"] == "snapshot"
        ending = asyncio.ensure_future(ws.receive())
    assert (await ending).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING)
    assert ws.close_code in (1001, 1006)
