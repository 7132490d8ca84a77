"""A trainer that goes wrong in every way a trainer can, by its option `how`. Registered by the tests that need it."""

import ctypes
import os
import signal
import sys
import threading
import time
from typing import Any

import torch
from msgspec import Struct

from traind.trainer.run.run import Run


class Options(Struct):
    """How to go wrong, and at which step."""

    how: str
    at: int = 20


class Unpicklable(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, one: object, two: object) -> None:
        super().__init__()
        self.lock = threading.Lock()


def train(run: Run[Options]) -> None:
    """Take steps, and go wrong."""
    if run.options.how == "nothing":
        return
    weights = torch.zeros(4)
    first = 0
    if (state := run.restore()) is not None:
        weights, first = state["weights"], state["step"]
    for step in range(first + 1, 41):
        weights += step
        if step == run.options.at:
            _go_wrong(run, weights)
        run.report(step=step, total=40, loss=1.0 / step)
        if run.should_stop():
            break
        if step % 10 == 0:
            run.save({"weights": weights, "step": step})
    run.save({"weights": weights, "step": step})
    run.finish({"weights": {"w": weights}})


def _go_wrong(run: Run[Options], weights: torch.Tensor) -> None:
    ways[run.options.how](run, weights)


def _forget_memory(run: Run[Options], weights: torch.Tensor) -> None:
    kept = []
    while True:
        kept.append(torch.ones(16 * 1024 * 1024))


def _hang(run: Run[Options], weights: torch.Tensor) -> None:
    while True:
        time.sleep(0.05)


def _print_without_end(run: Run[Options], weights: torch.Tensor) -> None:
    line = "x" * 65_535 + "\n"
    for _ in range(2_000):  # 131 MB
        sys.stdout.write(line)


def _fork(run: Run[Options], weights: torch.Tensor) -> None:
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)


def _leave_a_thread(run: Run[Options], weights: torch.Tensor) -> None:
    threading.Thread(target=time.sleep, args=(60,)).start()


def _save_a_lock(run: Run[Options], weights: torch.Tensor) -> None:
    run.save({"lock": _Opaque()})


class _Opaque:
    pass


def _raise(error: BaseException) -> Any:
    def go(run: Run[Options], weights: torch.Tensor) -> None:
        raise error

    return go


def _signal_self(number: int) -> Any:
    def go(run: Run[Options], weights: torch.Tensor) -> None:
        os.kill(os.getpid(), number)
        time.sleep(60)

    return go


ways: dict[str, Any] = {
    "exit": lambda run, weights: sys.exit(3),
    "os_exit": lambda run, weights: os._exit(3),
    "os_exit_0": lambda run, weights: os._exit(0),
    "abort": lambda run, weights: os.abort(),
    "segfault": lambda run, weights: ctypes.string_at(0),
    "kill": _signal_self(signal.SIGKILL),
    "term": _signal_self(signal.SIGTERM),
    "freeze": _signal_self(signal.SIGSTOP),
    "interrupt": _raise(KeyboardInterrupt()),
    "raise": _raise(ValueError("the trainer's own words")),
    "unpicklable": _raise(Unpicklable(1, 2)),
    "memory": _forget_memory,
    "hang": _hang,
    "print": _print_without_end,
    "fork": _fork,
    "thread": _leave_a_thread,
    "unloadable": _save_a_lock,
}
