"""Schemathesis against the real server: its checks find nothing; `make faults` has its coverage phase too."""

import asyncio
import sys
from pathlib import Path

import pytest

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


async def explore(call, repository, tmp_path, examples, *phases):
    """Run these phases, or all, with all checks; return what was said where something was found."""
    command = [SCHEMATHESIS, "--config-file", repository / "schemathesis.toml", "run", f"{call.url}/api/openapi.json"]
    command += [
        "--max-examples",
        str(examples),
        "--continue-on-failure",
        "--request-timeout",
        "60",
        *(("--phases", ",".join(phases)) if phases else ()),
        "--no-color",
        "--seed",
        "7",
    ]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    said = (await process.stdout.read()).decode()
    return await process.wait(), said


@pytest.mark.timeout(300)
async def test_a_short_exploration_finds_nothing(calling_on, repository, tmp_path):
    async with calling_on(tmp_path / "root", slots=1, grace_s=1) as call:
        code, said = await explore(call, repository, tmp_path, 2, "examples", "fuzzing", "stateful")
        assert code == 0, said
        assert (await call.get("/health")).status == 200


@pytest.mark.faults
@pytest.mark.timeout(1_800)
async def test_a_long_exploration_finds_nothing(calling_on, repository, tmp_path):
    async with calling_on(tmp_path / "root", slots=1, grace_s=1) as call:
        code, said = await explore(call, repository, tmp_path, 100)
        assert said
        assert code == 0, said
