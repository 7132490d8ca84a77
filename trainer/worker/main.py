"""The outermost frame of a worker process: it sets the process up and runs its one job, or answers requests.

Only small plain values leave it, whatever a job does: an exception that cannot be unpickled would break the server's
pool, and `sys.exit` would be raised again in the server. Imports no torch: the fork server has loaded it (`boot`).
Called by name from `service/processes/worker_process.py` and `side.py`.
"""

import contextlib
import faulthandler
import multiprocessing
import os
import pkgutil
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

import msgspec

from traind.data.errors import DataError
from traind.trainer.contract.control import SharedControl, Verb
from traind.trainer.contract.errors import TrainerError
from traind.trainer.contract.process_tree import adopt_orphans, end_descendants
from traind.trainer.contract.spec import Assignment, Place, TrainSpec
from traind.trainer.source import is_stale, note_loaded
from traind.trainer.worker.libraries import load_for
from traind.trainer.worker.outbox import Outbox
from traind.trainer.worker.output import redirected

ORPHAN_S = 4.0  # for a job's checkpoint after its server died
OOM_SCORE_ADJ = 800  # of 1,000: so that the kernel kills a worker before the server
DRIVER = Path("/dev/nvidiactl")  # exists where there may be an NVIDIA GPU
STACKS_SIGNAL = signal.SIGUSR2
PATH_BYTES_MAX = 4_096  # of the assignment: no system has longer ones, and a pipe takes them at once
MESSAGE_CHARS = 500  # results stay under 1 kB: a larger one can be torn


@dataclass(slots=True)
class _Seat:
    """What the process received for its one job."""

    orders: int  # the pipe that brings its assignment
    outbox: Outbox
    control: SharedControl
    run: Callable[..., Any]
    memory_bytes: int | None


_decode = msgspec.json.Decoder(Assignment).decode  # made in the fork server, since it takes a millisecond
_seat: _Seat | None = None
_busy = threading.Event()


def initialise(
    pipe: "connection.Connection[Any, Any]",
    orders: "connection.Connection[Any, Any]",
    control: SharedControl,
    run: str,
    memory_bytes: int | None = None,
) -> None:
    """Set this process up as the worker of one job.

    Args:
        pipe: to write events to.
        orders: to read the path of the assignment from, once; closed where none comes.
        control: requests of the server, and the heartbeat.
        run: `module:function`, called as `run(spec, emit, place=, control=)`.
        memory_bytes: memory that the job may allocate; beyond it allocations fail, and the job with `out_of_memory`.
    """
    global _seat  # noqa: PLW0603 - the pool calls functions; this is where the process keeps its one seat
    _settle(control)
    outbox = Outbox(os.dup(pipe.fileno()))
    _seat = _Seat(os.dup(orders.fileno()), outbox, control, pkgutil.resolve_name(run), memory_bytes)
    pipe.close()
    orders.close()
    if (boot := sys.modules.get("traind.trainer.worker.boot")) is not None:  # torch is loaded
        boot.warm()


def initialise_side(memory_bytes: int | None = None) -> None:
    """Set this process up as a side worker, which answers requests and may allocate `memory_bytes`."""
    _settle(None, "traind-side")
    if memory_bytes is not None and not may_use_cuda(None, has_driver=DRIVER.exists()):
        _limit_memory(memory_bytes)


def work() -> dict[str, Any]:
    """Wait for the assignment and carry it out; return `{"ok": False, "error": ...}` if `run` raised.

    Otherwise return `{"ok": True}`, which the end of the events says before: the server need not wait for the pool.
    The call is made ahead of time: on its way to this process it takes several turns from thread to thread.
    """
    assert _seat is not None
    if not (path := os.read(_seat.orders, PATH_BYTES_MAX)):
        return {"ok": True}
    os.close(_seat.orders)
    answer = _carried_out(Path(os.fsdecode(path)), _seat)
    if answer["ok"]:
        _seat.outbox.end()
    _seat.outbox.drain()
    _busy.clear()
    return answer


def _carried_out(assignment_path: Path, seat: _Seat) -> dict[str, Any]:
    """Carry out the assignment, and end what it started."""
    attempt_dir = assignment_path.parent
    _busy.set()
    try:
        with redirected(attempt_dir / "output.log"), _stacks_on_demand(attempt_dir / "stacks.txt"):
            try:
                assignment = _decode(assignment_path.read_bytes())
                _take_device(assignment.place, memory_of(assignment.spec, seat.memory_bytes))
                load_for(assignment.spec)
                seat.run(assignment.spec, seat.outbox.emit, place=assignment.place, control=seat.control)
            except BaseException:
                traceback.print_exc()
                raise
        return {"ok": True}
    except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt too must not leave
        return {"ok": False, "error": _sentence(error)}
    finally:
        end_descendants(os.getpid())


