"""Two thousand jobs: the list has them all, and the document only those in sight."""

import asyncio

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.e2e
MANY = 2_000


async def submit_many(program, number):
    """Submit jobs that wait behind a long one, some at a time."""
    await program.submit(epochs=100_000, name="The long one", patience=None)
    for start in range(0, number - 1, 50):
        ends = range(start, min(start + 50, number - 1))
        await asyncio.gather(*(program.submit(epochs=1, name=f"Waiting #{place:04}") for place in ends))


async def test_two_thousand_jobs_stay_smooth(serve, visitor, talk, album):
    server = serve("--slots", "1", "--max-queued", str(MANY))
    async with talk(server.url) as program:
        await submit_many(program, MANY)
    page = await visitor.open(server.url)
    await expect(page.locator(".chip[data-filter=all] .chip-count")).to_have_text("2,000")
    await expect(page.get_by_role("table", name="Jobs")).to_have_attribute("aria-rowcount", str(MANY + 1))
    assert await page.locator(".rows .row").count() < 60

    await page.get_by_label("Sort").select_option("name")
    await page.evaluate("scrollTo(0, document.body.scrollHeight)")
    await expect(page.get_by_role("link", name="Waiting #1998")).to_be_in_viewport()
    await page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    await expect(page.get_by_role("link", name="Waiting #0995")).to_be_visible()
    assert await page.locator(".rows .row").count() < 60

    longest = await page.evaluate(FRAMES)
    assert longest["drawn"] > 10, longest
    await page.get_by_label("Search by name").fill("waiting #0777")
    await expect(page.locator(".rows .row")).to_have_count(1)
    await page.get_by_label("Search by name").fill("")
    await page.get_by_role("button", name="Running").click()
    await expect(page.get_by_role("link", name="The long one")).to_be_visible()
    await expect(page.locator(".rows .row")).to_have_count(1)
    for scheme in ("light", "dark"):
        for width in (1440, 820, 390):
            page = await visitor.open(server.url, width=width, scheme=scheme)
            await expect(page.locator(".chip[data-filter=all] .chip-count")).to_have_text("2,000")
            await page.screenshot(path=album / f"full-{scheme}-{width}.png")


# Scrolls through the whole list and back, a jump a frame, and counts the frames and the rows that were blank.
FRAMES = """
async () => {
  const frame = () => new Promise(requestAnimationFrame);
  let drawn = 0;
  for (let share = 0; share <= 1; share += 0.05) {
    scrollTo(0, document.documentElement.scrollHeight * share);
    await frame();
    await frame();
    const middle = document.elementFromPoint(innerWidth / 2, innerHeight / 2);
    if (middle?.closest(".row")) drawn += 1;
  }
  return { drawn };
}
"""


async def test_the_list_is_walked_by_keys(serve, visitor, talk):
    server = serve("--slots", "1")
    async with talk(server.url) as program:
        await submit_many(program, 60)
    page = await visitor.open(server.url)
    await page.get_by_label("Sort").select_option("name")
    await page.get_by_role("link", name="The long one").focus()
    for _ in range(40):
        await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("link", name="Waiting #0039")).to_be_focused()
    await expect(page.get_by_role("link", name="Waiting #0039")).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Waiting #0039")).to_be_visible()
