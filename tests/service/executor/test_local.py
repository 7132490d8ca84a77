"""Jobs in real worker processes: every way to talk, every way to die, and what arrives of it."""

import ast
import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from traind.service.executor.base import Ended
from traind.service.processes.fork_server import ForkServer
from traind.service.processes.identity import identify, is_alive
from traind.trainer.contract.events import Checkpoint, Log, Progress, State, Status


async def test_a_job_s_events_arrive_in_order_and_its_end_comes_last(workers: Any) -> None:
    worker, ended = await workers.done("nothing")
    assert [type(event) for event in workers.said[worker]] == [State, State, Ended]
    assert [event.status for event in workers.said[worker][:2]] == [Status.RUNNING, Status.COMPLETED]
    assert ended == Ended("done")


async def test_each_job_has_a_fresh_process(workers: Any) -> None:
    """F7: a slot is recycled by a new pool, never by max_tasks_per_child."""
    pids = {(await workers.done("nothing"))[0].pid for _ in range(3)}
    assert len(pids) == 3


WAYS_TO_DIE = [
    ("exit_code", {"code": 0}, {"exit_code": 0, "signal": None, "message": "the worker left with exit code 0"}),
    ("exit_code", {"code": 7}, {"exit_code": 7, "signal": None, "message": "the worker left with exit code 7"}),
    ("segfault", {}, {"signal": signal.SIGSEGV, "message": "the worker was killed by SIGSEGV"}),
    ("abort", {}, {"signal": signal.SIGABRT}),
    ("kill", {"number": signal.SIGKILL}, {"signal": signal.SIGKILL}),
    ("kill", {"number": signal.SIGBUS}, {"signal": signal.SIGBUS}),
    ("kill", {"number": 40}, {"signal": 40, "message": "the worker was killed by signal 40"}),
]


