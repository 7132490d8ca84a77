"""Names and cells of anybody's are text: nothing in them is ever markup, script or address."""

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.e2e
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
BREAKING = "\"'`${1};</title></textarea>--><b>&amp;\\u003cb\\u003e"
SCRIPT = "javascript:alert(3)"
LONG_WORD = "W" * 180


def hostile_table():
    """Return a CSV whose header and cells are payloads, with a target that can be learned."""
    names = [MARKUP, BREAKING, SCRIPT, LONG_WORD, "target"]
    rows = [
        [(MARKUP, BREAKING)[n % 2], str(n % 7), (SCRIPT, "b")[n % 3 == 0], str(n), str(n * 2)] for n in range(300)
    ]
    return "\n".join(",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row) for row in [names, *rows])


async def test_payloads_are_shown_as_they_are(serve, visitor, talk):
    visitor.tolerated = ["status of 404"]  # of the job and the data set that are not there
    server = serve("--slots", "1")
    specs = [
        {"dataset": "hostile", "target": "target", "epochs": 2, "name": MARKUP, "tags": [BREAKING, SCRIPT]},
        {"dataset": "hostile", "target": MARKUP, "epochs": 2, "name": BREAKING},
        {"dataset": "hostile", "target": LONG_WORD, "columns": {MARKUP: "numeric"}, "name": LONG_WORD},
    ]
    async with talk(server.url) as program:
        await program.put("hostile", hostile_table().encode())
        jobs = [await program.submit(**spec) for spec in specs]

    page = await visitor.open(server.url)
    page.on("dialog", lambda dialog: visitor.problems.append(f"dialog: {dialog.message}"))
    for name in (MARKUP, BREAKING, LONG_WORD):
        await expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    await expect(page.get_by_role("row", name=LONG_WORD)).to_contain_text("Failed")
    await page.get_by_label("Search by name").fill("<img")
    await expect(page.locator(".rows .row")).to_have_count(2)
    for job_id, name in zip(jobs, (MARKUP, BREAKING, LONG_WORD), strict=True):
        await page.goto(f"{server.url}/#/job/{job_id}")
        await expect(page.locator("h1")).to_have_text(name)
        await expect(page.locator(".badge")).to_have_text("Failed" if name == LONG_WORD else "Completed")
    await page.goto(f"{server.url}/#/job/{jobs[0]}")
    await page.get_by_role("button", name="Predict", exact=True).click()
    await expect(page.locator("output")).not_to_be_empty()
    await page.goto(f"{server.url}/#/dataset/hostile")
    await expect(page.get_by_label(f"Kind of {MARKUP}")).to_be_visible()
    await page.goto(f"{server.url}/#/new?dataset=hostile")
    await page.get_by_label("Column to predict").select_option(MARKUP)
    await page.goto(f"{server.url}/#/job/{MARKUP}")
    await expect(page.get_by_role("heading", name="There is no such job")).to_be_visible()
    await page.goto(f"{server.url}/#/dataset/{MARKUP}")
    await page.goto(f"{server.url}/#/{MARKUP}?{MARKUP}")
    await expect(page.get_by_role("table", name="Jobs")).to_be_visible()
    assert await page.locator("main img, main script, main b:has-text('&amp;')").count() == 0
    width = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0
