"""Runs beside each other: chosen in the list, drawn, sorted, taken away, and sent on as an address."""

import re

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.e2e
SMALL = {"synthetic": {"rows": 600, "columns": 4}, "batch_size": 64, "epochs": 3, "report_every": 1}


async def test_jobs_are_chosen_compared_and_the_view_is_sent_on(serve, visitor, talk, album):
    visitor.tolerated = ["status of 404"]  # of jobs that are not there
    server = serve("--slots", "2")
    names = {0.0001: "<b>slow</b>", 0.003: "usual", 0.03: "=fast, or not"}
    async with talk(server.url) as program:
        jobs = [await program.submit(**SMALL, lr=lr, name=name) for lr, name in names.items()]
        for job_id in jobs:
            await program.until(job_id)
    page = await visitor.open(server.url)
    for name in names.values():
        await page.get_by_label(f"Select {name}", exact=True).check()
    asked = []
    page.on("request", lambda request: asked.append(request.url.partition("/api/train/")[2].partition("?")[0]))
    await page.get_by_role("link", name="Compare 3").click()
    await expect(page.get_by_role("status").filter(has_text=re.compile("^3 runs$"))).to_be_visible()
    assert (asked.count("curve"), asked.count("status")) == (3, 0), "one request for each run"
    await expect(page.get_by_text("They differ in 1 setting; all others are the same.")).to_be_visible()
    rows = page.locator(".run-table tbody tr")
    assert sorted(await rows.locator("a").all_inner_texts()) == sorted(names.values())
    await page.get_by_role("button", name="lr", exact=True).click()
    assert await rows.locator("a").all_inner_texts() == list(names.values())
    await expect(page.get_by_role("heading", name="Validation loss by lr")).to_be_visible()
    await page.get_by_label("What is drawn").select_option("Training loss")
    await page.get_by_label("Along").select_option("Epoch")
    await page.get_by_role("button", name="Logarithmic scale").click()
    await page.locator(".over").focus()
    await page.keyboard.press("ArrowDown")
    await expect(page.locator(".many .chart-tip")).to_be_visible()
    await page.screenshot(path=album / "compare-light-1440.png", full_page=True)
    async with page.expect_download() as download:
        await page.get_by_role("button", name="CSV").click()
    lines = (await (await download.value).path()).read_text().splitlines()
    assert lines[0] == "job_id,name,step,epoch,seconds,loss"
    assert {line.split(",")[0] for line in lines[1:]} == set(jobs)
    assert any(""","'=fast, or not",""" in line for line in lines), "a spreadsheet takes no name for a formula"
    await page.wait_for_url("**x=epoch*")
    sent = await visitor.tab(page.url)
    await expect(sent.get_by_label("What is drawn")).to_have_value("loss")
    await expect(sent.get_by_label("Along")).to_have_value("epoch")
    await expect(sent.get_by_role("button", name="Logarithmic scale")).to_have_attribute("aria-pressed", "true")
    await expect(sent.locator(".run-table tbody a")).to_have_text(list(names.values()))
    await expect(sent.get_by_role("columnheader", name="lr")).to_have_attribute("aria-sort", "ascending")
    await page.goto(f"{server.url}/#/compare/gone,never")
    await expect(page.get_by_text("The jobs of this address are not there")).to_be_visible()


async def test_trials_that_a_study_makes_meanwhile_come_too(server, visitor, talk):
    spec = {**SMALL, "synthetic": {"rows": 2_000, "columns": 4}, "epochs": 6}
    space = {"lr": {"low": 1e-3, "high": 1e-1, "log": True}}
    async with talk(server.url) as program:
        study = await program.study(spec=spec, space=space, trials=4, parallel=1, ensemble=False)
        page = await visitor.open(f"{server.url}/#/compare/study:{study}")
        await expect(page.locator(".run-table tbody tr")).to_have_count(4)
        await expect(page.get_by_role("status").filter(has_text="4 runs")).to_be_visible()
