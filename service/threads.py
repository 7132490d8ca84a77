"""Blocking calls in threads of their own, and waking the event loop from threads.

The host's thread pool is not used, since it may be busy. Called wherever the service waits for the disk or a process.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Run a blocking function in a new thread and return its result."""
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
    """Finish a future, unless it is done or cancelled."""
    if not waiter.done():
        waiter.set_result(None)


def finish_from_thread(loop: asyncio.AbstractEventLoop, waiter: "asyncio.Future[None]") -> None:
    """Call `finish` on the loop, from any thread."""
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(finish, waiter)
