"""The mirrors of one service: a process for each target, started again where it died. They only read the root.

What a mirror cannot do now is a problem that `/health` says; it keeps no job waiting, and nothing is lost by it.
"""

import asyncio
import contextlib
import importlib.util
import logging
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from traind.service.mirrors.process import BYE, LEAVE_S, TARGET_VARIABLE
from traind.service.settings import Layout, Settings
from traind.service.validation.explain import Problem
from traind.service.validation.validate import refusal

LOG = logging.getLogger(__name__)
EXTRAS = {"tensorboard": "tensorboard", "mlflow": "mlflow"}  # the module that each target needs
SHORTEST_S, LONGEST_S = 1.0, 60.0  # before a process that died is started again
SLACK_S = 2.0  # beyond the time that a process takes to end


class Mirrors:
    """The processes of the mirrors. The service calls `start` and `close`."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        wanted = {"tensorboard": settings.tensorboard, "mlflow": settings.mlflow}
        self.targets = {kind: target for kind, target in wanted.items() if target}
        missing = [kind for kind in self.targets if importlib.util.find_spec(EXTRAS[kind]) is None]
        if missing:
            raise refusal(
                [Problem(kind, f"needs `pip install 'traind[{kind}]'`") for kind in missing], "The settings"
            )
        if "tensorboard" in self.targets:
            self.targets["tensorboard"] = str(Path(self.targets["tensorboard"]).absolute())
        self._layout = layout
        self._problems: dict[str, str] = {}
        self._since = 0.0  # when the service started, in seconds since 1970
        self._tasks: list[asyncio.Task[None]] = []
        self._processes: dict[str, Process] = {}

    def problems(self) -> list[str]:
        """Return the mirrors' present problems, as sentences."""
        return [f"The mirror to {kind}: {said}" for kind, said in self._problems.items()]

    def pids(self) -> set[int]:
        """Return the pids of the running processes."""
        return {process.pid for process in self._processes.values() if process.returncode is None}

    async def start(self) -> None:
        """Start a process for each target."""
        self._since = time.time()
        for kind, target in self.targets.items():
            process = await self._started(kind, target)
            self._tasks.append(asyncio.create_task(self._keep(kind, target, process), name=f"traind-mirror {kind}"))

    async def close(self) -> None:
        """Give the processes some seconds to write what is committed; the next server continues."""
        for process in self._processes.values():
            if process.stdin is not None:
                process.stdin.write(BYE)
                process.stdin.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LEAVE_S + SLACK_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _keep(self, kind: str, target: str, process: Process) -> None:
        """Keep the process of one target running, until its stdin is closed."""
        pause_s = SHORTEST_S
        while True:
            try:
                await self._listen(kind, process)
                code = await process.wait()
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()
            if process.stdin is not None and process.stdin.is_closing():
                return
            self._say(kind, f"its process ended with code {code}; the log says why.")
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_S, 2 * pause_s)
            process = await self._started(kind, target)

    async def _started(self, kind: str, target: str) -> Process:
        command = [sys.executable, "-m", "traind.service.mirrors.process", kind, str(self._layout.root)]
        process = self._processes[kind] = await asyncio.create_subprocess_exec(
            *command,
            str(self._since),
            stdin=PIPE,
            stdout=PIPE,
            stderr=None,
            start_new_session=True,
            env={**os.environ, TARGET_VARIABLE: target},
        )
        return process

    async def _listen(self, kind: str, process: Process) -> None:
        """Read the process's problem, one line; an empty line when it is over."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self._say(kind, line.decode("utf-8", "replace").strip())

    def _say(self, kind: str, problem: str) -> None:
        if problem:
            LOG.warning("the mirror to %s waits and tries again: %s", kind, problem)
            self._problems[kind] = problem
        elif self._problems.pop(kind, None) is not None:
            LOG.warning("the mirror to %s works again", kind)
