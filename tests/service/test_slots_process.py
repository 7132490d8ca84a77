"""How worker processes come and go: the fork server, boots that fail, and that nothing is left behind."""

import asyncio
import gc
import multiprocessing
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from traind.service.executor.base import Ended, Need
from traind.service.processes.fork_server import ForkServer, is_supported
from traind.service.processes.identity import Identity, identify, is_alive, kill_leftover
from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import Log


@pytest.fixture
def light_server(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A fork server without torch, to be killed."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    server = ForkServer("jobs_for_slots:boot_nothing")
    server.start()
    yield server
    server.stop()


def test_this_python_has_the_internals_that_the_fork_server_leans_on() -> None:
    """F20: elsewhere workers start by spawn, slower."""
    assert is_supported()


class SpawningServer(ForkServer):
    """What a fork server is where there are no internals to lean on."""

    def context(self) -> Any:
        return multiprocessing.get_context("spawn")


async def test_workers_can_be_spawned_where_there_is_no_fork_server(rig: Any) -> None:
    rig = await rig(server=SpawningServer())
    assert (await rig.done("nothing"))[1] == Ended("done")
    assert (await rig.done("segfault"))[1].signal == signal.SIGSEGV
    assert (await rig.done("half_result"))[1].signal == signal.SIGKILL


async def test_jobs_outlive_the_fork_server_and_the_next_ones_get_another(
    rig: Any, light_server: ForkServer, until: Any
) -> None:
    rig = await rig(server=light_server)
    worker = await rig.job("obedient")
    await rig.until(worker, Log)
    await until(lambda: rig.slots.is_ready)
    first = light_server.pid
    os.kill(first, signal.SIGKILL)
    worker.ask(Verb.STOP)
    assert await rig.end(worker) == Ended("done")
    for _ in range(2):  # the one that was ahead, and one more
        assert (await rig.done("nothing"))[1] == Ended("done")
    assert light_server.pid not in {first, None}


async def test_how_a_worker_died_is_unknown_when_the_fork_server_died_first(
    rig: Any, light_server: ForkServer
) -> None:
    rig = await rig(server=light_server)
    worker = await rig.job("obedient")
    await rig.until(worker, Log)
    os.kill(light_server.pid, signal.SIGKILL)
    worker.process.signal(signal.SIGKILL)
    ended = await rig.end(worker)
    assert (ended.kind, ended.message, ended.exit_code) == ("died", "the worker died", None)


async def test_a_worker_that_dies_waiting_is_replaced_and_costs_no_job(
    rig: Any, light_server: ForkServer, until: Any
) -> None:
    rig = await rig(server=light_server)
    await until(lambda: rig.slots.is_ready)
    waiting = rig.slots._ahead[0]
    waiting.process.signal(signal.SIGKILL)
    await until(lambda: rig.slots.is_ready and rig.slots._ahead[0] is not waiting)
    worker, ended = await rig.done("nothing")
    assert ended == Ended("done")
    assert worker.pid != waiting.pid


async def test_a_fork_server_that_cannot_boot_is_a_problem_and_no_job_fails(rig: Any, until: Any) -> None:
    """F9: multiprocessing itself would go on silently without what it could not load."""
    server = ForkServer("jobs_for_slots:boot_and_die")
    server.start()
    rig = await rig(server=server)
    job = asyncio.create_task(rig.job("nothing"))
    await until(lambda: rig.slots.problem)
    assert "RuntimeError: no boot today" in rig.slots.problem
    assert not job.done()
    job.cancel()
    await rig.slots.close()
    server.stop()


async def test_a_failing_start_is_tried_again_ever_slower_and_the_job_waits(
    rig: Any, light_server: ForkServer, until: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F14: not in a hot loop, not at the job's expense, and said in `problem`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    rig = await rig(server=light_server, run="arrives_late:run")
    job = asyncio.create_task(rig.job("nothing"))
    await until(lambda: rig.slots.problem)
    assert "ModuleNotFoundError: No module named 'arrives_late'" in rig.slots.problem
    assert not job.done()
    (tmp_path / "arrives_late.py").write_text("from jobs_for_slots import run")
    assert await rig.end(await job) == Ended("done")
    assert rig.slots.problem is None


async def test_the_loop_runs_on_while_processes_start(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """F21: a pool starts its first process in the thread that submits."""
    server = ForkServer("jobs_for_slots:boot_slowly")
    server.start()
    rig = await rig(server=server)
    job = asyncio.create_task(rig.done("nothing"))
    turns = 0
    while not job.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns > 5
    await rig.slots.close()
    server.stop()


async def test_a_job_that_gives_up_waiting_leaves_the_worker_to_the_next(rig: Any, light_server: ForkServer) -> None:
    """F2: nothing of a pool is cancelled."""
    rig = await rig(server=light_server)
    first = asyncio.create_task(rig.slots.take(Need()))
    await asyncio.sleep(0)
    first.cancel()
    assert (await rig.done("nothing"))[1] == Ended("done")


async def test_a_worker_that_was_given_back_takes_the_next_job_unless_it_died(
    rig: Any, light_server: ForkServer
) -> None:
    rig = await rig(server=light_server)
    taken = await rig.slots.take(Need())
    rig.slots.give_back(taken)
    assert (await rig.done("nothing")) == (taken, Ended("done"))
    taken = await rig.slots.take(Need())
    taken.process.signal(signal.SIGKILL)
    await taken.process.gone
    rig.slots.give_back(taken)
    worker, ended = await rig.done("nothing")
    assert worker is not taken
    assert ended == Ended("done")


async def test_a_cancelled_call_and_a_dead_worker_hang_nothing(rig: Any, light_server: ForkServer) -> None:
    """F2: a cancelled future and a dead worker leave later futures of the pool pending for ever (gh-107219)."""
    rig = await rig(server=light_server, count=2)
    worker = await rig.job("obedient")
    await rig.until(worker, Log)
    second = asyncio.create_task(worker.process.call("traind.trainer.worker.main:work"))
    await asyncio.sleep(0)
    second.cancel()
    third = asyncio.create_task(worker.process.call("traind.trainer.worker.main:work"))
    await asyncio.sleep(0)
    worker.process.signal(signal.SIGKILL)
    assert await third is None
    assert (await rig.end(worker)).kind == "died"


async def test_fifty_starts_and_stops_leave_nothing_behind(
    rig: Any, rig_type: Any, light_server: ForkServer, tmp_path: Path, until: Any
) -> None:
    del rig  # only for the path to the jobs: a rig that is kept would keep its workers' shared memory

    async def once(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        made = rig_type(light_server, folder)
        await made.start()
        await made.done("nothing")
        await made.slots.close()

    await once(0)
    before = _holdings()
    for number in range(1, 51):
        await once(number)
    await until(lambda: _holdings() == before)  # what closes with the last process may take a moment


def test_fork_servers_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def once() -> None:
        server = ForkServer("jobs_for_slots:boot_nothing")
        server.start()
        server.stop()
        server.stop()

    once()
    before = _holdings()
    for _ in range(10):
        once()
    assert _holdings() == before


def _holdings() -> dict[str, Any]:
    """What this process holds that can leak: descriptors, threads, children, named semaphores."""
    gc.collect()
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": sorted(thread.name.split("-")[0] for thread in threading.enumerate()),
        "children": len(multiprocessing.active_children()),
        "semaphores": Path("/proc/self/maps").read_text().count("/dev/shm/sem."),
    }


def test_a_fork_server_leaves_no_file() -> None:
    """Its socket has no name: nobody else can reach it, and a killed server leaves nothing in /tmp."""
    server = ForkServer("builtins:int")
    before = set(Path("/tmp").iterdir())
    server.start()
    try:
        assert {path for path in set(Path("/tmp").iterdir()) - before if path.name.startswith("tmp")} == set()
    finally:
        server.stop()


async def test_a_leftover_is_killed_and_its_successor_is_not(rig: Any, light_server: ForkServer) -> None:
    """F10, F15: pids are reused, so a process is its pid, its start and its boot."""
    rig = await rig(server=light_server)
    worker = await rig.job("deaf")
    await rig.until(worker, Log)
    real = worker.identity
    for other in (
        Identity(real.pid, real.started + 1, real.boot_id),
        Identity(real.pid, real.started, "another boot"),
    ):
        assert not is_alive(other)
        assert not await asyncio.to_thread(kill_leftover, other)
    assert is_alive(real)
    worker.process.signal(signal.SIGSTOP)
    assert await asyncio.to_thread(kill_leftover, real)
    assert not is_alive(real)
    assert not await asyncio.to_thread(kill_leftover, real)
    assert (await rig.end(worker)).signal == signal.SIGKILL


def test_nobody_is_who_has_no_process() -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        gone = identify(pool.apply(os.getpid))
        assert gone is not None
    pool.join()
    assert identify(gone.pid) != gone
