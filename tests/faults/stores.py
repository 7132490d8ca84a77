"""An open store to test with."""

from pathlib import Path

from traind.service.jobs import Job
from traind.service.renewal import refill
from traind.service.snapshots import Snapshots
from traind.service.store import Store


async def opened(path: Path) -> Store:
    """Open a database; a new one is made of the status files in `jobs` beside it."""
    store = await Store.open(path)
    if store.is_new:
        await filled(store)
        await store.renew(None, [], [])
    return store


async def filled(store: Store) -> list[Job]:
    """Fill the file beside a database; return who is not over."""
    snapshots = Snapshots(store.path.with_name("jobs"))
    await snapshots.open()
    try:
        return (await refill(store, snapshots, {}, lambda job: (job.seq, b"{}")))[1]
    finally:
        await snapshots.close()
