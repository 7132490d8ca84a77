"""Which silent jobs are taken for hung: a model of time, beats and processor time."""

import os
import subprocess
import sys

import pytest

from traind.trainer.contract.control import Phase
from traind.trainer.contract.liveness import PATIENCE, Liveness
from traind.trainer.contract.process_tree import cpu_s, descendants, end_descendants, is_zombie

HANG_S = 60.0


def killed_at(*, busy=0.0, phase=Phase.STEPS, until=10_000, last_beat=100, mean_step_s=0.1, sees_cpu=True):
    """Return the second at which a watchdog that looks once a second ends a job that beats until `last_beat`."""
    seen = Liveness()
    for now in range(until):
        seen.saw_beat(min(now, last_beat), float(now))
        if seen.is_suspicious(now, HANG_S):
            seen.saw_cpu(busy * now if sees_cpu else None, now)
        if seen.is_hung(now, HANG_S, mean_step_s, phase):
            return now
    return None


def test_a_job_that_does_nothing_is_ended_after_its_time():
    assert killed_at() == 161
    assert killed_at(sees_cpu=False) == 161


def test_slow_steps_get_more_time():
    assert killed_at(mean_step_s=30.0) == 701


@pytest.mark.parametrize("more", [{"busy": 1.0}, {"busy": 0.06}, {"phase": Phase.ASIDE}, {"phase": Phase.SAVING}])
def test_work_without_a_beat_gets_much_more_time_but_not_for_ever(more):
    assert killed_at(**more) == 101 + PATIENCE * HANG_S


def test_waiting_is_no_work():
    assert killed_at(busy=0.01) == 161


def test_a_job_that_beats_is_never_ended():
    assert killed_at(last_beat=20_000) is None


def test_processor_time_of_children_counts_and_they_are_ended_in_any_session():
    code = (
        "import os, sys, subprocess, time\n"
        "spin = [sys.executable, '-c', 'while True: pass']\n"
        "child = subprocess.Popen(spin, start_new_session=True)\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        spinning = int(parent.stdout.readline())
        while cpu_s(parent.pid) < 0.5:
            assert spinning in descendants(parent.pid)
        assert cpu_s(spinning) >= 0.3
        assert os.getsid(spinning) == spinning
        assert end_descendants(parent.pid) == 1
        assert is_zombie(spinning)
        parent.kill()
