"""A running job's settings are changed from its page: the form, the word that comes back, the marks on the charts."""

import json

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.e2e
UNENDING = {"synthetic": {"rows": 20_000}, "epochs": 100_000, "batch_size": 16, "schedule": "cosine"}


async def test_a_running_job_is_adjusted_and_the_charts_say_where(serve, visitor, talk, album):
    server = serve("--slots", "1")
    async with talk(server.url) as program:
        job_id = await program.submit(**UNENDING, name="adjusted")
        await program.until(job_id, 3)
        page = await visitor.open(f"{server.url}/#/job/{job_id}")
        await page.get_by_role("button", name="Adjust").click()
        form = page.get_by_role("dialog")
        await expect(form.get_by_label("Epochs in all")).to_have_value("100000")
        await form.get_by_label("Learning rate of the next step").fill("0.0004")
        await form.get_by_label("Patience in epochs, or never").fill("99")
        await page.screenshot(path=album / "adjust-form.png")
        async with page.expect_request("**/control") as request:
            await form.get_by_role("button", name="Take up").click()
        assert json.loads((await request.value).post_data) == {"job_id": job_id, "lr": 0.0004, "patience": 99}
        await expect(page.get_by_text("Taken up from step")).to_be_visible()
        events = page.get_by_role("list", name="Events, newest first")
        await expect(events.get_by_text("on: learning rate 0.0004, patience 99")).to_be_visible()
        await page.screenshot(path=album / "adjusted.png", full_page=True)
        await page.get_by_role("button", name="Adjust").click()
        await form.get_by_label("Learning rate of the next step").fill("0")
        visitor.tolerated = ["422"]
        await form.get_by_role("button", name="Take up").click()
        await expect(page.get_by_role("alert")).to_contain_text("lr: must be a number above 0")
        await program.ask("cancel", job_id)
