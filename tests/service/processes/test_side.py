"""The side worker: calls, errors, deaths and cancelled callers, in real processes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from traind.data import errors as data_errors
from traind.data.errors import BadCell, DataError
from traind.service.errors import NotRunning, SideWorkerBusy, SideWorkerFailed
from traind.service.processes.fork_server import ForkServer
from traind.service.processes.lane import CLIENT, WAITING_EACH
from traind.service.processes.side import SideWorker
from traind.trainer.contract import errors as trainer_errors
from traind.trainer.contract.errors import SpecError, TrainerError


@pytest.fixture
async def side(fork_server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    worker = SideWorker(fork_server, tmp_path / "side", width=2)
    await worker.start()
    yield worker
    await worker.close()
    assert not (tmp_path / "side").exists()


async def test_a_call_is_answered(side: SideWorker) -> None:
    assert await side.call("calls_for_side:double", {"number": 21}) == {"twice": 42}


async def test_payloads_of_any_size_and_kind_go_by_file(side: SideWorker, tmp_path: Path) -> None:
    """F5: big arguments stick in a pool's feeder thread."""
    request = {"rows": ["x" * 1_000] * 20_000, "bytes": b"\x00\xff", "nan": float("inf"), "none": None, "big": 2**63}
    assert await side.call("calls_for_side:echo", request) == request
    assert list((tmp_path / "side").iterdir()) == []


async def test_a_function_keeps_its_process_and_what_it_loaded(side: SideWorker) -> None:
    answers = [await side.call("calls_for_side:count_calls", {}) for _ in range(3)]
    assert [answer["calls"] for answer in answers] == [1, 2, 3]
    assert len({answer["pid"] for answer in answers}) == 1


def _leaves(kind: type) -> set[type]:
    return {kind} | {leaf for sub in kind.__subclasses__() for leaf in _leaves(sub)}


@pytest.mark.parametrize(
    "kind",
    sorted(
        (k for k in _leaves(TrainerError) | _leaves(DataError) if k.__module__.endswith(".errors")),
        key=lambda kind: kind.__name__,
    ),
)
async def test_our_errors_come_back_as_they_were_raised(side: SideWorker, kind: type) -> None:
    with pytest.raises(kind) as caught:
        await side.call("calls_for_side:refuse", {"kind": kind.__name__})
    error: Any = caught.value
    assert type(error) is kind
    assert (str(error), error.message, error.hint) == ("no", "no", "try")
    if isinstance(error, DataError):
        assert error.cells == (BadCell(3, "price", "x", "not a number"),)


async def test_an_error_of_a_class_unknown_here_comes_back_as_the_nearest_known(side: SideWorker) -> None:
    with pytest.raises(SpecError) as caught:
        await side.call("calls_for_side:refuse_in_private", {})
    assert (type(caught.value), caught.value.field) == (SpecError, "epochs")


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("fail", "Unpicklable"),
        ("leave", "SystemExit"),
        ("answer_nonsense", "TypeError"),
        ("die", "The process died in calls_for_side:die"),
        ("is_not_there", "AttributeError"),
    ],
)
async def test_anything_else_fails_the_call_and_the_next_one_is_answered(
    side: SideWorker, function: str, says: str
) -> None:
    for _ in range(2):
        with pytest.raises(SideWorkerFailed, match=says):
            await side.call(f"calls_for_side:{function}", {})
    assert await side.call("calls_for_side:double", {"number": 1}) == {"twice": 2}


def _waiting(tmp_path: Path, name: str) -> dict[str, str]:
    return {"begun": str(tmp_path / f"{name}-begun"), "end": str(tmp_path / f"{name}-end")}


async def test_a_long_call_delays_no_call_of_another_function(side: SideWorker, tmp_path: Path, until: Any) -> None:
    request = _waiting(tmp_path, "long")
    long = asyncio.create_task(side.call("calls_for_side:wait_for", request))
    await until(Path(request["begun"]).exists)
    assert await side.call("calls_for_side:double", {"number": 1}) == {"twice": 2}
    assert not long.done()
    Path(request["end"]).touch()
    assert await long == {"ended": True}


async def begin(side: SideWorker, request: dict[str, str], client: str = "") -> "asyncio.Task[Any]":
    """Start a call on a client's account."""
    token = CLIENT.set(client)
    call = asyncio.create_task(side.call("calls_for_side:wait_for", request))
    CLIENT.reset(token)
    await asyncio.sleep(0)
    return call


async def test_calls_of_one_client_take_turns_and_leave_a_place_to_others(
    side: SideWorker, tmp_path: Path, until: Any
) -> None:
    first, second, others = (_waiting(tmp_path, name) for name in ("first", "second", "others"))
    calls = [await begin(side, first, "ann")]
    await until(Path(first["begun"]).exists)
    calls.append(await begin(side, second, "ann"))
    calls.append(await begin(side, others, "bob"))
    await until(Path(others["begun"]).exists)
    assert not Path(second["begun"]).exists()
    Path(first["end"]).touch()
    await until(Path(second["begun"]).exists)
    for one in (second, others):
        Path(one["end"]).touch()
    assert await asyncio.gather(*calls) == [{"ended": True}] * 3


async def test_a_call_whose_caller_left_while_it_waited_does_not_run(
    side: SideWorker, tmp_path: Path, until: Any
) -> None:
    first, left, last = (_waiting(tmp_path, name) for name in ("first", "left", "last"))
    running = await begin(side, first)
    await until(Path(first["begun"]).exists)
    abandoned, kept = await begin(side, left), await begin(side, last)
    abandoned.cancel()
    await asyncio.gather(abandoned, return_exceptions=True)
    for one in (first, left, last):
        Path(one["end"]).touch()
    await asyncio.gather(running, kept)
    assert not Path(left["begun"]).exists()


