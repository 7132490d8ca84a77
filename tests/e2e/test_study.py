"""A study on the page: live up to its ensemble; asked to pause, to go on, and to end."""

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.e2e
STUDY = {
    "name": "<i>rates</i>",
    "spec": {"synthetic": {"rows": 600, "columns": 4}, "batch_size": 64, "epochs": 2},
    "space": {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "model": {"choices": ["mlp", "linear"]},
        "model.hidden": {"choices": [[8], [16, 16]]},
    },
    "trials": 6,
    "parallel": 1,
    "study_id": "rates",
}
ENDLESS = {
    "spec": {"synthetic": {"rows": 2_000, "columns": 4}, "epochs": 100_000, "patience": None},
    "space": {"lr": {"low": 1e-4, "high": 1e-1, "log": True}},
    "study_id": "endless",
}


async def test_a_study_is_watched_to_its_ensemble_and_another_is_paused_and_cancelled(serve, visitor, talk, album):
    server = serve("--slots", "1")
    page = await visitor.open(f"{server.url}/#/studies")
    await expect(page.get_by_text("There are no studies yet.")).to_be_visible()
    async with talk(server.url) as program:
        await program.study(**STUDY)
    await page.get_by_role("link", name="<i>rates</i>").click()
    await expect(page.locator(".badge")).to_have_text("Completed")
    await expect(page.locator(".facts")).to_contain_text("6 of 6")
    rows = page.locator(".trial-list .rows .row")
    await page.get_by_role("table", name="Trials").scroll_into_view_if_needed()
    await expect(rows).to_have_count(6)
    await page.get_by_role("button", name="lr", exact=True).click()
    rates = [float(text) for text in await page.locator(".trial-list .rows .row > :nth-child(4)").all_inner_texts()]
    assert rates == sorted(rates)
    cells = await page.locator(".trial-list .rows .row > :is(:nth-child(5), :nth-child(6))").all_inner_texts()
    has_layers = {model: layers != "\u2013" for model, layers in zip(cells[::2], cells[1::2], strict=True)}
    assert has_layers == {"mlp": True, "linear": False}
    await expect(page.locator(".charts canvas")).to_have_count(3)
    await expect(page.get_by_role("img", name="model.hidden of mlp and the value of each trial")).to_be_visible()
    await expect(page.locator(".importance li").first).to_contain_text("%")
    await page.screenshot(path=album / "study-light-1440.png", full_page=True)
    await expect(page.get_by_role("link", name="Compare the trials")).to_have_attribute(
        "href", "#/compare/study:rates?metric=val_loss"
    )
    await page.get_by_role("link", name="The ensemble").click()
    await expect(page.get_by_role("heading", name="The model")).to_be_visible()
    async with talk(server.url) as program:
        await program.study(**ENDLESS)
    await page.goto(f"{server.url}/#/studies/endless")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator(".badge")).to_have_text("Paused")
    await page.get_by_role("button", name="Resume").click()
    await expect(page.locator(".badge")).to_have_text("Running")
    await page.get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="Cancel the study").click()
    await expect(page.locator(".badge")).to_have_text("Cancelled")
    await page.get_by_role("link", name="Jobs", exact=True).first.click()
    await expect(page.get_by_role("row", name="rates / 0")).to_have_count(0)
