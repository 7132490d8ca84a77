"""What a job prints, kept in a file that cannot grow without bound.

Standard output and error go to the file by descriptor, so that what C code and a dying interpreter say is there
too. When it is full its older half goes.
"""

import _thread
import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

OUTPUT_BYTES = 4 * 1024 * 1024
LOOK_EVERY_S = 0.2  # Python's own prints are checked as they come, C code's this often
DROPPED = b"[earlier output was dropped]\n"


class OutputFile(io.RawIOBase):
    """A file that keeps the newest output only; printing to it never fails, be the disk full."""

    def __init__(self, path: Path, limit_bytes: int = OUTPUT_BYTES) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._limit = limit_bytes
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        """Append, and drop the older half of the file where it grew too long."""
        view = memoryview(data).cast("B")
        with contextlib.suppress(OSError):
            os.write(self._fd, view[-self._limit // 2 :])
            self.trim()
        return len(view)

    def trim(self) -> None:
        """Drop the older half of the file if it is longer than its limit."""
        with self._lock:
            size = os.fstat(self._fd).st_size
            if size > self._limit:
                kept = os.pread(self._fd, self._limit // 2, size - self._limit // 2)
                os.ftruncate(self._fd, 0)
                os.write(self._fd, DROPPED + kept)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            super().close()
            os.close(self._fd)


@contextlib.contextmanager
def redirected(path: Path, limit_bytes: int = OUTPUT_BYTES) -> Iterator[None]:
    """Send everything that this process prints to the file, for good: it is the process's last job."""
    output = OutputFile(path, limit_bytes)
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    sys.stdout = io.TextIOWrapper(output, errors="backslashreplace", line_buffering=True, write_through=True)
    sys.stderr = sys.stdout
    ended, left = threading.Event(), threading.Event()

    def watch() -> None:
        while not ended.wait(LOOK_EVERY_S):
            with contextlib.suppress(OSError):
                output.trim()
        left.set()

    _thread.start_new_thread(watch, ())  # `Thread.start` waits until it runs, and the job with it
    try:
        yield
    finally:
        ended.set()
        left.wait()
