"""Neighbours: who leaves, who asks much, and what that costs others. A slow call is one that waits for a file."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from traind.service.http.callers import network_of
from traind.service.processes.lane import WAITING_EACH
from traind.service.processes.side import LEAST_WIDTH, MOST_WIDTH
from traind.service.settings import processors

LANE = "predict few"


def slow(tmp_path, name):
    return {"begun": str(tmp_path / f"{name}-begun"), "end": str(tmp_path / f"{name}-end")}


async def eventually(is_so):
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def waiting(calling_on, tmp_path_factory):
    """A server with a slow model, and its caller."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    root = tmp_path_factory.mktemp("waiting")
    async with calling_on(root, slots=1, trainers={"waiting": "waiting_trainer:train"}) as call:
        accepted = await call.post("/api/train", {"trainer": "waiting", "job_id": "slow"})
        assert accepted.status == 202, accepted.body
        assert (await call.service.wait("slow")).status == "COMPLETED"
        yield call
    monkeypatch.undo()


def ask(call, session, row, path="/api/models/slow/predict"):
    return asyncio.create_task(_ask(call, session, row, path))


async def _ask(call, session, row, path):
    async with session.post(call.url + path, json={"rows": [row]}) as response:
        return response.status, response.headers, await response.read()


async def test_a_prediction_whose_caller_left_while_it_waited_does_not_run(waiting, tmp_path):
    side = waiting.service.side
    first, left = slow(tmp_path, "first"), slow(tmp_path, "left")
    one_line = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession() as neighbour:
        running = ask(waiting, neighbour, first)
        await eventually(Path(first["begun"]).exists)
        async with aiohttp.ClientSession(connector=one_line) as session:
            held = [asyncio.create_task(side_calls(waiting, slow(tmp_path, f"held-{n}"))) for n in range(4)]
            before = 5 - max(
                LEAST_WIDTH, min(MOST_WIDTH, processors())
            )  # of five calls, as many as there are places run
            await eventually(lambda: side.waiting(LANE) == before)
            abandoned = ask(waiting, session, left)
            await eventually(lambda: side.waiting(LANE) == before + 1)
            abandoned.cancel()
            await asyncio.gather(abandoned, return_exceptions=True)
        await eventually(lambda: side.waiting(LANE) == before)
        for name in ("first", "left", *(f"held-{n}" for n in range(4))):
            (tmp_path / f"{name}-end").touch()
        assert (await running)[0] == 200
        await asyncio.gather(*held)
    assert not Path(left["begun"]).exists()


async def side_calls(waiting, row):
    async with aiohttp.ClientSession() as session:
        return await _ask(waiting, session, row, "/api/models/slow/predict")


async def test_a_running_prediction_whose_caller_left_is_ended_and_its_place_is_free(waiting, tmp_path):
    row = slow(tmp_path, "endless")
    async with aiohttp.ClientSession() as session:
        abandoned = ask(waiting, session, row)
        await eventually(Path(row["begun"]).exists)
        abandoned.cancel()
        await asyncio.gather(abandoned, return_exceptions=True)
    done = slow(tmp_path, "done")
    Path(done["end"]).touch()
    assert (await side_calls(waiting, done))[0] == 200
    await eventually(lambda: not list(waiting.service.layout.side_dir.iterdir()))


async def test_who_asks_too_much_at_once_is_told_so_and_a_neighbour_is_answered(calling_on, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    door = token_door({"greedy": "greedy-token", "modest": "modest-token"})
    async with calling_on(tmp_path / "root", door, slots=1, trainers={"waiting": "waiting_trainer:train"}) as call:
        greedy, modest = ({"Authorization": f"Bearer {name}-token"} for name in ("greedy", "modest"))
        accepted = await call.post("/api/train", {"trainer": "waiting", "job_id": "slow"}, headers=greedy)
        assert accepted.status == 202, accepted.body
        await call.service.wait("slow")
        path = "/api/models/slow/predict"
        rows = [slow(tmp_path, f"greedy-{n}") for n in range(WAITING_EACH + 8)]
        asked = [asyncio.create_task(call.post(path, {"rows": [row]}, headers=greedy)) for row in rows]
        await eventually(lambda: sum(task.done() for task in asked) >= 1)
        (refused, *_) = [task.result() for task in asked if task.done()]
        assert (refused.status, refused.error["code"]) == (429, "side_worker_busy")
        assert int(refused.headers["Retry-After"]) > 0
        quick = slow(tmp_path, "modest")
        Path(quick["end"]).touch()
        answered = await call.post(path, {"rows": [quick]}, headers=modest)  # while every greedy one still waits
        assert (answered.status, answered.json["predictions"]) == (200, [1])
        for row in rows:
            Path(row["end"]).touch()
        answers = await asyncio.gather(*asked)
    assert {answer.status for answer in answers} == {200, 429}


def token_door(tokens):
    from traind.service.http.server import Door
    from traind.service.http.tokens import parse_tokens

    return Door(port=0, tokens=parse_tokens("\n".join(f"{name}:{token}" for name, token in tokens.items()), "test"))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("/run/socket", "/run/socket"),
    ],
)
def test_one_ipv6_network_is_one_client(address, network):
    assert network_of(address) == network
