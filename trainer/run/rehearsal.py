"""Warnings of `run_trainer` about what a service would do differently."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

from traind.trainer.contract.liveness import REMEDY, Liveness, silence
from traind.trainer.contract.process_tree import cpu_s
from traind.trainer.run.run import Run


def unlike_a_service(train: Any) -> list[str]:
    """Return a warning for a trainer that a service could not import by its name in another process."""
    name = getattr(train, "__qualname__", "")
    if "<locals>" in name or "<lambda>" in name or not name:
        return ["A service could not import this trainer: define it with `def` at the top of a module."]
    return []


@contextlib.contextmanager
def watched(run: Run[Any], hang_s: float) -> Iterator[None]:
    """Log once, as an error, that a service's watchdog would have ended the job; by the same rule."""
    over = threading.Event()

    def watch() -> None:
        seen, started = Liveness(), time.monotonic()
        while not over.wait(min(1.0, hang_s / 10)):
            now = time.monotonic()
            seen.saw_beat(run.shared.beat, now)
            if seen.is_suspicious(now, hang_s):
                seen.saw_cpu(cpu_s(os.getpid()), now)
            mean_step_s = max(0.0, seen.beat_at - started) / max(1, seen.beat)
            if seen.is_hung(now, hang_s, mean_step_s, run.shared.phase):
                run.log(f"{silence(seen.silent_s(now))}. A service would end it. {REMEDY}", "error")
                return

    watcher = threading.Thread(target=watch, name="traind-rehearsal", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
