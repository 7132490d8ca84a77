"""What jobs printed: one output file for each attempt. Called by the service in threads."""

import asyncio
import codecs
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

from traind.service.jobs.job import TERMINAL, Job
from traind.service.results import LogPage

OUTPUT_NAME = "output.log"
CHARACTER_BYTES = 4  # the longest character in UTF-8
LOOK_S = 0.5  # between two reads of a running job's output


def read_end(job_dir: Path, limit_bytes: int) -> LogPage:
    """Return the last `limit_bytes` of a job's output, attempts in order, each under a line that names it."""
    parts: list[str] = []
    left, end = limit_bytes, (0, 0)
    outputs = _outputs(job_dir)
    for number, path in reversed(outputs):
        if left <= 0:
            break
        size = path.stat().st_size
        text, read_to, _ = _read(path, max(0, size - left), min(size, left))
        end = max(end, (number, read_to))
        left -= min(size, left)
        if text:
            parts.insert(0, _head(number) + text if len(outputs) > 1 else text)
    return LogPage("".join(parts), _cursor(*end))


def read_on(job_dir: Path, after: str, limit_bytes: int) -> LogPage:
    """Return what a job has written since the page whose `next` is `after`, `limit_bytes` at most.

    Raises `ValueError` for another `after`.
    """
    number, offset = (int(part) for part in after.split(":"))
    parts: list[str] = []
    left = limit_bytes
    for later, path in _outputs(job_dir):  # listed before any is read: all but the last are complete
        if later < number:
            continue
        start = offset if later == number else 0
        text, read_to, is_end = _read(path, start, left)
        if text:
            parts.append(_head(later) + text if start == 0 and later > 1 else text)
        left -= read_to - start
        number, offset = later, read_to
        if left <= 0 or not is_end:
            break
    return LogPage("".join(parts), _cursor(number, offset))


async def followed(
    status: Callable[[], Awaitable[Job]], page: Callable[[str | None], Awaitable[LogPage]]
) -> AsyncGenerator[str]:
    """Yield the end of what a job has written, then what it writes, until it is over."""
    after: str | None = None
    while True:
        is_over = (
            await status()
        ).status in TERMINAL  # before the page is read: a job that is over has written everything
        found = await page(after)
        after = found.next
        if found.logs:
            yield found.logs
        elif is_over:
            return
        else:
            await asyncio.sleep(LOOK_S)


def _outputs(job_dir: Path) -> list[tuple[int, Path]]:
    """Return the output files by attempt, in order."""
    paths = job_dir.glob(f"attempt-[0-9]*/{OUTPUT_NAME}")
    return sorted((int(path.parent.name.removeprefix("attempt-")), path) for path in paths)


def _read(path: Path, start: int, limit_bytes: int) -> tuple[str, int, bool]:
    """Return a piece of a file as text, the offset where it ends, and whether that is the end of the file."""
    wanted = max(limit_bytes, CHARACTER_BYTES)
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(wanted)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data)
    return text, start + len(data) - len(decoder.getstate()[0]), len(data) < wanted


def _head(number: int) -> str:
    return f"--- attempt-{number} ---\n"


def _cursor(number: int, offset: int) -> str:
    return f"{number}:{offset}"
