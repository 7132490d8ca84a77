"""The page, its assets and the docs: from the package's bytes, under a strict policy, without the network."""

import re
from html.parser import HTMLParser

import pytest


class Tags(HTMLParser):
    """Collects what a page loads and what stands in it."""

    def __init__(self):
        super().__init__()
        self.urls = []
        self.inline = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.urls += [values[name] for name in ("src", "href") if name in values]
        self.inline += [name for name in values if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in values):
            self.inline.append(tag)


def read(page):
    tags = Tags()
    tags.feed(page.decode())
    return tags


async def test_the_page_loads_only_its_own_assets_and_nothing_inline(call):
    page = await call.get("/")
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    tags = read(page.body)
    assert tags.inline == []
    loaded = [url for url in tags.urls if not url.startswith("#")]
    assert loaded
    for url in loaded:
        assert not re.match(r"[a-z]+:|//|/", url), url
        asset = await call.get(f"/{url}")
        assert asset.status == 200, url


async def test_page_and_assets_go_with_a_strict_policy(call):
    for path in ("/", "/page/app.js", "/docs", "/docs.css"):
        headers = (await call.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


async def test_a_browser_that_has_an_asset_gets_304(call):
    first = await call.get("/page/app.js")
    assert first.headers["Cache-Control"] == "no-cache"
    again = await call.get("/page/app.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


async def test_every_module_that_a_module_imports_is_there(call):
    names = {route.resource.canonical for route in call.service.web_app().router.routes()}
    scripts = [name for name in names if name.endswith(".js")]
    assert scripts
    for script in scripts:
        text = (await call.get(script)).body.decode()
        for wanted in re.findall(r'from "\./([^"]+)"', text):
            assert f"/page/{wanted}" in names, (script, wanted)


async def test_the_docs_name_every_path_and_load_nothing_from_elsewhere(call):
    page = await call.get("/docs")
    document = (await call.get("/api/openapi.json")).json
    for path in document["paths"]:
        assert path.replace("{", "{") in page.body.decode()
    tags = read(page.body)
    assert tags.inline == []
    assert [url for url in tags.urls if not url.startswith("#")] == ["page/icon.svg", "docs.css", "./"]
    anchors = set(re.findall(r'id="([^"]+)"', page.body.decode()))
    assert {url[1:] for url in tags.urls if url.startswith("#")} <= anchors


@pytest.mark.parametrize("path", ["/", "/health", "/api/health", "/api/train/jobs", "/api/openapi.json"])
async def test_what_can_be_read_can_be_asked_for_without_its_body(path, call):
    """By uptime monitors and proxies."""
    whole = await call("GET", path)
    head = await call("HEAD", path)
    assert (head.status, head.body) == (whole.status, b"")
    assert head.headers["Content-Type"] == whole.headers["Content-Type"]
