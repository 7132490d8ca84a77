"""Blocking calls off the event loop, each in a thread of its own, and waking the loop from other threads.

Not the host's thread pool: that may be busy with anything. Used wherever the service waits for the disk or a process.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Run what blocks in a thread of its own, not of the host's pool, which may be busy; return its result."""
    loop = asyncio.get_running_loop()
    result: Future[Any] = Future()
    ended: asyncio.Future[None] = loop.create_future()

    def run() -> None:
        try:
            result.set_result(function(*args))
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            result.set_exception(error)
        finish_from_thread(loop, ended)

    threading.Thread(target=run, name=f"traind-{function.__name__}", daemon=True).start()
    await ended
    return result.result()


def finish(waiter: "asyncio.Future[None]") -> None:
    """Let go on who waits, if anyone still does."""
    if not waiter.done():
        waiter.set_result(None)


def finish_from_thread(loop: asyncio.AbstractEventLoop, waiter: "asyncio.Future[None]") -> None:
    """Call `finish` on the loop, from any thread."""
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(finish, waiter)