def answer(function: str, request_path: str, answer_path: str) -> dict[str, Any]:
    """Run `module:function` on the request file's content, and write the answer file.

    Returns `{"ok": True}`; with `"is_stale": True` where a trainer's code changed since this process imported it, so
    that another process must answer; `{"ok": False}` after one of traind's errors, which is then in the file;
    `{"ok": False, "error": ...}` after any other.
    """
    _busy.set()
    try:
        request = msgspec.msgpack.decode(Path(request_path).read_bytes())
        trainer = request.get("trainer") if isinstance(request, dict) else None
        if trainer is not None and is_stale(trainer):
            return {"ok": True, "is_stale": True}
        try:
            content, is_ok = pkgutil.resolve_name(function)(request), True
        except (TrainerError, DataError) as error:
            content, is_ok = _described(error), False
        if trainer is not None:
            note_loaded(trainer)
        Path(answer_path).write_bytes(msgspec.msgpack.encode(content))
        return {"ok": is_ok}
    except BaseException as error:  # noqa: BLE001 - as in `work`
        return {"ok": False, "error": _sentence(error)}
    finally:
        _busy.clear()


def _settle(control: SharedControl | None, name: str = "traind-worker") -> None:
    """Detach from the terminal and the server's signals, and watch for the server's death."""
    os.setsid()
    adopt_orphans()
    multiprocessing.set_start_method(None, force=True)  # so that a job can choose how its processes start
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(STACKS_SIGNAL, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_ADJ), encoding="ascii")
        Path("/proc/self/comm").write_text(name, encoding="ascii")
    threading.Thread(target=_leave_with_server, args=(control,), name="orphan", daemon=True).start()


def _leave_with_server(control: SharedControl | None) -> None:
    """Wait for the server's death, then exit: at once when idle, with a job after a checkpoint."""
    server = parent_process()
    assert server is not None
    connection.wait([server.sentinel])
    if control is not None and _busy.is_set():
        control.verb = int(Verb.LEAVE)
        deadline = time.monotonic() + ORPHAN_S
        while _busy.is_set() and time.monotonic() < deadline:
            time.sleep(0.02)
    end_descendants(os.getpid())  # with processes that the job started, in any session
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _take_device(place: Place, memory_bytes: int | None) -> None:
    """Make only the job's own GPU visible; limit memory where it has none."""
    if place.visible_devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = place.visible_devices
    if memory_bytes is not None and not may_use_cuda(place.visible_devices, has_driver=DRIVER.exists()):
        _limit_memory(memory_bytes)


def memory_of(spec: TrainSpec, limit_bytes: int | None) -> int | None:
    """Return what one process of a job may allocate: its share of what the job asks for, at most the limit."""
    if spec.memory is None:
        return limit_bytes
    own = spec.memory // spec.workers
    return own if limit_bytes is None else min(own, limit_bytes)


def may_use_cuda(visible_devices: str | None, *, has_driver: bool) -> bool:
    """Return whether a process may load CUDA, which maps far more memory than it uses."""
    return has_driver if visible_devices is None else bool(visible_devices)


def _limit_memory(memory_bytes: int) -> None:
    """Limit private writable memory; unlike the address space it excludes mapped files, such as encoded data."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    now_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData:"))
    limit = now_kb * 1024 + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


@contextlib.contextmanager
def _stacks_on_demand(path: Path) -> Iterator[None]:
    """Write every thread's stack to the file on `STACKS_SIGNAL`, and to the job's output when it crashes."""
    with path.open("w", encoding="utf-8") as file:
        faulthandler.enable()
        faulthandler.register(STACKS_SIGNAL, file)
        yield
        faulthandler.unregister(STACKS_SIGNAL)
        signal.signal(STACKS_SIGNAL, signal.SIG_IGN)
    if path.stat().st_size == 0:
        path.unlink()


def _sentence(error: BaseException) -> str:
    """Return the error's type and message, even if its `__str__` raises."""
    try:
        return f"{type(error).__name__}: {error}"[:MESSAGE_CHARS]
    except Exception:  # noqa: BLE001 - an error's own __str__ may raise
        return type(error).__name__[:MESSAGE_CHARS]


def _described(error: TrainerError | DataError) -> dict[str, Any]:
    """Return the error as plain values; `service/side` makes the same error of them."""
    facts = {name: value for name, value in vars(error).items() if isinstance(value, str | int | float | None)}
    cells = [msgspec.to_builtins(cell) for cell in getattr(error, "cells", ())]
    kinds = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, TrainerError | DataError)]
    return {"kinds": kinds, "message": str(error), "facts": facts, "cells": cells}
