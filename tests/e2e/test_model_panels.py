"""What stands beside a finished model: a row to predict, where it errs, what happened."""

import asyncio
import json
import random

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.e2e
CLASSES = 24  # more than the page shows


def points() -> bytes:
    """Return a table of points around centres that are named."""
    draw = random.Random(5)
    names = [draw.randrange(CLASSES) for _ in range(1_200)]
    rows = [
        f"{name % 6 + draw.gauss(0, 0.2):.3f},{name // 6 + draw.gauss(0, 0.2):.3f},at {name:02}" for name in names
    ]
    return "\n".join(["across,down,centre", *rows]).encode()


async def test_nothing_is_predicted_before_there_is_a_row(serve, visitor, talk):
    server = serve("--slots", "1")
    async with talk(server.url) as program:
        await program.put("points", points())
        job_id = await program.until(await program.submit(dataset="points", epochs=2, model={"kind": "fast"}))
    page = await visitor.open(server.url)
    asked, may_go_on = asyncio.Event(), asyncio.Event()

    async def hold(route):
        asked.set()
        await may_go_on.wait()
        await route.continue_()

    await page.route("**/preview*", hold)
    await page.goto(f"{server.url}/#/job/{job_id}")
    predict = page.get_by_role("button", name="Predict", exact=True)
    await expect(predict).to_be_visible()
    await asked.wait()
    await expect(predict).to_be_disabled()
    may_go_on.set()
    await expect(predict).to_be_enabled()
    async with page.expect_request("**/predict") as request:
        await predict.click()
    [row] = json.loads((await request.value).post_data)["rows"]
    assert set(row) == {"across", "down"}
    assert None not in row.values()


async def test_where_it_errs_counts_the_validation_rows_of_many_classes(serve, visitor, talk):
    server = serve("--slots", "1")
    async with talk(server.url) as program:
        await program.put("points", points())
        job_id = await program.until(await program.submit(dataset="points", epochs=3, model={"kind": "fast"}))
    page = await visitor.open(f"{server.url}/#/job/{job_id}")
    panel = page.get_by_role("region", name="Confusion matrix")
    await expect(panel.locator("tbody tr")).to_have_count(20)
    counts = [int(text) for text in await panel.locator("td.number").all_inner_texts()]
    assert len(counts) == 400
    assert 100 < sum(counts) < 240  # of 240 validation rows those of the first twenty classes
    await expect(page.get_by_text(f"The first 20 of {CLASSES} classes.")).to_be_visible()


async def test_epochs_can_be_left_out_of_the_events(serve, visitor, talk):
    server = serve("--slots", "1")
    async with talk(server.url) as program:
        job_id = await program.until(await program.submit(epochs=400, synthetic={"rows": 100}))
    page = await visitor.open(f"{server.url}/#/job/{job_id}")
    events = page.get_by_label("Events, newest first")
    await expect(events.get_by_text("Epoch 400")).to_be_visible()
    await page.get_by_role("checkbox", name="Epochs", exact=True).uncheck()
    await expect(events.get_by_text("Epoch 400")).to_be_hidden()
    await expect(events.get_by_text("Completed")).to_be_visible()
    await expect(events.get_by_text("Queued")).to_be_visible()


async def test_a_model_that_went_on_shows_how_its_rows_drifted_and_what_names_meant(serve, visitor, talk):
    server = serve("--slots", "1")
    rows = points().decode().splitlines()
    moved = [rows[0], *(f"{float(row.partition(',')[0]) + 9:.3f},{row.partition(',')[2]}" for row in rows[1:])]
    async with talk(server.url) as program:
        await program.put("points", points())
        await program.put("moved", "\n".join(moved).encode())
        first = await program.until(await program.submit(dataset="points", epochs=1, model={"kind": "fast"}))
        start_from = {"job_id": first, "checkpoint": "last"}
        second = await program.until(await program.submit(dataset="moved", epochs=2, start_from=start_from))
    page = await visitor.open(f"{server.url}/#/job/{first}")
    await page.get_by_label("Name", exact=True).fill("production")
    await page.get_by_role("button", name="Point it at this model").click()
    await expect(page.get_by_role("row", name="production")).to_contain_text("this model")
    await page.goto(f"{server.url}/#/job/{second}")
    drift = page.get_by_role("region", name="Drift").get_by_role("listitem")
    await expect(drift).to_have_count(2)
    await expect(drift.first).to_contain_text("across")
    await page.get_by_role("button", name="History of production").click()
    await expect(page.locator(".alias-moves li")).to_contain_text(first)
