"""What a small request can cost: time of the loop, memory of the server, size of the answer; and its neighbours.

The server runs on a loop in a thread of this process. What a request costs the loop is that thread's processor time,
which is the same on a busy machine; its memory is the highest that the process had. The answers of the costliest are
printed as multiples of their requests.
"""

import asyncio
import contextlib
import gc
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from cost_matrix import Request, requests

from traind.data.limits import ANSWER_BYTES
from traind.service.http.server import Door, serve
from traind.service.service import TrainingService

LOOP_S = 0.05  # that one request of at most 64 kB may hold the loop
GROWTH_BYTES = 20 * 2**20  # that it may add to the server's memory
ANSWERED_S = 60.0
QUICK_SHARE = 23  # of the matrix, every so many are tried in the usual tests


class Cost(NamedTuple):
    """What one request cost."""

    request: Request
    status: int
    loop_s: float
    growth_bytes: int
    answer_bytes: int

    @property
    def sent_bytes(self) -> int:
        return len(self.request.target) + len(self.request.body or b"")


class Place:
    """A server in a thread, with one trained job and one table."""

    def __init__(self, service: TrainingService) -> None:
        self._service = service
        self._up = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._leave: asyncio.Event
        self.url = ""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(120)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(60)

    async def _serve(self) -> None:
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        service = self._service
        async with serve(service, Door(port=0)) as url:
            await service.put_dataset("table", [{"a": place, "b": place % 7} for place in range(100)])
            spec = {"epochs": 1, "synthetic": {"rows": 200, "columns": 3}}
            await service.submit(spec, job_id="done")
            await service.wait("done")
            self.url = url.removeprefix("http://")
            self._up.set()
            await self._leave.wait()

    def loop_s(self) -> float:
        """Return the processor time that the loop's thread has taken."""
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident or 0))

    def send(self, request: Request) -> tuple[int, int]:
        """Send a request; return the answer's status and size. A connection that is cut counts as 400."""
        connection = http.client.HTTPConnection(self.url, timeout=ANSWERED_S)
        headers = {"Content-Type": request.content_type} if request.body is not None else {}
        try:
            with contextlib.suppress(BrokenPipeError):
                connection.request(request.method, request.target, request.body, headers)
            answer = connection.getresponse()
            return answer.status, len(answer.read())
        except (http.client.BadStatusLine, ConnectionError):
            return 400, 0
        finally:
            connection.close()

    def cost(self, request: Request) -> Cost:
        """Send a request and measure it."""
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the highest memory so far is that of now
        before, began = memory("VmRSS"), self.loop_s()
        status, size = self.send(request)
        return Cost(request, status, self.loop_s() - began, memory("VmHWM") - before, size)


def memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, open_root: Callable[..., TrainingService]) -> Iterator[Place]:
    with Place(open_root(tmp_path_factory.mktemp("costs"), slots=1)) as made:
        gc.collect()
        gc.freeze()  # what the tests before have left is not looked at for each request
        yield made
        gc.unfreeze()


def tried(place: Place, some: list[Request], case: Any) -> None:
    place.cost(some[0])  # what is made at the first call is not the request's
    costs = []
    for request in some:
        cost = place.cost(request)
        if cost.loop_s > LOOP_S or cost.growth_bytes > GROWTH_BYTES:
            cost = min(
                cost, place.cost(request), key=lambda one: one.loop_s + one.growth_bytes
            )  # the first fills caches
        costs.append(cost)
    case.asked = len(costs)
    say(costs)
    above = [
        cost
        for cost in costs
        if cost.loop_s > LOOP_S
        or cost.growth_bytes > GROWTH_BYTES
        or cost.answer_bytes > ANSWER_BYTES
        or cost.status in (500, 503)
    ]
    assert [f"{one.request.call}: {one[1:]}" for one in above] == []


def say(costs: list[Cost]) -> None:
    print(f"\n{len(costs)} requests; the costliest, with the answer as a multiple of the request:")
    for name in ("loop_s", "growth_bytes", "answer_bytes"):
        worst = max(costs, key=lambda cost: getattr(cost, name))
        print(
            f"  {name:12}  {worst.loop_s * 1e3:6.1f} ms  {worst.growth_bytes / 2**20:6.1f} MB"
            f"  {worst.answer_bytes:8,} B, x {worst.answer_bytes / max(1, worst.sent_bytes):.1f}"
            f"  {worst.status}  {worst.request.call}"
        )


def test_some_small_requests_cost_little(place: Place, tally: Any) -> None:
    with tally.case("small request that asks for much") as case:
        tried(place, list(requests())[::QUICK_SHARE], case)


@pytest.mark.faults
def test_millions_of_empty_rows_are_refused_and_hold_nobody(place: Place) -> None:
    rows = b'{"rows":[' + b",".join([b"{}"] * 5_000_000) + b"]}"
    large = Request("POST /predict, empty rows", "POST", "/api/models/done/predict", rows, "application/json")
    small = large._replace(body=b'{"rows":[{"x1":1,"x2":2,"x3":3}]}')
    place.send(small)
    with ThreadPoolExecutor(1) as pool:
        began = time.perf_counter()
        answer = pool.submit(place.send, large)
        beside = [place.send(small)[0] for _ in range(3)]
        while not answer.done():
            beside.append(place.send(small)[0])
        taken = time.perf_counter() - began
        print(
            f"\n{len(rows):,} bytes: {answer.result()} after {taken:.1f} s, {len(beside)} others answered meanwhile"
        )
    status, size = answer.result()
    assert (status, set(beside)) == (422, {200})
    assert size < 100_000


@pytest.mark.faults
@pytest.mark.timeout(3_600)
def test_every_small_request_costs_little(place: Place, tally: Any) -> None:
    with tally.case("small request that asks for much") as case:
        tried(place, list(requests()), case)
