"""A viewer at the page: what one may not do is not shown, and an address that looks like a route is none."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(("name", "sees"), [("viewer", 0), ("operator", 1)])
async def test_the_page_shows_what_one_may_do(serve, tmp_path: Path, chromium, name, sees):
    tokens = tmp_path / "tokens"
    tokens.write_text("vera:token-of-viewer:viewer\nolaf:token-of-operator\n")
    tokens.chmod(0o600)
    server = serve("--token-file", str(tokens), root=tmp_path / "root")
    async with chromium() as browser:
        page = await browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(server.url)
        await page.evaluate("token => sessionStorage.setItem('traind.token /', token)", f"token-of-{name}")
        await page.goto(f"{server.url}/#/__proto__/x")
        await page.reload()
        await page.wait_for_selector(f"[data-role='{name}']", timeout=60_000)
        assert await page.locator("#new-job:visible").count() == sees
        await page.goto(f"{server.url}/#/datasets")
        await page.wait_for_selector(".datasets")
        assert await page.locator(".drop-zone:visible").count() == sees
        await page.goto(f"{server.url}/#/new")
        await page.wait_for_selector(".view-new" if sees else ".view-jobs")
        assert errors == []
