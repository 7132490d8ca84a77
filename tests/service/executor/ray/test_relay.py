"""How often seats are asked for their events."""

from traind.service.executor.ray.protocol import GAP_S
from traind.service.executor.ray.relay import ANSWERS, GAP_MOST_S, gap_s


def test_few_seats_answer_faster_than_a_job_reports() -> None:
    assert gap_s(1) == gap_s(2) == GAP_S < 0.05


def test_many_seats_answer_no_more_often_together_than_few() -> None:
    for seats in range(1, 200):
        is_seldom = seats / gap_s(seats) <= ANSWERS
        assert is_seldom or gap_s(seats) == GAP_MOST_S
        assert gap_s(seats) <= gap_s(seats + 1) <= GAP_MOST_S
