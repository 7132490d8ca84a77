"""Inside the fork server's process: boot, fork on request, and be the last to leave when the host is gone.

Its host (`forkserver`) starts it and knows it by pid only. What it forks are workers, which leave by themselves when
the host is gone; who cannot is killed here.
"""

import contextlib
import os
import pkgutil
import select
import shutil
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

from traind.trainer.contract.process_tree import adopt_orphans, children, kill_tree

ORPHANS_S = 4.3  # for workers to write a checkpoint and end when the host is gone
BOOT_WRITES = 20  # more files than a boot writes while its folder is being removed
BOOT_DIR = "traind-boot-"  # in the folder for temporary files, followed by the host's pid


def serve(listener: int, alive: int, boot: str, boot_dir: str) -> None:
    """Run the fork server: boot, then fork a child for each request until the host and the children are gone.

    `boot_dir` is an empty folder of this user's, which the boot may write to; it is removed.
    """
    adopt_orphans()  # orphans of workers become this process's children, which ends and reaps them
    warnings.filterwarnings("ignore", "forkserver: waitpid returned unexpected pid")
    folder = Path(boot_dir)
    with _temporary_files_in(folder), _leaving_with_the_host(alive, folder):
        pkgutil.resolve_name(boot)()
    with contextlib.suppress(SystemExit):  # raised when the host is gone; never in a child
        forkserver.main(listener, alive, [])
    _outlive_the_children()


@contextlib.contextmanager
def _leaving_with_the_host(alive: int, folder: Path) -> Iterator[None]:
    """Exit at once if the host dies meanwhile. The watching thread ends before anything is forked."""
    waker, wake = os.pipe()

    def watch() -> None:
        readable, _, _ = select.select([alive, waker], [], [])
        if alive in readable:
            for _ in range(BOOT_WRITES):
                shutil.rmtree(folder, ignore_errors=True)
            os._exit(0)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        os.write(wake, b"x")
        watcher.join()
        os.close(waker)
        os.close(wake)


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Set a temporary folder for the boot, which is found and removed even after a kill."""
    tempfile.tempdir = os.fspath(folder)
    try:
        yield
    finally:
        tempfile.tempdir = None
        shutil.rmtree(folder, ignore_errors=True)


def host_prefix() -> str:
    """Return the prefix of the boot folders of this process's fork servers."""
    return f"{BOOT_DIR}{os.getpid()}-"


def sweep_boot_dirs() -> None:
    """Remove boot folders of killed hosts of this user: their names contain the host's pid."""
    for folder in Path(tempfile.gettempdir()).glob(f"{BOOT_DIR}*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid != os.geteuid():
                continue
        if not Path("/proc", folder.name.removeprefix(BOOT_DIR).partition("-")[0]).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _outlive_the_children() -> None:
    """Wait for the workers, and kill those that cannot end themselves: stopped ones, or ones that hold the GIL."""
    signal.set_wakeup_fd(-1)
    deadline = time.monotonic() + ORPHANS_S
    with contextlib.suppress(ChildProcessError):  # no child is left
        while True:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                if time.monotonic() >= deadline:
                    break
                time.sleep(0.02)
    for pid in children(os.getpid()):
        kill_tree(pid)  # with all its descendants
