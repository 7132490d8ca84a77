"""What examples/deploy ships runs as nobody, with flags that exist."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def flags():
    """Every flag of `traind serve`."""
    command = [sys.executable, "-m", "traind", "serve", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, env={"COLUMNS": "200"}).stdout
    return set(re.findall(r"--[a-z][a-z-]+", text))


def test_the_unit_runs_without_rights_and_waits_for_checkpoints(repository, flags):
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str
    unit.read(repository / "examples/deploy/traind.service")
    service = unit["Service"]
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert int(service["TimeoutStopSec"]) > 10
    assert set(re.findall(r"--[a-z][a-z-]+", service["ExecStart"])) <= flags


def test_systemd_itself_finds_nothing_wrong_with_the_unit(repository, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    unit = (repository / "examples/deploy/traind.service").read_text()
    file = tmp_path / "traind.service"
    file.write_text(unit.replace("/opt/traind/bin/traind", str(Path(sys.executable).with_name("traind"))))
    for command in (["verify", "--man=no"], ["security", "--offline=true", "--threshold=20"]):
        done = subprocess.run(["systemd-analyze", *command, file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "traind.service:" not in done.stderr, done.stderr


def test_the_image_runs_as_nobody(repository, flags):
    lines = (repository / "examples/deploy/Dockerfile").read_text().splitlines()
    assert lines.index("USER nobody") < next(
        place for place, line in enumerate(lines) if line.startswith("ENTRYPOINT")
    )
    entry = next(line for line in lines if line.startswith("ENTRYPOINT"))
    assert set(re.findall(r"--[a-z][a-z-]+", entry)) <= flags
