"""The check of GPUs runs where there is none, and says what it left out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

COME_WITH_TORCH = [
    "torch",
    "torchgen",
    "functorch",
    "numpy",
    "numpy.libs",
    "sympy",
    "mpmath",
    "networkx",
    "jinja2",
    "markupsafe",
    "filelock",
    "fsspec",
    "setuptools",
    "nvidia",
    "triton",
]


def test_the_check_runs_on_a_cpu_and_skips_cuda_aloud(repository: Path) -> None:
    parts = ("resume", "memory", "slots")  # the other test takes "step"
    command = [sys.executable, "-m", "bench.gpu", "--quick", "--repeats", "1", "--only", *parts]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((repository / "bench/results/gpu.json").read_text())["results"]
    assert found["wrong"] == []
    if found["card"] == "the CPU":
        assert [line.split(":")[0] for line in found["skipped"]] == ["everything of CUDA", "memory", "slots"]
        assert "SKIPPED memory" in done.stdout
    assert {row["is_equal"] for row in found["resume"]} == {True}


def test_it_is_one_script_that_runs_where_nothing_of_it_is_installed(repository: Path, tmp_path: Path) -> None:
    """In a folder elsewhere, without this environment's packages but torch and numpy and what these need."""
    script = tmp_path / "gpu.pyz"
    subprocess.run([sys.executable, "-m", "bench.gpu", "--pack", script], cwd=repository, check=True)
    bare = tmp_path / "bare"
    bare.mkdir()
    installed = Path(torch.__file__).parent.parent
    for found in [
        *(installed / name for name in COME_WITH_TORCH),
        *installed.glob("torch-*"),
        *installed.glob("numpy-*"),
    ]:
        if found.exists():
            (bare / found.name).symlink_to(found)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(bare), "HOME": str(tmp_path)}
    command = [sys.executable, "-S", script, "--quick", "--repeats", "1", "--only", "step"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu-results/gpu.json").read_text())["results"]
    assert found["wrong"] == []
    assert {row["apart"] for row in found["step"]} == {0.0}