async def test_a_running_call_whose_caller_left_is_ended(side: SideWorker, tmp_path: Path, until: Any) -> None:
    request = _waiting(tmp_path, "endless")
    call = await begin(side, request)
    await until(Path(request["begun"]).exists)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert await side.call("calls_for_side:wait_for", _ended(tmp_path)) == {"ended": True}  # its place is free again


def _ended(tmp_path: Path) -> dict[str, str]:
    request = _waiting(tmp_path, "ended")
    Path(request["end"]).touch()
    return request


async def test_calls_beyond_the_queue_are_refused_at_once(side: SideWorker, tmp_path: Path, until: Any) -> None:
    request = _waiting(tmp_path, "many")
    calls = [await begin(side, request)]
    await until(Path(request["begun"]).exists)
    calls += [await begin(side, request) for _ in range(WAITING_EACH)]
    await until(lambda: side.waiting("calls_for_side:wait_for") == WAITING_EACH)
    with pytest.raises(SideWorkerBusy, match="8 calls of yours wait"):
        await side.call("calls_for_side:wait_for", request)
    other = await begin(side, request, "bob")
    Path(request["end"]).touch()
    assert await asyncio.gather(*calls, other) == [{"ended": True}] * (WAITING_EACH + 2)


async def test_a_call_that_takes_too_long_is_ended_and_the_next_one_is_answered(
    side: SideWorker, tmp_path: Path
) -> None:
    request = _waiting(tmp_path, "never")
    with pytest.raises(SideWorkerFailed, match=r"took longer than 0\.05 s"):
        await side.call("calls_for_side:wait_for", request, timeout_s=0.05)
    Path(request["end"]).touch()
    assert await side.call("calls_for_side:wait_for", request) == {"ended": True}


async def test_a_caller_who_leaves_disturbs_nobody(side: SideWorker, tmp_path: Path, until: Any) -> None:
    """F2: the executor's future is never cancelled."""
    request = _waiting(tmp_path, "left")
    call = asyncio.create_task(side.call("calls_for_side:wait_for", request))
    await until(Path(request["begun"]).exists)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    Path(request["end"]).touch()
    assert await side.call("calls_for_side:wait_for", request) == {"ended": True}


async def test_closing_ends_calls_that_run_and_those_that_wait(
    fork_server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    side = SideWorker(fork_server, tmp_path / "side")
    await side.start()
    request = _waiting(tmp_path, "closed")
    calls = [asyncio.create_task(side.call("calls_for_side:wait_for", request)) for _ in range(3)]
    await until(Path(request["begun"]).exists)
    await side.close()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(answer) for answer in answers} == {SideWorkerFailed, NotRunning}
    with pytest.raises(NotRunning):
        await side.call("calls_for_side:double", {"number": 1})


async def test_a_process_that_nobody_calls_leaves_and_the_next_call_starts_another(
    side: SideWorker, until: Any
) -> None:
    first = (await side.call("calls_for_side:who", {}, idle_s=0.05))["pid"]
    await until(lambda: not Path("/proc", str(first)).exists())
    second = (await side.call("calls_for_side:who", {}))["pid"]
    assert second != first
    await side.close()
    assert not Path("/proc", str(second)).exists()


async def test_leftovers_of_a_killed_server_are_swept(fork_server: ForkServer, tmp_path: Path) -> None:
    left = tmp_path / "side" / "call"
    left.mkdir(parents=True)
    (left / "request").touch()
    side = SideWorker(fork_server, tmp_path / "side")
    await side.start()
    assert list((tmp_path / "side").iterdir()) == []


async def test_no_process_means_a_failed_call_and_the_reason_is_logged_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = ForkServer("builtins:no_such_boot")
    server.start()
    side = SideWorker(server, tmp_path / "side")
    await side.start()
    with pytest.raises(SideWorkerFailed, match="No process can be started for this; the log says why"):
        await side.call("calls_for_side:double", {"number": 1})
    assert "no_such_boot" in caplog.text
    await side.close()
    server.stop()


def test_both_trees_of_errors_are_tried() -> None:
    assert len(_leaves(TrainerError)) > 5
    assert {kind.__module__ for kind in _leaves(DataError)} >= {data_errors.__name__}
    assert trainer_errors.SpecError in _leaves(TrainerError)


OLD = "def train(run): ...\ndef predict(model, rows): return ['old'] * len(rows)\n"


async def test_code_that_was_changed_is_not_run_any_more(
    side: SideWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trainer's code is imported once by a process; one that has the old code is replaced."""
    import torch

    from traind.trainer.model.tensor_file import write_model

    module = tmp_path / "edited_trainer.py"
    module.write_text(OLD)
    monkeypatch.syspath_prepend(str(tmp_path))
    model = tmp_path / "model.pt"
    write_model(model, {"weights": {"w": torch.zeros(1)}}, {"trainer": "mine"})
    request = {"model_path": str(model), "trainer": "edited_trainer:train", "rows": [{"x": 1}]}
    predict, check = "traind.trainer.model.answers:predict_request", "traind.trainer.plugins:check_request"
    assert (await side.call(predict, request))["predictions"] == ["old"]
    assert (await side.call(check, {"trainer": "edited_trainer:train", "options": {"a": 1}}))["options"] is None
    options = (
        "import dataclasses\nfrom traind import Run\n@dataclasses.dataclass\nclass Options:\n    width: int = 1\n"
    )
    module.write_text(options + OLD.replace("'old'", "'new'").replace("run)", "run: Run[Options])"))
    assert (await side.call(predict, request))["predictions"] == ["new"]
    with pytest.raises(SpecError, match="no option `a`"):
        await side.call(check, {"trainer": "edited_trainer:train", "options": {"a": 1}})
