"""The thread that SQLite runs on; it takes one call after the other. Base of `store.Store`."""

import asyncio
import contextlib
import errno
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from traind.service.errors import DiskLow, StoreFailed
from traind.service.record.database import Database
from traind.service.record.disk import Disk

P = ParamSpec("P")
T = TypeVar("T")


class StoreThread:
    """One database on a thread of its own."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self.path = path
        self._database = Database(path, disk)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="traind-store")

    async def close(self) -> None:
        """Close the database after the calls handed over before."""
        try:
            await self._run(self._database.close)
        finally:
            self._thread.shutdown(wait=True)

    async def reading(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Call `read` on the store's thread and return its result; raises `StoreFailed`."""
        return await self._run(lambda: read(self._database.connection))

    async def writing(self, write: Callable[[sqlite3.Connection], None], *, is_synced: bool = False) -> None:
        """Call `write` on the store's thread in one transaction, even if the caller is cancelled meanwhile.

        Raises `DiskLow` or `StoreFailed`; then nothing is changed.
        """
        await asyncio.shield(self._run(self._in_transaction, write, is_synced))

    def _in_transaction(self, write: Callable[[sqlite3.Connection], None], is_synced: bool) -> None:
        with self._database.transaction(is_synced=is_synced) as db:
            write(db)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call on the store's thread."""
        with failing_as_ours(self.path):
            return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))


@contextlib.contextmanager
def failing_as_ours(path: Path) -> Iterator[None]:
    """Raise `DiskLow` or `StoreFailed` for sqlite's errors."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter: text in a damaged file
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            raise DiskLow(f"The database cannot be written: {error}.", hint="Free some disk space.") from error
        raise StoreFailed(f"The database {path} failed: {error}.") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskLow(f"The database cannot be written: {error}.", hint="Free some disk space.") from error
        raise StoreFailed(f"The database {path} failed: {error}.") from error
