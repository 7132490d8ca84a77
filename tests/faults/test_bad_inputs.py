"""Thousands of bad inputs: no 500, no traceback, no memory kept, no token told, and the server goes on."""

import math
import random

import pytest
from bad_inputs import endure
from tally import seeds
from target import TOKEN, running

MEGABYTE = 1024 * 1024


async def stand(case, tmp_path, count):
    async with running(tmp_path) as target:
        await endure(target, seed=0, count=100)  # buffers and lazy parts are there from now on
        before, early = target.resident_bytes(), await target.lateness()
        answers, slowest_s = await endure(target, case.seed, count)
        grown = target.resident_bytes() - before
        assert target.process.returncode is None
        left = await target.request("GET", "/api/train/jobs")
        timers = {bound: count - early[bound] for bound, count in (await target.lateness()).items()}
    log = target.log.read_text()
    print(f"\n{count} bad inputs, seed {case.seed}: grown by {grown / MEGABYTE:.1f} MB")
    late = timers[math.inf] - timers[0.1]
    print(f"event loop: {late} of {timers[math.inf]} timers came over 100 ms late, {timers[0.01]} within 10 ms")
    print(f"slowest /health meanwhile: {slowest_s * 1_000:.0f} ms")
    print(", ".join(f"{kind}: {times}" for kind, times in sorted(answers.items())))
    case.asked = sum(answers.values())
    assert left == 200
    assert case.asked == count
    assert not [kind for kind in answers if kind.split()[1].startswith("5")]
    assert "Traceback" not in log
    assert '"traceback"' not in log
    assert TOKEN not in log
    assert grown < 50 * MEGABYTE
    return late / timers[math.inf]


async def test_some_bad_inputs_change_nothing(tmp_path, tally):
    with tally.case("bad input", 7) as case:
        await stand(case, tmp_path, count=300)


@pytest.mark.faults
@pytest.mark.timeout(1_800)
async def test_ten_thousand_bad_inputs_change_nothing(tmp_path, tally):
    for seed in seeds([random.randrange(2**32)]):
        with tally.case("bad input", seed) as case:
            assert await stand(case, tmp_path, count=10_000) < 0.01  # of the timers came over 100 ms late
