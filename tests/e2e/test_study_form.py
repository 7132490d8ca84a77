"""A study that is described in the form: fields added and removed, what cannot be said beside its field, begun."""

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.e2e
TABLE = "a,b,y\n" + "\n".join(f"{n % 7},{n % 5},{n % 7 + 0.1 * (n % 5)}" for n in range(200))


async def test_a_search_space_is_made_row_by_row(server, visitor, talk, album):
    visitor.tolerated = ["status of 422"]  # of what is refused
    async with talk(server.url) as program:
        await program.put("formed", TABLE.encode())
    page = await visitor.open(f"{server.url}/#/new-study?dataset=formed")
    begin = page.get_by_role("button", name="Begin the study")
    rows = page.get_by_role("group", name="A searched field")
    await begin.click()
    await expect(page.get_by_label("Column to predict")).to_be_focused()
    await page.get_by_label("Column to predict").select_option("y")
    await page.get_by_label("Fields and ranges of my own").check()
    await page.get_by_role("button", name="Add a field").click()
    await page.keyboard.type("lr")
    await begin.click()
    await expect(rows.last).to_contain_text("is named twice")
    await rows.last.get_by_label("Field", exact=True).fill("nosuch")
    await rows.first.get_by_label("Lowest").fill("5")
    await page.get_by_role("button", name="Add a field").click()
    await page.keyboard.type("model.hidden")
    await rows.last.get_by_label("Range or choices").select_option("one of")
    await rows.last.get_by_label("Choices, by commas").fill("[8], [16, 0]")
    await page.get_by_label("Trials").fill("0")
    await begin.click()
    await expect(page.get_by_label("Trials")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("Trials").fill("2")
    await begin.click()
    await expect(rows.first).to_contain_text("has a low of 5 above its high of 0.01")
    await expect(rows.nth(1)).to_contain_text("is not a field of the spec")
    await expect(rows.last).to_contain_text("choices.1")
    await page.screenshot(path=album / "study-form-light-1440.png", full_page=True)
    await rows.first.get_by_label("Lowest").fill("1e-3")
    await rows.nth(1).get_by_label("No longer search this field").click()
    await expect(rows).to_have_count(2)
    await rows.last.get_by_label("Choices, by commas").fill("[8], [16, 16]")
    await page.get_by_label("Name").fill("formed")
    await page.get_by_text("All settings").click()
    await page.get_by_label("Epochs", exact=True).fill("1")
    await begin.click()
    await expect(page.locator("h1")).to_have_text("formed")
    await expect(page.locator(".badge")).to_have_text("Completed")
    await expect(page.locator(".facts")).to_contain_text("2 of 2")
    await expect(page.get_by_role("heading", name="The best trial")).to_be_visible()
    await expect(page.locator(".settings")).to_contain_text("model.hidden")
