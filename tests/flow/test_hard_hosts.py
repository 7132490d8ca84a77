"""Hosts that are daemons, and moments without descriptors: jobs run, and what is wrong meanwhile is shown."""

import subprocess
import sys
from pathlib import Path

import pytest

HOSTS = Path(__file__).with_name("hard_hosts.py")


@pytest.mark.parametrize("host", ["daemonic", pytest.param("without_descriptors", marks=pytest.mark.faults)])
def test_jobs_run_in_hosts_that_make_it_hard(host: str, tmp_path: Path) -> None:
    """F22, and every error at a worker's boot: tried again, shown, never the end of all starts."""
    command = [sys.executable, str(HOSTS), host, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.stdout.splitlines()[-1:] == ["COMPLETED"], done.stdout + done.stderr
    if host == "without_descriptors":
        assert "Too many open files" in done.stdout
