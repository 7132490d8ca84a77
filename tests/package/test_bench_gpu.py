"""The check of GPUs runs where there is none, and says what it left out."""

import json
import subprocess
import sys
from pathlib import Path


def test_the_check_runs_on_a_cpu_and_skips_cuda_aloud(repository: Path) -> None:
    parts = ("step", "resume", "memory", "slots")
    command = [sys.executable, "-m", "bench.gpu", "--quick", "--repeats", "1", "--only", *parts]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((repository / "bench/results/gpu.json").read_text())["results"]
    assert found["wrong"] == []
    if found["card"] == "the CPU":
        assert [line.split(":")[0] for line in found["skipped"]] == ["everything of CUDA", "memory", "slots"]
        assert "SKIPPED memory" in done.stdout
    assert {row["apart"] for row in found["step"]} == {0.0}
    assert {row["is_equal"] for row in found["resume"]} == {True}
