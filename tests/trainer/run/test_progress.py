"""Reports are frequent at first and rare later, and lose nothing."""

import time

import pytest
import torch

from traind.trainer.contract.events import Epoch, Progress
from traind.trainer.run.progress import Meter, Pace


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """Time that moves when told."""
    return Clock()


def reported(clock, pace, seconds, step_s=0.001):
    """Return when reports went in so many seconds of steps."""
    end, times = clock.now + seconds, []
    while clock.now < end:
        if pace.take():
            times.append(clock.now)
        clock.now += step_s
    return times


@pytest.mark.parametrize("first_s", [0.0, 0.3, 0.7, 0.9, 1.5, 7.0])
@pytest.mark.parametrize("step_s", [0.001, 0.007, 0.03])
def test_never_more_than_twenty_in_any_second(clock, first_s, step_s):
    pace = Pace(0.0, clock)
    clock.now += first_s
    times = reported(clock, pace, 30.0, step_s)
    assert max(sum(start <= one < start + 1.0 for one in times) for start in times) <= 20


def test_twenty_a_second_for_a_minute(clock):
    assert len(reported(clock, Pace(0.0, clock), 60.0)) >= 19 * 60


def test_the_first_reports_of_a_short_job_go_at_once(clock):
    assert len(reported(clock, Pace(0.0, clock), 0.01)) >= 5


def test_a_week_long_job_says_little(clock):
    week = 7 * 86_400.0
    assert len(reported(clock, Pace(0.0, clock), week, step_s=0.5)) < 70_000
    assert len(reported(clock, Pace(week, clock), 100.0, step_s=0.05)) <= 11


def test_losses_are_means_by_rows():
    meter = Meter()
    meter.count(1.0, 10)
    meter.count(4.0, 20)
    assert meter.take(None) == pytest.approx(3.0)
    assert meter.take(None) is None


def test_many_tensors_are_folded_without_loss():
    meter, losses = Meter(), torch.rand(3_000)
    for loss in losses:
        meter.count(loss, 2)
    assert meter.take(None) == pytest.approx(float(losses.mean()), rel=1e-6)
    assert meter.count(torch.tensor(2.0), 1) is None
    meter.count(4.0, 1)
    assert meter.take(None) == pytest.approx(3.0)


def test_a_function_is_called_only_when_told():
    meter, calls = Meter(), []
    for _ in range(3):
        meter.count(lambda: calls.append(1), 1)
    assert calls == []
    assert meter.take(lambda: 0.5) == 0.5


def test_the_training_rate_leaves_out_what_was_set_aside(clock):
    meter = Meter(clock)
    meter.count(None, 100)
    clock.now += 1.0
    with meter.aside():
        clock.now += 3.0
    assert meter.rates() == (100.0, 25.0)


def test_no_rows_have_no_rate():
    assert Meter().rates() == (None, None)


def test_losses_that_are_told_add_up_to_those_of_the_epochs(new_job):
    job = new_job(synthetic={"rows": 800}, batch_size=16, epochs=2, report_every=1)
    job.attempt()
    reported, before = 0.0, 0
    for event in job.reported(Progress):
        reported += event.loss * (event.step - before)
        before = event.step
    assert before == 80
    assert reported / 40 == pytest.approx(sum(epoch.train_loss for epoch in job.reported(Epoch)), rel=1e-6)


def test_progress_says_where_it_is(new_job):
    job = new_job(synthetic={"rows": 100}, batch_size=16, epochs=2, report_every=2)
    started = time.time()
    job.attempt()
    last = job.reported(Progress)[-1]
    assert (last.step, last.total_steps, last.progress, last.epoch, last.attempt) == (10, 10, 100.0, 2, 1)
    assert all(event.step % 2 == 0 or event.step % 5 == 0 for event in job.reported(Progress))
    assert last.samples_per_s >= last.wall_samples_per_s > 0
    assert started <= last.ts <= time.time()
    assert last.lr == 1e-3
