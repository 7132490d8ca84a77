"""How it looks, for people to judge: every view, at three widths, in both colour schemes; and what axe finds in it.

The pictures lie in `tests/e2e/screenshots`; `docs/page.png` of the README is one of them, `page.png`.
"""

import math
import random
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.async_api import expect

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
WIDTHS = {1440: 900, 820: 1180, 390: 844}
SCHEMES = ("light", "dark")
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
FIRST_VIEW_BYTES = 150_000


def customers() -> bytes:
    """Return a table of customers who stay or leave, with missing cells, a constant and an id."""
    draw = random.Random(7)
    lines = ["customer_id,signed_up,plan,country,monthly_fee,calls,satisfaction,currency,churned"]
    for number in range(3_000):
        plan, calls, mood = draw.choice(["basic", "plus", "pro"]), draw.expovariate(0.4), draw.gauss(7, 2)
        fee = {"basic": 9, "plus": 19, "pro": 49}[plan] + draw.gauss(0, 1)
        leaves = draw.random() < 1 / (1 + math.exp(1.5 * mood - 8 - calls))
        shown = "" if draw.random() < 0.08 else f"{mood:.1f}"
        country = draw.choice(["Austria", "Brazil", "Canada", "Denmark", "Estonia", "Finland"])
        day = f"20{draw.randint(20, 25)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
        fields = (f"c{number:05}", day, plan, country, f"{fee:.2f}", f"{calls:.1f}", shown, "EUR")
        lines.append(",".join((*fields, "yes" if leaves else "no")))
    return "\n".join(lines).encode()


async def make_busy(program, houses) -> dict[str, str]:
    """Put data sets and jobs of every kind on a server of one slot; return ids of jobs by how they stand."""
    await program.put("house_prices", houses.read_bytes())
    await program.put("customers", customers())
    prices = {"dataset": "house_prices", "target": "price"}
    churn = {"dataset": "customers", "target": "churned"}
    wrong = {"dataset": "house_prices", "target": "date", "task": "regression"}
    fast = {"model": {"kind": "fast"}, "epochs": 12}
    jobs = {
        "finished": await program.until(await program.submit(**prices, **fast, name="House prices, fast")),
        "classes": await program.until(await program.submit(**churn, name="Who leaves?", tags=["churn"])),
        "failed": await program.until(await program.submit(**wrong, name="Wrong target")),
        "running": await program.submit(**prices, patience=None, epochs=400, lr=0.002, name="House prices"),
    }
    await program.until(jobs["running"], epoch=12)
    await program.submit(**churn, patience=None, epochs=3_000, name="Who leaves? Longer")
    jobs["paused"] = await program.submit(**prices, name="Overnight", priority=-1)
    await program.ask("pause", jobs["paused"])
    for width in (64, 128, 256):
        model = {"kind": "mlp", "hidden": [width, width]}
        jobs["queued"] = await program.submit(**prices, name=f"Width {width}", model=model, tags=["sweep"])
    return jobs


async def check_with_axe(page, view, visitor):
    """Keep what axe finds of serious or critical kind as a problem."""
    await page.evaluate(AXE)
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    for violation in found["violations"]:
        if violation["impact"] in ("serious", "critical"):
            nodes = [node["html"][:160] for node in violation["nodes"][:3]]
            visitor.problems.append(f"axe, {view}: {violation['id']}: {violation['help']}: {nodes}")


async def test_an_empty_server(serve, visitor, album):
    server = serve("--slots", "2")
    for scheme in SCHEMES:
        for width, height in WIDTHS.items():
            page = await visitor.open(server.url, width=width, height=height, scheme=scheme)
            await expect(page.get_by_text("Train a model on your table")).to_be_visible()
            await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
            await page.screenshot(path=album / f"empty-{scheme}-{width}.png")
            await check_with_axe(page, f"empty {scheme}", visitor)
            await page.goto(f"{server.url}/#/datasets")
            await expect(page.get_by_text("There are no data sets yet")).to_be_visible()
            await page.screenshot(path=album / f"datasets-empty-{scheme}-{width}.png")


async def test_a_busy_server(serve, visitor, talk, houses, album):
    server = serve("--slots", "1")  # the browser has the other core
    async with talk(server.url) as program:
        jobs = await make_busy(program, houses)
    job = {name: f"#/job/{job_id}" for name, job_id in jobs.items()}
    page = await visitor.open(f"{server.url}/{job['running']}", width=1280, height=800)
    await page.wait_for_load_state("networkidle")
    await page.screenshot(path=album / "page.png")
    views = {
        "jobs": ("#/jobs", ".rows .row"),
        "running": (job["running"], "figure canvas"),
        "finished": (job["finished"], ".model-scores"),
        "classes": (job["classes"], ".confusion"),
        "failed": (job["failed"], ".job-error"),
        "queued": (job["queued"], ".job-standing"),
        "new": ("#/new?dataset=house_prices", ".outlook p"),  # it asks for the target first
        "again": (f"#/new?from={jobs['queued']}", ".outlook .settings"),
        "datasets": ("#/datasets", ".dataset-card"),
        "dataset": ("#/dataset/customers", ".sketch"),
    }
    for scheme in SCHEMES:
        for width, height in WIDTHS.items():
            if (scheme, width) == ("dark", 820):
                continue  # both are seen without the other
            page = await visitor.open(server.url, width=width, height=height, scheme=scheme)
            for view, (address, sign) in views.items():
                await page.goto(f"{server.url}/{address}")
                await expect(page.locator(sign).first).to_be_visible()
                if view in ("finished", "classes"):
                    await page.get_by_role("button", name="Predict", exact=True).click()
                    await expect(page.locator("output")).not_to_be_empty()
                await page.wait_for_load_state("networkidle")
                await page.screenshot(path=album / f"{view}-{scheme}-{width}.png", full_page=True)
                if (scheme, width) in (("light", 1440), ("light", 390), ("dark", 1440)):
                    await check_with_axe(page, f"{view} {scheme} {width}", visitor)
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{view} {width}"
            await page.close()


async def test_the_first_view_is_light(serve, visitor):
    """All that the list of jobs needs, as it goes over the wire."""
    server = serve("--slots", "1")
    page = await visitor.open(server.url)
    await expect(page.locator("#connection")).to_have_text("Live")
    entries = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
    sizes = await page.evaluate(f"{entries}.map((entry) => [entry.name, entry.encodedBodySize])")
    assert 20_000 < sum(size for _, size in sizes) < FIRST_VIEW_BYTES, sizes
