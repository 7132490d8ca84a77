"""One worker process, behind a pool of one worker: started, called, watched and ended.

A dead worker breaks its whole `ProcessPoolExecutor`, and for ever; so each process has a pool of its own, and the
pool is thrown away with it. Used by `slots` (jobs) and `side` (requests).
"""

import asyncio
import contextlib
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import util
from multiprocessing.synchronize import SemLock
from typing import Any, Self

from traind.service.processes.fork_server import BootFailed, ForkServer, Named
from traind.service.processes.identity import Identity, identify, is_alive, kill_group
from traind.service.threads import finish_from_thread, in_thread
from traind.trainer.contract.process_tree import kill_tree

SETTLE_S = 1.0  # by then the result of a dead process has arrived, or never will
LEAVE_S = 5.0  # then an idle process that was asked to end is killed


class WorkerProcess:
    """A process that runs one call at a time; `gone` is done when it has died."""

    def __init__(self, server: ForkServer, pool: ProcessPoolExecutor, identity: Identity, pidfd: int) -> None:
        self.identity = identity
        self.was_killed = False  # by us
        self._server = server
        self._pool: ProcessPoolExecutor | None = pool
        self._pidfd: int | None = pidfd
        self._process = next(iter((getattr(pool, "_processes", None) or {}).values()), None)
        self._manager = getattr(pool, "_executor_manager_thread", None)
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(pidfd, self._left)

    @classmethod
    async def start(cls, server: ForkServer, initialise: str, *initargs: Any, boot_s: float) -> Self:
        """Start a process that has run `initialise(*initargs)`, or raise `BootFailed`. Not to be cancelled."""
        pool, identity, pidfd = await in_thread(_boot, server, initialise, initargs, boot_s)
        return cls(server, pool, identity, pidfd)

    async def call(self, function: str, *args: Any) -> dict[str, Any] | None:
        """Run `module:function` in the process and return its answer; None when the process died instead.

        Cancelling leaves the call running: a cancelled future can hang a pool.
        """
        answered: asyncio.Future[None] = self._loop.create_future()
        assert self._pool is not None  # not retired yet
        try:
            future = self._pool.submit(Named(function), *args)
        except BrokenProcessPool:
            return None
        future.add_done_callback(lambda _: finish_from_thread(self._loop, answered))
        await asyncio.wait({answered, self.gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            await asyncio.wait({answered}, timeout=SETTLE_S)
        if not future.done() or future.exception() is not None:
            await asyncio.wait({self.gone}, timeout=SETTLE_S)
            self.kill()  # it lives, but its result cannot come any more
            await asyncio.wait({self.gone})
            return None
        answer: dict[str, Any] = future.result()
        return answer

    def signal(self, number: int) -> None:
        """Send a signal to exactly this process."""
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        """Kill it and its process group."""
        if not self.gone.done():
            self.was_killed = True
            if is_alive(self.identity):
                kill_tree(self.identity.pid)
            self.signal(signal.SIGKILL)

    async def exit_code(self) -> int | None:
        """Return its exit code once it is gone; negative for a signal, None if unknown."""
        if self._process is None:
            return None
        code = await in_thread(getattr, self._process, "exitcode")
        if (
            code is None and self._manager is not None
        ):  # the pool's thread waits for the exit code too, and only one of the two gets it
            await in_thread(self._manager.join, LEAVE_S)
            code = await in_thread(getattr, self._process, "exitcode")
        return None if code == 255 else code  # what multiprocessing says when it could not find out

    async def retire(self, grace_s: float = LEAVE_S) -> None:
        """Let it end, kill it if it does not, and release its resources. Not to be cancelled."""
        if self._pool is None:
            return
        leaving = asyncio.create_task(in_thread(self._pool.shutdown, False))  # not wait: but its lock may be held
        await asyncio.wait({self.gone}, timeout=grace_s)
        self.kill()
        await asyncio.wait({self.gone}, timeout=LEAVE_S)
        await asyncio.wait({leaving}, timeout=LEAVE_S)
        if self._manager is not None:
            await in_thread(self._manager.join, LEAVE_S)
        if self._manager is None or not self._manager.is_alive():  # else letting go of the pool would block too
            if self._process is not None:
                self._process.close()
            self._pool = self._process = self._manager = None
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _left(self) -> None:
        assert self._pidfd is not None
        self._loop.remove_reader(self._pidfd)
        kill_group(self.identity.pid)
        threading.Thread(target=self._server.end_strangers, name="traind-strangers", daemon=True).start()
        self.gone.set_result(None)


def _boot(
    server: ForkServer, initialise: str, initargs: tuple[Any, ...], boot_s: float
) -> tuple[ProcessPoolExecutor, Identity, int]:
    pool = ProcessPoolExecutor(1, mp_context=server.context(), initializer=Named(initialise), initargs=initargs)
    try:
        pid = pool.submit(os.getpid).result(timeout=boot_s)
        pidfd = os.pidfd_open(pid)
    except BootFailed:
        _discard(pool)
        raise
    except Exception as error:
        _discard(pool)
        what = f"no answer within {boot_s:g} s" if isinstance(error, TimeoutError) else str(error)
        raise BootFailed(f"no worker process could be started: {what}\n{server.output()}".strip()) from error
    # The parent's own copy of the result pipe's write end would hide that the worker died half-way through a result.
    writer = getattr(getattr(pool, "_result_queue", None), "_writer", None)
    if writer is not None:
        writer.close()
    _unname_semaphores(pool)
    return pool, identify(pid) or Identity(pid, 0, ""), pidfd


def _unname_semaphores(pool: ProcessPoolExecutor) -> None:
    """Unlink the pool's semaphores now that both sides have opened them, so that a killed server leaves none."""
    queues = (getattr(pool, "_call_queue", None), getattr(pool, "_result_queue", None))
    locks = [getattr(queue, name, None) for queue in queues for name in ("_rlock", "_wlock", "_sem")]
    names = {getattr(getattr(lock, "_semlock", None), "name", None) for lock in locks}
    for finalizer in list(getattr(util, "_finalizer_registry", {}).values()):
        callback, args = getattr(finalizer, "_callback", None), getattr(finalizer, "_args", None)
        if callback is getattr(SemLock, "_cleanup", ...) and args and args[0] in names:
            finalizer()


def _discard(pool: ProcessPoolExecutor) -> None:
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False)
    for process in processes:
        process.kill()
