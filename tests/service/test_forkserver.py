"""The fork server while it boots."""

import os
import select
import subprocess
import sys

HOST = """
import sys, time
from traind.service.forkserver import ForkServer
server = ForkServer()
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


def test_a_fork_server_that_still_boots_leaves_with_its_host() -> None:
    host = subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    with host.stdout:
        pidfd = os.pidfd_open(int(host.stdout.readline()))
    host.kill()
    host.wait()
    gone, _, _ = select.select([pidfd], [], [], 20.0)
    os.close(pidfd)
    assert gone, "it lives on"
