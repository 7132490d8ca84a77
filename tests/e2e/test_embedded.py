"""The page below a prefix of another program's app, and behind a token."""

import shutil

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import expect

from traind.service.service import TrainingService

pytestmark = pytest.mark.e2e
TOKEN = "canary-token-4711"


async def test_it_works_below_any_prefix(visitor, houses, tmp_path):
    async def own(_request):
        return web.Response(
            text="<!doctype html><title>ours</title><p>A page of the host's", content_type="text/html"
        )

    host = web.Application()
    host.router.add_get("/", own)
    host.add_subapp("/apps/training/", TrainingService(root=tmp_path / "root", slots=1).web_app(hosts=None))
    async with TestServer(host) as server:
        page = await visitor.open(str(server.make_url("/apps/training")))
        assert page.url.rstrip("/").endswith("/apps/training")
        file = tmp_path / "houses.csv.gz"
        shutil.copy(houses, file)
        await page.set_input_files("#file", file)
        await expect(page.get_by_role("heading", name="houses")).to_be_visible()
        await page.get_by_role("link", name="Jobs", exact=True).click()
        await page.get_by_role("button", name="Train on synthetic data").click()
        await expect(page.locator(".badge")).to_have_text("Completed")
        await page.get_by_role("button", name="Predict", exact=True).click()
        await expect(page.locator("output")).not_to_be_empty()
        await expect(page.get_by_label("Code", exact=True)).to_contain_text("/apps/training/api/models/")
        await page.close()


async def test_the_token_is_asked_for_once_and_kept_out_of_addresses(serve, visitor, tmp_path):
    visitor.tolerated = ["status of 401"]
    file = tmp_path / "tokens"
    file.write_text(f"someone:{TOKEN}\n")
    server = serve("--slots", "1", "--token-file", str(file), root=tmp_path / "root")
    page = await visitor.open(server.url)
    addresses = []
    page.on("request", lambda request: addresses.append(request.url))
    page.on("websocket", lambda socket: addresses.append(socket.url))
    await page.get_by_label("Token", exact=True).fill("wrong")
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    await page.get_by_label("Token", exact=True).fill(TOKEN)
    await page.get_by_role("button", name="Continue").click()
    await expect(page.locator("#connection")).to_have_text("Live")
    await page.get_by_role("button", name="Train on synthetic data").click()
    await expect(page.locator(".badge")).to_have_text("Completed")
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Model", exact=True).click()
    assert (await (await download.value).path()).stat().st_size > 1_000
    await page.reload()
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert addresses
    assert not [address for address in addresses if TOKEN in address]
    assert TOKEN not in await page.content()
