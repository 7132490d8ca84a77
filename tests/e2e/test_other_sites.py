"""A page of another site, in a real browser that can reach the server: it reads nothing and changes nothing."""

from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

pytestmark = pytest.mark.e2e
SCRIPT = Path(__file__).with_name("other_site.js")
REBOUND = "rebound.example"  # a name of the attacker's that has come to mean this machine


@pytest.fixture
async def browser(chromium):
    """A browser in which the attacker's name leads here, as after DNS rebinding, and that does not help us."""
    flags = (f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1", "--disable-features=LocalNetworkAccessChecks")
    async with chromium(*flags) as browser:
        yield browser


@pytest.fixture
async def site():
    """The other site: a page that runs the script, on a port of its own."""

    async def page(_request):
        body = "<!doctype html><title>other</title><body><script type=module src=script.js></script>"
        return web.Response(text=body, content_type="text/html")

    async def script(_request):
        return web.Response(text=SCRIPT.read_text(), content_type="text/javascript")

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/script.js", script)
    async with TestServer(app) as server:
        yield server


async def kept(talk, server):
    """Return the job and all that a visitor could change, after making some of it where there is nothing."""
    async with talk(server.url) as program:
        await program.put("kept", b"a,b\n1,2\n2,3\n3,4\n")
        return await program.until(await program.submit(epochs=1, synthetic={"rows": 100}))


async def held(server):
    """Return what the server holds."""
    found = []
    async with aiohttp.ClientSession(server.url) as session:
        for path in ("/api/train/jobs", "/api/datasets", "/api/models/aliases"):
            async with session.get(path) as response:
                found.append(await response.json())
    return found


async def attempts(browser, page_url, server_url, job_id):
    """Open the other site's page on the server; return what came of each of its attempts."""
    page = await browser.new_page()
    await page.goto(f"{page_url}#{server_url}/?job={job_id}")
    await page.wait_for_function("window.tried !== undefined", timeout=120_000)
    tried = await page.evaluate("window.tried")
    await page.close()
    assert len(tried) > 25
    return tried


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_a_page_of_another_origin_reads_nothing_and_changes_nothing(serve, browser, site, talk, name):
    server = serve("--slots", "1")
    job_id = await kept(talk, server)
    before = await held(server)
    tried = await attempts(browser, f"http://{name}:{site.port}/", server.url, job_id)
    assert not {what: came for what, came in tried.items() if came.startswith("read")}
    assert await held(server) == before


async def test_the_same_page_does_all_of_it_where_it_is_let_in(serve, browser, site, talk):
    server = serve("--slots", "1", "--allow-origin", f"http://127.0.0.1:{site.port}")
    job_id = await kept(talk, server)
    tried = await attempts(browser, f"http://127.0.0.1:{site.port}/", server.url, job_id)
    for what in ("fetch jobs", "post json", "put a data set", "delete a data set", "websocket", "event source"):
        assert tried[what].startswith("read"), (what, tried[what])
    jobs, sets, _ = await held(server)
    assert "planted" in [job["name"] for job in jobs["jobs"]]
    assert job_id not in [job["job_id"] for job in jobs["jobs"]]
    assert [one["name"] for one in sets["datasets"]] == ["planted"]


async def test_a_name_that_was_rebound_to_this_machine_opens_nothing(serve, browser):
    server = serve("--slots", "1")
    page = await browser.new_page()
    answered = await page.goto(f"http://{REBOUND}:{server.port}/")
    assert answered.status == 403
    before = f"http://{REBOUND}:{server.port}/before"  # what the attacker's own server showed under that name
    await page.route(before, lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    await page.goto(before)
    asked = "async (path) => { const answer = await fetch(path); return [answer.status, await answer.text()] }"
    for path in ("/", "/health", "/api/train/jobs", "/api/openapi.json", "/metrics"):
        status, body = await page.evaluate(asked, path)
        assert status == 403, path
        assert "host_not_allowed" in body
    opened = "() => new Promise((done) => { const ws = new WebSocket(`ws://${location.host}/api/train/ws`);"
    opened += " ws.onopen = () => done('open'); ws.onerror = () => done('refused') })"
    assert await page.evaluate(opened) == "refused"
