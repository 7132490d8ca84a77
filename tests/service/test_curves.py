"""Curves: what is drawn of a job's events."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from traind.service.curves import Curves
from traind.trainer.contract.events import AnyEvent, Epoch, Metric, Progress, State, Status, encode_event


def curves_of(*events: AnyEvent) -> Curves:
    curves = Curves()
    for seq, event in enumerate(events, 1):
        curves.add(msgspec.structs.replace(event, seq=seq, job_id="a", ts=1.0))
    return curves


def progress(step: int, loss: float | None, attempt: int = 1) -> Progress:
    return Progress(attempt=attempt, epoch=1, step=step, total_steps=None, progress=1.0, loss=loss, lr=0.1)


def epoch(number: int, step: int, rmse: float, *, is_best: bool = False) -> Epoch:
    return Epoch(
        attempt=1, epoch=number, epochs=9, step=step, train_loss=0.5, metrics={"rmse": rmse}, is_best=is_best
    )


def test_every_number_has_a_series_by_step() -> None:
    thin = curves_of(
        progress(5, 0.5), epoch(1, 8, 2.0, is_best=True), Metric(attempt=1, step=9, values={"bleu": 3.0})
    ).thinned(100)
    assert thin["series"] == {
        "loss": {"step": [5], "value": [0.5]},
        "lr": {"step": [5], "value": [0.1]},
        "train_loss": {"step": [8], "value": [0.5]},
        "metrics.rmse": {"step": [8], "value": [2.0]},
        "custom.bleu": {"step": [9], "value": [3.0]},
    }
    assert thin["epochs"] == [{"epoch": 1, "step": 8, "is_best": True}]


def test_a_resumed_attempt_takes_back_what_it_will_do_again() -> None:
    thin = curves_of(
        progress(5, 0.5),
        epoch(1, 8, 2.0),
        progress(10, 0.4),
        State(status=Status.STARTING, attempt=2),
        State(status=Status.RUNNING, attempt=2, resumed_from_step=6),
        progress(10, 0.3, attempt=2),
    ).thinned(100)
    assert thin["series"]["loss"] == {"step": [5, 10], "value": [0.5, 0.3]}
    assert thin["epochs"] == []
    assert thin["attempts"] == [{"attempt": 2, "resumed_from_step": 6}]


def test_time_is_that_of_running_over_all_attempts() -> None:
    curves = Curves()
    running, paused = State(status=Status.RUNNING, attempt=1), State(status=Status.PAUSED)
    again = State(status=Status.RUNNING, attempt=2, resumed_from_step=10)
    told: list[tuple[float, AnyEvent]] = [(100.0, running), (101.0, progress(5, 0.5)), (102.0, progress(10, 0.4))]
    told += [(103.0, progress(15, 0.4)), (110.0, paused), (900.0, again), (902.5, progress(15, 0.3, attempt=2))]
    for seq, (ts, event) in enumerate(told, 1):
        curves.add(msgspec.structs.replace(event, seq=seq, job_id="a", ts=ts))
    assert curves.thinned(100)["seconds"] == {"step": [5, 10, 15], "value": [1.0, 2.0, 5.5]}


def test_thinning_keeps_ends_and_spikes() -> None:
    losses: list[float | None] = [1.0] * 10_000
    losses[3_333], losses[7_777] = 9.0, -9.0
    thin = curves_of(*(progress(step, loss) for step, loss in enumerate(losses))).thinned(100)
    shown = thin["series"]["loss"]
    assert len(shown["step"]) <= 130
    assert (shown["step"][0], shown["step"][-1]) == (0, 9_999)
    assert {9.0, -9.0} <= set(shown["value"])
    assert shown["step"] == sorted(shown["step"])


def test_a_loss_that_is_not_finite_leaves_a_gap() -> None:
    assert curves_of(progress(1, 0.5), progress(2, None)).thinned(10)["series"]["loss"]["value"] == [0.5, None]


NUMBER = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.lists(
        st.builds(
            Progress,
            attempt=st.just(1),
            epoch=st.integers(0, 9),
            step=st.integers(1, 10**9),
            total_steps=st.none() | st.integers(1, 10**9),
            progress=st.floats(0, 100),
            loss=NUMBER,
            diverged=st.booleans(),
            lr=NUMBER,
            samples_per_s=NUMBER,
            metrics=st.dictionaries(st.text(min_size=1, max_size=5), NUMBER, max_size=3),
        ),
        max_size=5,
    )
)
def test_the_short_way_takes_every_progress_event_as_the_long_way_does(told: list[Progress]) -> None:
    told = [msgspec.structs.replace(one, seq=n, job_id="a", ts=float(n)) for n, one in enumerate(told, 1)]
    slow = Curves()
    for one in told:
        slow.add(one)
    assert folded([encode_event(one) for one in told]).thinned(100) == slow.thinned(100)


def test_a_metric_that_is_not_finite_leaves_a_gap_as_it_does_live() -> None:
    told = [Metric(attempt=1, step=1, values={"bleu": 1.0}), Metric(attempt=1, step=2, values={"bleu": None})]
    assert curves_of(*told).thinned(10)["series"]["custom.bleu"] == {"step": [1, 2], "value": [1.0, None]}


def test_few_series_are_those_of_all_and_the_names_say_which_there_are() -> None:
    told: list[AnyEvent] = [progress(step, step / 100) for step in range(1, 101)] + [epoch(1, 100, 2.0, is_best=True)]
    bodies = [
        encode_event(msgspec.structs.replace(one, seq=n, job_id="a", ts=float(n))) for n, one in enumerate(told)
    ]
    whole = folded(bodies).thinned(1_000)
    for wanted in (["metrics.rmse"], ["loss"], ["train_loss", "lr"]):
        some = folded(bodies, wanted).thinned(1_000)
        assert some["series"] == {name: whole["series"][name] for name in wanted}
        assert some["names"] == whole["names"] == list(whole["series"])
        assert some["epochs"] == whole["epochs"]


def folded(bodies: list[bytes], wanted: list[str] | None = None) -> Curves:
    curves = Curves(wanted or ())
    for body in bodies:
        curves.add_body(body)
    return curves


def test_the_shorter_way_of_progress_is_the_way_of_all_events() -> None:
    told: list[AnyEvent] = [State(status=Status.RUNNING, attempt=1), progress(5, 0.5), progress(10, None)]
    told += [
        msgspec.structs.replace(progress(15, 0.2), metrics={"reward": 3.0}, samples_per_s=9.0),
        epoch(1, 15, 1.0),
    ]
    events = numbered(told)
    slow = Curves()
    for event in events:
        slow.add(event)
    assert folded([encode_event(event) for event in events]).thinned(100) == slow.thinned(100)


def numbered(events: list[AnyEvent]) -> list[AnyEvent]:
    """Give each its number, and a second."""
    return [msgspec.structs.replace(event, seq=seq, job_id="a", ts=float(seq)) for seq, event in enumerate(events, 1)]
