"""The charts: zoom, log scale, the pointer, the keyboard, the values as a table; and the data set's page."""

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.e2e


@pytest.fixture
async def finished(serve, talk):
    """A server and the id of a job that is completed on it."""
    server = serve("--slots", "1")
    async with talk(server.url) as program:
        job_id = await program.submit(epochs=6, batch_size=64, synthetic={"rows": 4_000}, patience=None)
        return server, await program.until(job_id)


async def test_a_part_is_zoomed_into_and_out_of(finished, visitor):
    server, job_id = finished
    page = await visitor.open(f"{server.url}/#/job/{job_id}")
    loss = page.locator("figure").first.locator("canvas")
    await expect(loss).to_be_visible()
    await loss.scroll_into_view_if_needed()
    box = await loss.bounding_box()
    whole = await loss.screenshot()
    await page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 80)
    await expect(page.locator(".chart-tip").first).to_contain_text("Step")
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 80, steps=4)
    await page.mouse.up()
    await page.mouse.move(5, 5)
    resets = page.get_by_role("button", name="Show all steps")
    assert await resets.count() > 1, "charts of one job zoom together"
    assert await loss.screenshot() != whole
    await resets.first.click()
    await page.mouse.move(5, 5)
    await expect(resets.first).to_be_hidden()
    assert await loss.screenshot() == whole


async def test_the_log_scale_redraws(finished, visitor):
    server, job_id = finished
    page = await visitor.open(f"{server.url}/#/job/{job_id}")
    loss = page.locator("figure").first.locator("canvas")
    await expect(loss).to_be_visible()
    linear = await loss.screenshot()
    toggle = page.get_by_role("button", name="Loss: logarithmic scale")
    await toggle.click()
    await expect(toggle).to_have_attribute("aria-pressed", "true")
    assert await loss.screenshot() != linear


async def test_values_are_read_by_keyboard(finished, visitor):
    server, job_id = finished
    page = await visitor.open(f"{server.url}/#/job/{job_id}")
    figure = page.locator("figure").first
    await figure.locator("canvas").focus()
    await page.keyboard.press("End")
    await expect(figure.locator("[aria-live]")).to_contain_text("Step 300: training 0.")
    await page.keyboard.press("Home")
    await expect(figure.locator("[aria-live]")).to_contain_text("Step 5: training ")
    await page.keyboard.press("+")
    await expect(page.get_by_role("button", name="Show all steps").first).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Show all steps").first).to_be_hidden()


async def test_a_changed_kind_goes_into_the_job(serve, visitor, talk, houses):
    server = serve("--slots", "1")
    async with talk(server.url) as program:
        await program.put("houses", houses.read_bytes())
    page = await visitor.open(f"{server.url}/#/dataset/houses")
    await page.get_by_label("Kind of grade").select_option("categorical")
    await expect(page.get_by_text("1 column changed")).to_be_visible()
    await page.get_by_role("link", name="Train a model on it").click()
    await page.get_by_label("Column to predict").select_option("price")
    await expect(page.get_by_text("grade as categorical")).to_be_visible()
    await page.get_by_role("radio", name="Linear").check()
    await page.get_by_label("Epochs").fill("1")
    await page.get_by_role("button", name="Start training").click()
    await expect(page.locator(".settings")).to_contain_text("grade categorical")
    await expect(page.locator(".badge")).to_have_text("Completed")
    await page.get_by_role("button", name="Train again").click()
    await expect(page.get_by_label("Column to predict")).to_have_value("price")
    await expect(page.get_by_role("radio", name="Linear")).to_be_checked()
    await expect(page.get_by_label("Epochs")).to_have_value("1")
    await expect(page.get_by_text("grade as categorical")).to_be_visible()
