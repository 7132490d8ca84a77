"""The list as a table of runs: columns added and sorted by, groups, tags that filter, names changed in their rows."""

import pytest
from playwright.async_api import Page, expect

pytestmark = pytest.mark.e2e
SMALL = {"synthetic": {"rows": 400, "columns": 3}, "batch_size": 64, "epochs": 1}
STUDY = {
    "name": "rates",
    "spec": SMALL,
    "space": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}},
    "trials": 2,
    "ensemble": False,
    "study_id": "rates",
}
CLASSES = "a,b,label\n" + "\n".join(f"{n % 7},{n % 5},{'pq'[n % 2]}" for n in range(200))
ODD = "<b>odd</b>"


async def test_columns_groups_tags_and_names(serve, visitor, talk):
    visitor.tolerated = ["status of 422"]  # of a name that is too long
    server = serve("--slots", "2")
    async with talk(server.url) as program:
        await program.put("labels", CLASSES.encode())
        study = await program.study(**STUDY)
        jobs = [
            await program.submit(**SMALL, lr=0.1, name="fast", tags=["rates", ODD]),
            await program.submit(**SMALL, lr=0.001, name="slow", tags=["rates"]),
            await program.submit(dataset="labels", target="label", epochs=1, name="classes"),
        ]
        for job_id in [*jobs, f"{study}_0", f"{study}_1"]:
            await program.until(job_id)
    page = await visitor.open(server.url)
    names = page.locator(".rows .row-name")
    headings = page.locator(".rows .group-row")
    await expect(names).to_have_text(["classes", "slow", "fast"])
    await columns_are_added_and_sorted_by(page)
    await expect(names).to_have_text(["slow", "fast", "classes"])

    await page.get_by_label("Group").select_option("By data set")
    await expect(headings).to_contain_text(["labels", "Other data"])
    await page.get_by_label("Group").select_option("By tag")
    await expect(headings).to_contain_text([ODD, "No tag", "rates"])
    await expect(names).to_have_text(["fast", "classes", "slow", "fast"])
    await page.get_by_label("Group").select_option("By study")
    await page.locator("button.group-name").click()  # a tag is called so, too
    await expect(page.get_by_role("link", name="rates / 0")).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("Group")).to_have_value("study")
    await page.get_by_label("Group").select_option("No groups")

    await page.get_by_role("row", name="fast").get_by_role("button", name=ODD).click()
    await expect(names).to_have_text(["fast"])
    await page.get_by_role("button", name=f"No longer only with the tag {ODD}").click()
    await expect(names).to_have_count(3)
    await a_name_is_changed_in_its_row(page)


async def columns_are_added_and_sorted_by(page: Page) -> None:
    await page.get_by_text("Columns", exact=True).click()
    for name in ("RMSE", "lr"):
        await page.get_by_label(name, exact=True).check()
    await page.keyboard.press("Escape")
    extras = page.get_by_role("row", name="slow").locator(".row-extra")
    await expect(extras.last).to_have_text("0.001")
    await expect(page.get_by_role("row", name="classes").locator(".row-extra").first).to_have_text("\u2013")
    await page.get_by_role("columnheader", name="lr").get_by_role("button").click()
    await expect(page.get_by_role("columnheader", name="lr")).to_have_attribute("aria-sort", "ascending")
    assert "sort=setting%3Alr" in page.url


async def a_name_is_changed_in_its_row(page: Page) -> None:
    name = page.get_by_label("Name", exact=True)
    await page.get_by_role("row", name="slow").get_by_label("Change name, tags and notes here").click()
    await name.fill("given up")
    await name.press("Escape")
    await expect(page.get_by_role("link", name="slow", exact=True)).to_be_focused()
    await page.get_by_role("row", name="slow").get_by_label("Change name, tags and notes here").click()
    await name.fill("n" * 1_000)
    await name.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("name: must be text of 1 to 200 characters")
    await name.fill(ODD)
    await page.get_by_label("Tags, by commas").fill(f"new, new,, {ODD}")
    await name.press("Enter")
    await expect(page.get_by_role("link", name=ODD, exact=True)).to_be_visible()
    await expect(page.get_by_role("row", name="new").locator(".tag")).to_have_text(["new", ODD])
    await page.reload()
    await expect(page.get_by_role("link", name=ODD, exact=True)).to_be_visible()


async def test_the_page_of_all_calls_fits_a_narrow_window(serve, visitor):
    page = await visitor.open(f"{serve().url}/docs", width=400)
    await expect(page.get_by_role("heading", name="Types")).to_be_attached()
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
