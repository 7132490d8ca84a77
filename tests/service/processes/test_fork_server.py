"""The fork server while it boots."""

import os
import select
import subprocess
import sys
import time
from pathlib import Path

HOST = """
import sys, time
from traind.service.processes.fork_server import ForkServer
server = ForkServer()
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


def test_a_fork_server_that_still_boots_leaves_with_its_host(tmp_path: Path) -> None:
    """Neither it nor what it had written is left."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    host = subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE, text=True, env=environment)
    assert host.stdout is not None
    with host.stdout:
        pid = int(host.stdout.readline())  # of the fork server
        pidfd = os.pidfd_open(pid)
        while not list(tmp_path.glob(f"traind-boot-{host.pid}-*/*")):  # it rehearses; the test's timeout bounds it
            time.sleep(0.01)
    host.kill()
    host.wait()
    gone, _, _ = select.select([pidfd], [], [], 20.0)
    os.close(pidfd)
    assert gone, "it lives on"
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_fork_server_had_written_goes_with_the_next(tmp_path: Path) -> None:
    left, other = tmp_path / "traind-boot-999999999", tmp_path / f"traind-boot-{os.getpid()}"
    of_a_host = tmp_path / "traind-boot-999999999-x1"
    for folder in (left, other, of_a_host):
        folder.mkdir()
        (folder / "model.pt").touch()
    host = subprocess.Popen(
        [sys.executable, "-c", HOST], stdout=subprocess.PIPE, env=os.environ | {"TMPDIR": str(tmp_path)}
    )
    assert host.stdout is not None
    with host.stdout:
        host.stdout.readline()
    assert (left.exists(), other.exists(), of_a_host.exists()) == (False, True, False)
    host.kill()
    host.wait()


def test_a_folder_that_somebody_made_beforehand_keeps_no_fork_server_from_booting(tmp_path: Path) -> None:
    """Names that a stranger can guess are taken; ours is made anew, for this user alone."""
    beforehand = [tmp_path / f"traind-boot-{number}" for number in range(os.getpid(), os.getpid() + 500)]
    for folder in beforehand:
        folder.mkdir(mode=0o777)
    host = subprocess.Popen(
        [sys.executable, "-c", HOST], stdout=subprocess.PIPE, env=os.environ | {"TMPDIR": str(tmp_path)}
    )
    assert host.stdout is not None
    with host.stdout:
        host.stdout.readline()
    while not (made := list(tmp_path.glob(f"traind-boot-{host.pid}-*/*"))):
        time.sleep(0.01)
    assert {path.parent.stat().st_mode & 0o777 for path in made} == {0o700}
    host.kill()
    host.wait()
