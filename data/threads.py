"""Work on columns or blocks of rows in parallel threads; numpy releases the GIL."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def mapped(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> list[Result]:
    """Return the function's result for each item, in order."""
    work = list(items)
    if threads < 2 or len(work) < 2:
        return [function(item) for item in work]
    with ThreadPoolExecutor(min(threads, len(work))) as pool:
        return list(pool.map(function, work))
