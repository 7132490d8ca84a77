"""What is seen is what is: over lost connections, restarts, two tabs and resumed jobs."""

import asyncio

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.e2e
LONG = {"epochs": 50_000, "batch_size": 64, "synthetic": {"rows": 4_000}, "patience": None, "checkpoint_every": 0.5}


async def steps(page):
    """Return the steps of the loss curve, as the page's own table of values tells them."""
    if not await page.get_by_role("region", name="Loss, values").is_visible():
        await page.get_by_role("button", name="Loss: values as a table").click()
    cells = page.get_by_role("region", name="Loss, values").locator("tbody tr td:first-child")
    return [int(text.replace(",", "")) for text in await cells.all_inner_texts()]


async def test_a_killed_server_is_survived(serve, visitor, talk, album):
    """The page says that it is cut off, comes back by itself, and its curve has no gap and no step twice."""
    server = serve("--slots", "1")
    async with talk(server.url) as program:
        job_id = await program.submit(**LONG, name="Survivor")
    page = await visitor.open(f"{server.url}/#/job/{job_id}")
    await expect(page.get_by_role("progressbar")).to_be_visible()
    await expect(page.locator(".facts")).to_contain_text("RMSE")

    with visitor.outage():
        server.kill()
        await expect(page.get_by_text("The connection is lost")).to_be_visible()
        await page.screenshot(path=album / "lost-light-1440.png")
        server.start()
        await expect(page.get_by_text("The connection is lost")).to_be_hidden()
        await expect(page.locator("#connection")).to_have_text("Live")

    await expect(page.locator(".facts")).to_contain_text("Attempt")
    await expect(page.get_by_label("Events, newest first")).to_contain_text("server restart")
    await page.screenshot(path=album / "resumed-light-1440.png", full_page=True)
    shown = await steps(page)
    assert shown == sorted(set(shown))
    await page.get_by_role("button", name="Stop", exact=True).click()
    await expect(page.locator(".badge")).to_have_text("Stopped")
    await expect(page.get_by_role("heading", name="The model")).to_be_visible()


async def test_two_tabs_agree(serve, visitor, talk):
    server = serve("--slots", "1")
    first = await visitor.open(server.url)
    second = await visitor.tab(server.url)
    await expect(first.get_by_text("Train a model on your table")).to_be_visible()
    async with talk(server.url) as program:
        job_id = await program.submit(**LONG, name="Shared")
        await program.submit(**LONG, name="Behind it")
    for tab in (first, second):
        await expect(tab.get_by_role("row", name="Shared")).to_contain_text("Training epoch")
        await expect(tab.get_by_role("row", name="Behind it")).to_contain_text("Next in line")
        await expect(tab.get_by_role("row", name="Behind it")).to_contain_text("The one slot is busy")
        await expect(tab.locator("#slots")).to_have_text("1 of 1 slot busy")
    await first.get_by_role("button", name="Stop Behind it").click()
    for tab in (first, second):
        await expect(tab.get_by_role("row", name="Behind it")).to_contain_text("Cancelled")
    await second.goto(f"{server.url}/#/job/{job_id}")
    await second.get_by_role("button", name="Pause", exact=True).click()
    await expect(first.get_by_role("row", name="Shared")).to_contain_text("Paused")
    await second.get_by_role("button", name="Resume", exact=True).click()
    await expect(first.get_by_role("row", name="Shared")).to_contain_text("Training epoch")
    await second.goto(f"{server.url}/#/jobs")
    await second.get_by_role("button", name="Stop Shared").click()
    for tab in (first, second):
        await expect(tab.get_by_role("row", name="Shared")).to_contain_text("Stopped")
    await first.goto(f"{server.url}/#/job/{job_id}")
    await first.get_by_role("button", name="Delete", exact=True).click()
    await first.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(first.get_by_role("row", name="Behind it")).to_be_visible()
    await expect(second.get_by_role("row", name="Shared")).to_have_count(0)


async def test_a_reload_shows_the_whole_curve_and_it_goes_on(serve, visitor, talk):
    server = serve("--slots", "1")
    async with talk(server.url) as program:
        job_id = await program.submit(**LONG)
    page = await visitor.open(f"{server.url}/#/job/{job_id}")
    await expect(page.locator(".facts")).to_contain_text("RMSE")
    before = await steps(page)
    await page.reload()
    await expect(page.locator("figure").first).to_be_visible()
    after = await steps(page)
    assert after[0] == before[0]
    assert after[-1] >= before[-1]
    newest = page.locator("figure").first.locator(".key b").first
    shown = await newest.inner_text()
    await expect(newest).not_to_have_text(shown)
    async with talk(server.url) as program:
        await program.ask("cancel", job_id)
    await expect(page.locator(".badge")).to_have_text("Cancelled")


async def test_a_finished_job_trains_on_before_ones_eyes(serve, visitor, talk):
    server = serve("--slots", "1")
    async with talk(server.url) as program:
        job_id = await program.submit(epochs=2, synthetic={"rows": 2_000}, name="Short")
    page = await visitor.open(f"{server.url}/#/job/{job_id}")
    await expect(page.locator(".badge")).to_have_text("Completed")
    await page.get_by_role("button", name="More epochs").click()
    await page.get_by_label("Epochs in all").fill("4")
    await page.get_by_role("button", name="Train on").click()
    await expect(page.locator(".facts")).to_contain_text("4 / 4")
    await expect(page.locator(".badge")).to_have_text("Completed")
    await expect(page.get_by_role("img", name="RMSE over steps")).to_be_visible()
    await page.get_by_role("button", name="RMSE: values as a table").click()
    await expect(page.get_by_role("region", name="RMSE, values").locator("tbody tr")).to_have_count(4)


async def test_nothing_is_polled(serve, visitor):
    """While nothing happens, nothing is asked: what changes is told."""
    server = serve("--slots", "1")
    page = await visitor.open(server.url)
    await expect(page.locator("#connection")).to_have_text("Live")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await page.wait_for_event("request")
    assert asked == []
