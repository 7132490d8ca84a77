"""What README.md shows is what happens: its commands and code run, against a server of this test's own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def blocks(kind: str) -> list[str]:
    return [text for name, text in BLOCKS if name == kind]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the reader has it: empty."""
    return tmp_path_factory.mktemp("readme")


def run(command: list[str], workshop: Path) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        check=False,
        cwd=workshop,
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_is_something_to_run() -> None:
    assert {kind: len(blocks(kind)) for kind in ("bash", "python", "console")} == {
        "bash": 4,
        "python": 3,
        "console": 2,
    }


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_blocks_run_from_top_to_bottom(workshop: Path, server: Any) -> None:
    for kind, text in BLOCKS:
        here = text.replace("http://127.0.0.1:3001", server.url)
        if kind == "bash":
            shown = run(["bash", "-euc", here.replace("curl ", "curl -sS --fail-with-body ")], workshop)
            assert '"ok":false' not in shown
        elif kind == "python":
            assert run([sys.executable, "-c", here], workshop)
    assert (workshop / "models/houses.pt").read_bytes()
    assert (workshop / "houses.pt").read_bytes()
    predicted = (workshop / "predicted.csv").read_text().splitlines()
    assert predicted[0] == "sqft_living,bedrooms,zipcode,price,prediction"
    assert len(predicted) == 2_001
    table = re.findall(r"^\| `(\S+)` \|", README.read_text(), re.MULTILINE)
    assert len(table) == 5
    for path in table:
        assert list(workshop.glob(re.sub(r"<\w+>", "*", path).rstrip("/"))), path


def test_the_demo_says_what_is_shown(workshop: Path) -> None:
    """Every line shown is a line said, numbers aside; the demo is shortened."""
    said = shape(run([sys.executable, "-m", "traind", "demo", "--epochs", "2"], workshop))
    shown = shape(blocks("console")[0].removeprefix("$ make demo\n"))
    left_out = {"...", "# epoch # ended train_loss # val_loss # rmse # (baseline #) mae # r# #"}
    assert shown - left_out <= said


def shape(text: str) -> set[str]:
    """The lines of a text without what differs from run to run."""
    lines = (re.sub(r"job_\w+|[-+]?\d[\d,.:/%]*", "#", line) for line in text.splitlines())
    return {re.sub(r" +", " ", line).strip() for line in lines}


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target
