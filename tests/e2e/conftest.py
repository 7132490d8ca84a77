"""A visitor with a real browser, who notices what goes wrong behind the page's back."""

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright, expect

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OUTAGE = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "WebSocket connection to")
PATIENCE_MS = 60_000  # the machine may be busy with other tests

expect.set_options(timeout=PATIENCE_MS)


class Talk:
    """What another program says to the server meanwhile."""

    def __init__(self, url: str) -> None:
        self._session = aiohttp.ClientSession(url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def put(self, name: str, data: bytes) -> None:
        """Register a table."""
        async with self._session.put(f"/api/datasets/{name}", data=data) as response:
            assert response.status < 300, await response.text()

    async def submit(self, **spec: Any) -> str:
        """Return the id of an accepted job."""
        async with self._session.post("/api/train", json=spec) as response:
            assert response.status == 202, await response.text()
            return (await response.json())["job_id"]

    async def study(self, **request: Any) -> str:
        """Return the id of an accepted study."""
        async with self._session.post("/api/studies", json=request) as response:
            assert response.status == 202, await response.text()
            return (await response.json())["study_id"]

    async def ask(self, verb: str, job_id: str) -> None:
        """Say a verb."""
        async with self._session.post(f"/api/train/{verb}", json={"job_id": job_id}) as response:
            assert response.status == 200, await response.text()

    async def until(self, job_id: str, epoch: float = math.inf) -> str:
        """Wait until the job is in that epoch, or over; return its id."""
        async with self._session.ws_connect("/api/train/ws", params={"job_id": job_id}) as ws:
            async for message in ws:
                if message.json().get("epoch", 0) >= epoch:
                    break
        return job_id


@pytest.fixture
def talk() -> type[Talk]:
    """`async with talk(server.url) as program:`."""
    return Talk


@dataclass
class Visitor:
    """Opens pages; every console error, page error and request to elsewhere is kept in `problems`."""

    browser: Browser
    problems: list[str] = field(default_factory=list)
    tolerated: list[str] = field(default_factory=list)  # parts of console errors that a test brings about itself
    contexts: list[BrowserContext] = field(default_factory=list)

    async def open(self, url: str, *, width: int = 1440, height: int = 900, scheme: str = "light") -> Page:
        """Open the page as somebody new: nothing stored, this window, these colours."""
        self.contexts.append(
            await self.browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
                accept_downloads=True,
            )
        )
        return await self.tab(url)

    async def tab(self, url: str) -> Page:
        """Open one more tab of the newest window."""
        page = await self.contexts[-1].new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        page.on("request", lambda request: self._on_request(request, url))
        await page.goto(url)
        return page

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Expect that the server cannot be reached for a while: the browser complains of that by itself."""
        self.tolerated = list(OUTAGE)
        yield
        self.tolerated = []

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in self.tolerated):
            self.problems.append(f"console: {message.text}")

    def _on_request(self, request: Request, url: str) -> None:
        if request.url.startswith("blob:"):
            return
        if urlsplit(request.url).netloc != urlsplit(url).netloc:
            self.problems.append(f"request to elsewhere: {request.url}")


@asynccontextmanager
async def running(*flags: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        yield browser
        await browser.close()


@pytest.fixture
def chromium() -> Any:
    """`async with chromium("--flag") as browser:`."""
    return running


@pytest.fixture
async def visitor() -> AsyncIterator[Visitor]:
    """Somebody who looks at the page; at the end nothing may have gone wrong unseen."""
    async with running() as browser:
        one = Visitor(browser)
        yield one
    assert not one.problems, "\n".join(one.problems)


@pytest.fixture(scope="session")
def album() -> Path:
    """The folder of the pictures."""
    folder = Path(__file__).parent / "screenshots"
    folder.mkdir(exist_ok=True)
    return folder