@pytest.mark.parametrize(("do", "options", "expected"), WAYS_TO_DIE)
async def test_a_worker_may_die_in_any_way_and_the_next_job_runs(
    workers: Any, do: str, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    """F1: a dead worker takes nothing with it but its own pool."""
    worker, ended = await workers.done(do, **options)
    assert ended.kind == "died"
    assert {name: getattr(ended, name) for name in expected} == expected
    assert not ended.was_killed
    assert [event.status for event in workers.said[worker][:-1]] == [Status.RUNNING]
    assert (await workers.done("nothing"))[1] == Ended("done")


async def test_a_dead_worker_leaves_other_jobs_alone(rig: Any) -> None:
    """F1: jobs that run, and jobs that wait for a worker."""
    rig = await rig(count=2)
    steady = await rig.job("obedient")
    await rig.until(steady, Log)
    assert (await rig.done("segfault"))[1].kind == "died"
    assert (await rig.done("abort"))[1].kind == "died"
    steady.ask(1)
    assert await rig.end(steady) == Ended("done")


async def test_the_crash_report_of_the_interpreter_is_in_the_output(workers: Any) -> None:
    _, ended = await workers.done("segfault")
    assert "Segmentation fault" in ended.output
    assert "string_at" in ended.output


@pytest.mark.parametrize("do", ["sys_exit", "ctrl_c", "generator_exit", "unpicklable", "print_and_raise"])
async def test_whatever_a_job_raises_stays_in_its_process(workers: Any, do: str) -> None:
    """F12, F13: sys.exit would stop the server's loop, and what cannot be unpickled would break its pool."""
    _, ended = await workers.done(do)
    kind = {"sys_exit": "SystemExit", "ctrl_c": "KeyboardInterrupt", "generator_exit": "GeneratorExit"}
    kind |= {"unpicklable": "Unpicklable", "print_and_raise": "ValueError: on purpose"}
    assert (ended.kind, ended.exit_code) == ("died", None)
    assert ended.message.startswith(kind[do])
    assert "Traceback" in ended.output
    assert (await workers.done("nothing"))[1] == Ended("done")


async def test_a_result_torn_by_the_worker_s_death_ends_the_job(workers: Any) -> None:
    """F4: the parent holds no write end of the result pipe, so that half a result is an end of file."""
    worker = await workers.job("half_result")
    pool = worker.process._pool
    assert pool._result_queue._writer.closed
    ended = await workers.end(worker)
    assert (ended.kind, ended.signal) == ("died", signal.SIGKILL)
    assert not pool._pending_work_items  # its future was not left pending


async def test_the_worker_that_follows_boots_once_the_job_has_taken_a_step(workers: Any) -> None:
    """A boot takes three times the processor that a job's start does, which would wait for it."""
    slots = workers.slots
    worker = await workers.job("progress_and_wait")
    assert slots._booting + len(slots._ahead) == 0
    await workers.until(worker, Progress)
    assert slots._booting + len(slots._ahead) == 1
    worker.ask(1)
    await workers.end(worker)


async def test_a_job_without_steps_delays_the_worker_that_follows_for_a_moment_only(workers: Any, until: Any) -> None:
    worker = await workers.job("obedient")
    await until(lambda: workers.slots.is_ready)
    worker.ask(1)
    await workers.end(worker)


async def test_what_happens_to_a_worker_after_its_job_returned_is_nobodys_matter(workers: Any) -> None:
    assert (await workers.done("done_and_dead"))[1] == Ended("done")
    assert (await workers.done("nothing"))[1] == Ended("done")


async def test_a_frame_torn_by_the_worker_s_death_is_dropped(workers: Any) -> None:
    worker, ended = await workers.done("half_frame")
    assert [type(event) for event in workers.said[worker]] == [State, Log, Ended]
    assert ended.signal == signal.SIGKILL


@pytest.mark.parametrize(
    ("do", "options"),
    [
        ("no_frame", {"text": "{}"}),
        ("no_frame", {"text": "not JSON"}),
        ("no_frame", {"text": '{"type":"log","message":"\xff"}'}),
        ("endless_frame", {}),
    ],
)
async def test_a_worker_that_writes_what_is_no_event_is_killed(
    workers: Any, do: str, options: dict[str, Any]
) -> None:
    worker, ended = await workers.done(do, **options)
    assert ended.message.startswith("the worker wrote what is not an event")
    assert ended.signal == signal.SIGKILL
    assert [type(event) for event in workers.said[worker]] == [State, Ended]


async def test_a_job_sees_what_is_asked_and_its_heart_is_seen(workers: Any, until: Any) -> None:
    """F3: a flag that the loop polls."""
    worker = await workers.job("obedient")
    await workers.until(worker, Log)
    before = worker.beat()
    await until(lambda: worker.beat().number > before.number)
    worker.ask(3)
    worker.ask(2)  # the weaker verb does not replace the stronger
    assert (await workers.until(worker, Log)).message == "CANCEL"
    assert await workers.end(worker) == Ended("done")


@pytest.mark.parametrize("do", ["deaf", "deaf_holding_the_interpreter"])
async def test_a_deaf_job_is_killed(workers: Any, do: str) -> None:
    """F3: then SIGKILL, of that process."""
    worker = await workers.job(do)
    await workers.until(worker, Log)
    worker.ask(3)
    worker.kill()
    ended = await workers.end(worker)
    assert (ended.signal, ended.was_killed) == (signal.SIGKILL, True)


async def test_a_frozen_worker_is_killed(workers: Any) -> None:
    worker = await workers.job("deaf")
    await workers.until(worker, Log)
    worker.process.signal(signal.SIGSTOP)
    worker.kill()
    assert (await workers.end(worker)).signal == signal.SIGKILL


async def test_a_hanging_job_shows_where_it_hangs(workers: Any) -> None:
    worker = await workers.job("deaf_holding_the_interpreter")
    await workers.until(worker, Log)
    stacks = await worker.stacks()
    assert "deaf_holding_the_interpreter" in stacks
    assert (worker.attempt_dir / "stacks.txt").read_text() == stacks
    worker.kill()


async def test_a_frozen_worker_has_no_stacks_to_show(workers: Any) -> None:
    worker = await workers.job("deaf")
    await workers.until(worker, Log)
    worker.process.signal(signal.SIGSTOP)
    assert await worker.stacks() == ""
    worker.kill()


async def test_what_a_job_started_dies_with_it_and_cannot_speak_for_it(workers: Any, until: Any) -> None:
    worker, ended = await workers.done("fork")
    assert ended == Ended("done")
    (log,) = [event for event in workers.said[worker] if isinstance(event, Log)]
    left = [int(pid) for pid in log.message.split()]
    await worker.process.gone
    await until(lambda: not any(identify(pid) for pid in left))


@pytest.mark.parametrize("end", ["return", "deaf", "kill"])
async def test_what_left_the_jobs_session_dies_with_it_however_it_ends(end: str, workers: Any, until: Any) -> None:
    worker = await workers.job("daemon", end=end)
    daemon = int((await workers.until(worker, Log)).message)
    if end == "deaf":
        assert os.getsid(daemon) not in (os.getsid(worker.pid), os.getsid(0))
        worker.kill()
    await workers.end(worker)
    await until(lambda: not identify(daemon))


async def test_a_daemon_of_one_job_survives_the_end_of_another(rig: Any, until: Any) -> None:
    workers = await rig(count=2)
    first = await workers.job("daemon", end="deaf")
    daemon = int((await workers.until(first, Log)).message)
    second, _ = await workers.done("daemon", end="kill")
    await second.process.gone
    await workers.done("nothing")
    assert identify(daemon)
    first.kill()
    await until(lambda: not identify(daemon))


async def test_torchs_own_workers_start_as_in_any_program(workers: Any) -> None:
    """F25: a lambda cannot be pickled, and need not be."""
    worker, ended = await workers.done("load_batches")
    assert ended == Ended("done")
    assert {event.message for event in workers.said[worker] if isinstance(event, Log)} == {str(sum(range(64)))}


async def test_of_a_burst_of_lines_each_is_kept_or_counted(workers: Any) -> None:
    worker, ended = await workers.done("flood", count=30_000)
    assert ended == Ended("done")
    lines = [event.message for event in workers.said[worker] if isinstance(event, Log)]
    kept = [line for line in lines if line.startswith("line ")]
    dropped = [int(line.split()[0].replace(",", "")) for line in lines if "lines of the log were dropped" in line]
    assert len(kept) + sum(dropped) == 30_000
    assert kept[0] == "line 0"


async def test_a_job_may_have_processes_and_shared_memory_of_its_own(workers: Any) -> None:
    worker, ended = await workers.done("own_processes")
    assert ended == Ended("done")
    assert [event.message for event in workers.said[worker] if isinstance(event, Log)] == ["7", "7"]
    assert (worker.attempt_dir / "output.log").read_text() == ""


async def test_a_thread_left_running_does_not_keep_the_job(workers: Any) -> None:
    worker, ended = await workers.done("thread_left_running")
    assert ended == Ended("done")
    worker.kill()  # it would be, in a while: an idle worker that does not leave is


async def test_a_job_that_closed_every_descriptor_has_ended(workers: Any) -> None:
    _, ended = await workers.done("close_everything")
    assert ended.kind == "died"


async def test_what_a_worker_is(workers: Any) -> None:
    """F16, F17, F18, F19: its own session, first to go when memory is short, one thread, no host's main module."""
    worker, _ = await workers.done("facts")
    facts = ast.literal_eval((worker.attempt_dir / "facts.txt").read_text())
    assert facts == {
        "start_method": "fork",  # Python's own default on Linux before 3.14, not the way in which workers start
        "main": "none",
        "session": True,
        "oom_score_adj": 800,
        "torch_threads": 1,
        "bare_names": [],
        "marked": False,
        "cuda_initialised": False,
    }


async def test_everything_heavy_is_loaded_before_the_job_is(workers: Any, fork_server: ForkServer) -> None:
    """F9: a failing preload would be silent; the fork server has the one thread that survives a fork."""
    worker, _ = await workers.done("loaded_before")
    (log,) = [event for event in workers.said[worker] if isinstance(event, Log)]
    assert log.message == "numpy torch torch.fx traind.trainer.run.attempt"
    assert "Threads:\t1\n" in Path(f"/proc/{fork_server.pid}/status").read_text()


async def test_a_job_may_use_more_threads_than_the_fork_server_had(workers: Any) -> None:
    worker, _ = await workers.done("torch_on_two_threads")
    (log,) = [event for event in workers.said[worker] if isinstance(event, Log)]
    assert log.message == "2 1200"


async def test_a_worker_ignores_ctrl_c_and_obeys_sigterm(workers: Any) -> None:
    """F8, F16: neither reaches the server's own handlers."""
    reached = []
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, reached.append, "SIGTERM")
    try:
        worker = await workers.job("obedient")
        await workers.until(worker, Log)
        worker.process.signal(signal.SIGINT)
        worker.process.signal(signal.SIGTERM)
        assert (await workers.end(worker)).signal == signal.SIGTERM
        await asyncio.sleep(0)
        assert reached == []
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def test_a_worker_s_memory_is_bounded_and_mapped_files_are_not_counted(rig: Any) -> None:
    """F17: the job gets the error, not the machine."""
    rig = await rig(memory_bytes=200 * 1024 * 1024)
    _, ended = await rig.done("hog")
    assert ended.message.startswith("MemoryError")
    assert (await rig.done("map_a_large_file"))[1] == Ended("done")


