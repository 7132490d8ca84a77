"""The queue of a lane, against a model: never more at once than places, nobody over the share, nobody starves."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traind.service.errors import SideWorkerBusy
from traind.service.processes.lane import WAITING, WAITING_EACH, Lane


async def hold(lane: Lane, client: str, seen: list[str], leave: "asyncio.Future[None]", gone: Any = None) -> None:
    async with lane.place(client, gone or asyncio.get_running_loop().create_future()):
        seen.append(client)
        await leave


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


@given(
    width=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from(["ask", "leave", "abandon"]), st.integers(0, 30)), max_size=40),
)
def test_places_are_never_more_and_never_lost(width: int, steps: list[tuple[str, int]]) -> None:
    async def scenario() -> None:
        lane, seen = Lane(width), list[str]()
        calls: list[tuple[asyncio.Task[None], asyncio.Future[None], asyncio.Future[None], str]] = []
        loop = asyncio.get_running_loop()
        for step, number in steps:
            open_calls = [call for call in calls if not call[0].done()]
            if step == "ask":
                leave, gone = loop.create_future(), loop.create_future()
                client = "abc"[number % 3]
                calls.append((asyncio.create_task(hold(lane, client, seen, leave, gone)), leave, gone, client))
            elif open_calls:
                chosen = open_calls[number % len(open_calls)]
                future = chosen[1] if step == "leave" else chosen[2]
                if not future.done():
                    future.set_result(None)
            await settle()
            assert lane.running <= width
            waiting = lane.waiting
            assert not waiting or lane.running == width or width > 1  # a free place is for who is under the share
        for _, leave, _, _ in calls:
            if not leave.done():
                leave.set_result(None)
        await asyncio.gather(*(task for task, *_ in calls), return_exceptions=True)
        assert (lane.running, lane.waiting) == (0, 0)

    asyncio.run(scenario())


async def test_clients_take_turns_however_much_one_asks() -> None:
    lane, seen = Lane(1), list[str]()
    leave = asyncio.get_running_loop().create_future()
    tasks = [asyncio.create_task(hold(lane, "first", seen, leave))]
    await settle()
    tasks += [asyncio.create_task(hold(lane, "greedy", seen, leave)) for _ in range(5)]
    await settle()
    tasks += [asyncio.create_task(hold(lane, "modest", seen, leave))]
    await settle()
    leave.set_result(None)
    await asyncio.gather(*tasks)
    assert seen.index("modest") <= 2


async def test_one_client_leaves_a_place_to_all_others() -> None:
    lane, seen = Lane(3), list[str]()
    leave = asyncio.get_running_loop().create_future()
    tasks = [asyncio.create_task(hold(lane, "greedy", seen, leave)) for _ in range(5)]
    await settle()
    assert seen == ["greedy"] * 2
    tasks.append(asyncio.create_task(hold(lane, "other", seen, leave)))
    await settle()
    assert seen[-1] == "other"
    leave.set_result(None)
    await asyncio.gather(*tasks)


async def test_the_queue_ends_for_one_and_for_all() -> None:
    lane, seen = Lane(1), list[str]()
    leave = asyncio.get_running_loop().create_future()
    tasks = [asyncio.create_task(hold(lane, "holder", seen, leave))]
    for client in range(WAITING // WAITING_EACH):
        tasks += [asyncio.create_task(hold(lane, str(client), seen, leave)) for _ in range(WAITING_EACH)]
    await settle()
    for client in ("0", "new"):
        with pytest.raises(SideWorkerBusy):
            lane.check(client)
    leave.set_result(None)
    await asyncio.gather(*tasks)
    lane.check("0")
