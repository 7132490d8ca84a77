"""A real service behind a real socket, one for all tests of this folder; and callers that read what it answers."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from traind.service.http.context import Limits
from traind.service.http.server import Door, serve
from traind.service.service import TrainingService


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run every coroutine of this folder on the loop that the shared server runs on."""
    for item in items:
        is_ours = Path(__file__).parent in item.path.parents and isinstance(item, pytest.Function)
        if is_ours and inspect.iscoroutinefunction(item.function):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@dataclass(frozen=True)
class Answered:
    """What one request was answered with."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        """The body's values."""
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error of a refusal, whose shape is checked."""
        assert set(self.json) == {"ok", "error"}
        assert self.json["ok"] is False
        error: dict[str, Any] = self.json["error"]
        assert set(error) == {"code", "message", "hint", "details"}
        return error


class Caller:
    """An HTTP client of one server."""

    def __init__(self, url: str, session: aiohttp.ClientSession, service: TrainingService) -> None:
        self.url = url
        self.session = session
        self.service = service

    async def __call__(self, method: str, path: str, **options: Any) -> Answered:
        async with self.session.request(method, self.url + path, allow_redirects=False, **options) as response:
            return Answered(response.status, response.headers, await response.read())

    async def get(self, path: str, **options: Any) -> Answered:
        return await self("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Answered:
        return await self("POST", path, json=body, **options)

    async def train(self, **spec: Any) -> str:
        """Submit a small job and return its id."""
        accepted = await self.post("/api/train", {"epochs": 1, "synthetic": {"rows": 200, "columns": 3}, **spec})
        assert accepted.status == 202, accepted.body
        job_id: str = accepted.json["job_id"]
        return job_id

    async def trained(self, **spec: Any) -> str:
        """Train a small job to its end and return its id."""
        job_id = await self.train(**spec)
        job = await self.service.wait(job_id)
        assert job.status == "COMPLETED", job.error
        return job_id

    def socket(self, path: str, **options: Any) -> Any:
        """Connect a websocket."""
        return self.session.ws_connect(self.url + path, **options)


@asynccontextmanager
async def calling(service: TrainingService, door: Door | None = None) -> AsyncIterator[Caller]:
    """Serve a root on a free port and yield a caller."""
    async with serve(service, door or Door(port=0)) as url, aiohttp.ClientSession() as session:
        yield Caller(url, session, service)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def call(
    tmp_path_factory: pytest.TempPathFactory, open_root: Callable[..., TrainingService]
) -> AsyncIterator[Caller]:
    """The shared server's caller."""
    async with calling(open_root(tmp_path_factory.mktemp("http"), slots=2)) as caller:
        yield caller


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def done(call: Caller) -> str:
    """A job that is completed."""
    return await call.trained()


@pytest.fixture(scope="session")
def calling_on(open_root: Callable[..., TrainingService]) -> Any:
    """Serve a root of its own: `async with calling_on(root, door, **settings) as call`."""
    return lambda root, door=None, **settings: calling(open_root(root, **settings), door)


@pytest.fixture
def limits_door() -> Any:
    """Make a door with limits of its own: `limits_door(send_s=0.5)`."""
    return lambda **limits: Door(port=0, limits=Limits(**limits))


@pytest.fixture
def endless() -> dict[str, Any]:
    """A spec that trains until it is stopped."""
    return {"epochs": 100_000, "synthetic": {"rows": 5_000, "columns": 4}, "patience": None}


@pytest.fixture
def until(call: Caller) -> Callable[..., Awaitable[None]]:
    """Wait until a job has had an event with these values, such as `status="PAUSED"` or `type="progress"`."""

    async def wait(job_id: str, **wanted: object) -> None:
        async with asyncio.timeout(60):
            async for event in call.service.watch(job_id):
                said = msgspec.to_builtins(event)
                if all(said.get(name) == value for name, value in wanted.items()):
                    return
        raise AssertionError(f"{job_id} never had an event with {wanted}")

    return wait