@pytest.mark.parametrize("how", ["python", "c"])
async def test_a_job_that_prints_without_end_fills_no_disk(workers: Any, how: str) -> None:
    worker, ended = await workers.done("print_much", how=how)
    assert ended == Ended("done")
    output = (worker.attempt_dir / "output.log").read_bytes()
    assert len(output) < 20 * 1024 * 1024
    assert output.endswith(b"the last line\n")
    assert b"[earlier output was dropped]" in output


async def test_one_huge_line_fills_no_disk(workers: Any) -> None:
    worker, ended = await workers.done("print_a_gigabyte_at_once")
    assert ended == Ended("done")
    assert (worker.attempt_dir / "output.log").stat().st_size < 8 * 1024 * 1024


async def test_all_that_a_job_prints_is_in_its_output(workers: Any) -> None:
    worker, _ = await workers.done("speak_c")
    assert (worker.attempt_dir / "output.log").read_text() == "from C\nfrom a child\nfrom Python\n"
    assert not (worker.attempt_dir / "stacks.txt").exists()


async def test_a_job_never_waits_for_the_server_and_only_progress_is_thinned(rig: Any, until: Any) -> None:
    rig = await rig(inbox_size=2)
    worker = await rig.job("report_much", count=20_000)
    await until((worker.attempt_dir / "reported").exists)  # with nobody reading the inbox
    assert rig.inbox.full()
    assert await rig.end(worker) == Ended("done")
    events = rig.said[worker]
    assert [event.step for event in events if isinstance(event, Checkpoint)] == list(range(1_000, 20_001, 1_000))
    steps = [event.step for event in events if isinstance(event, Progress | Checkpoint)]
    assert steps == sorted(steps)
    progress = [event for event in events if isinstance(event, Progress)]
    assert len(progress) < 10_000
    assert progress[-1].step == 20_000
    assert isinstance(events[-2], State)


async def test_an_event_larger_than_the_pipe_arrives_whole(workers: Any) -> None:
    worker, _ = await workers.done("large_state")
    (log,) = [event for event in workers.said[worker] if isinstance(event, Log)]
    assert log.message == "z" * 3_000_000


async def test_close_ends_jobs_that_run_frozen_ones_too(rig: Any) -> None:
    """F6: shutdown that can hang is bounded, and the process is killed."""
    rig = await rig(count=2)
    jobs = [await rig.job("deaf"), await rig.job("deaf_holding_the_interpreter")]
    for job in jobs:
        await rig.until(job, Log)
    jobs[0].process.signal(signal.SIGSTOP)
    await rig.slots.close()
    assert not [job for job in jobs if is_alive(job.identity)]


async def test_close_while_nobody_reads_the_inbox(rig: Any, until: Any) -> None:
    rig = await rig(inbox_size=1)
    worker = await rig.job("report_much", count=1_000_000)
    await until(rig.inbox.full)
    await rig.slots.close()
    assert not is_alive(worker.identity)
