"""What training code hands over is taken, or refused once, at its own line; alone and in a job alike."""

import asyncio
import collections
from pathlib import Path

import numpy as np
import pytest
import torch
from handing_over import REFUSED, TAKEN, line_of

from traind.trainer.contract.errors import UserCodeError
from traind.trainer.contract.events import (
    Checkpoint,
    Epoch,
    Log,
    Metric,
    Progress,
    State,
    Status,
    decode_event,
    encode_event,
)
from traind.trainer.model.model import load_model
from traind.trainer.model.tensor_file import unpacked
from traind.trainer.run.attempt import run_trainer


def name_of(trainer):
    return trainer.__name__


def job_of(new_job, trainer):
    return new_job(None, "handing_over:train", trainer="mine", options={"what": trainer.__name__})


@pytest.mark.parametrize("trainer", TAKEN, ids=name_of)
def test_values_of_any_library_are_taken(trainer, new_job, tmp_path):
    job = job_of(new_job, trainer)
    last = job.attempt()
    assert (last.status, last.error) == (Status.COMPLETED, None)
    for event in job.events:
        assert decode_event(encode_event(event)) == event
    assert run_trainer(trainer, folder=tmp_path / "alone", emit=lambda _event: None).status is Status.COMPLETED


@pytest.mark.parametrize("trainer", REFUSED, ids=name_of)
def test_what_cannot_be_taken_ends_the_job_once_at_its_line(trainer, new_job, tmp_path):
    last = job_of(new_job, trainer).attempt()
    code = "diverged" if trainer.__name__ == "nan_weights" else "trainer_error"
    assert (last.status, last.error.code) == (Status.FAILED, code)
    assert REFUSED[trainer] in last.error.message
    if (line := line_of(trainer)) is not None:
        assert last.error.message.startswith(f"handing_over.py, line {line}: ")
    assert decode_event(encode_event(last)) == last
    assert not rehearsed_well(trainer, tmp_path / "alone")


def rehearsed_well(trainer, folder):
    """Whether `run_trainer` has nothing against it."""
    try:
        return run_trainer(trainer, folder=folder, emit=lambda _event: None).status is Status.COMPLETED
    except (Exception, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit, SystemExit):  # noqa: BLE001
        return False


def test_values_come_out_as_they_went_in(new_job):
    events = [event for trainer in TAKEN for event in reported(new_job, trainer)]
    steps = [event for event in events if isinstance(event, Progress)]
    assert {(event.loss, event.total_steps) for event in steps} >= {(0.5, 3), (1.0, 3)}
    assert {event.metrics.get("acc") for event in steps} >= {0.9, 0.5}
    assert (0.1, {"lr_1": 0.5}) in [(event.lr, event.metrics) for event in steps]
    (epoch,) = (event for event in events if isinstance(event, Epoch))
    assert (epoch.epoch, epoch.train_loss, epoch.is_best) == (1, 0.5, True)
    assert epoch.metrics == {"acc": pytest.approx(0.9), "1": 1.0}
    logs = [event for event in events if isinstance(event, Log)]
    assert [event.level for event in logs] == ["info", "warning", "error", "info"]
    assert "array" in logs[0].message
    assert logs[2].message == "caf\\udce9"
    assert len(logs[3].message) < 21_000
    (metric,) = (event for event in events if isinstance(event, Metric))
    assert metric.values == {"gain": 2.0, "name\\udcff": 1.0}


def reported(new_job, trainer):
    job = job_of(new_job, trainer)
    job.attempt()
    return job.events


def trainer_named(name):
    return next(trainer for trainer in TAKEN if trainer.__name__ == name)


def test_a_model_holds_tensors_and_plain_values(new_job):
    last = job_of(new_job, trainer_named("finish_with_arrays")).attempt()
    assert (last.result.best_epoch, last.result.metrics) == (3, {"validation": {"auc": 0.9}})
    assert last.result.report["confusion"] == [[1.0, 0.0], [0.0, 1.0]]
    content = torch.load(last.result.model_path, weights_only=True)
    assert (content["scale"], content["made"], content["from"], content["last"]) == (2.0, "2026-01-02", "/a", [1, 2])
    assert torch.equal(content["table"], torch.eye(2, dtype=torch.float64))


def test_a_checkpoint_gives_back_what_was_saved(new_job):
    job = job_of(new_job, trainer_named("save_arrays"))
    job.attempt()
    (saved,) = job.reported(Checkpoint)
    assert (saved.step, Path(saved.path).exists()) == (1, True)
    content = unpacked(Path(saved.path).read_bytes())
    assert "state" in content
    states = []

    def looks(run):
        states.append(run.restore())
        run.finish({"weights": torch.zeros(1)})

    run_trainer(looks, folder=Path(saved.path).parent, emit=lambda _event: None)
    (state,) = states
    assert type(state["order"]) is np.ndarray
    assert state["order"].tolist() == [0, 1, 2]
    assert type(state["best"]) is np.float32
    assert state["last"] == collections.deque([1.0], maxlen=2)
    assert state["last"].maxlen == 2
    assert (state["folder"], state["seen"]) == (Path("a"), {1, 2})
    random = np.random.default_rng(1)
    random.bit_generator.state = state["random"]
    assert random.random() == np.random.default_rng(0).random()


def test_a_generator_of_its_own_is_fixed_by_seed_and_key(new_job, tmp_path):
    drawn = []

    def draws(run):
        before = torch.get_rng_state()
        loader = torch.utils.data.DataLoader(list(range(8)), shuffle=True, generator=run.generator("order", 1))
        drawn.append([int(item) for item in loader])
        assert torch.equal(before, torch.get_rng_state())
        run.finish({"weights": torch.zeros(1)})

    for number, seed in enumerate((1, 1, 2)):
        run_trainer(draws, folder=tmp_path / str(number), seed=seed, emit=lambda _event: None)
    assert drawn[0] == drawn[1] != drawn[2]


PREDICTIONS = {  # what predict returns for two rows -> the answer
    "float32": ([np.float32(0.5), np.float32(1.5)], [0.5, 1.5]),
    "array": (np.array([1, 2]), [1, 2]),
    "tensor": (torch.tensor([0.5, 1.0]), [0.5, 1.0]),
    "shares": (torch.eye(2), [[1.0, 0.0], [0.0, 1.0]]),
    "generator": ((n for n in (1, np.int8(2))), [1, 2]),
    "deque": (collections.deque("ab"), ["a", "b"]),
    "dicts": ([{"y": np.float64(1)}, {"y": None}], [{"y": 1.0}, {"y": None}]),
    "named": ({"predictions": np.array(["a", "b"]), "probabilities": [{"a": np.float32(1)}, {"a": 0}]}, ["a", "b"]),
}


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_what_predict_returns_is_taken(kind, new_job, monkeypatch):
    returned, expected = PREDICTIONS[kind]
    monkeypatch.setitem(globals(), "predict", lambda _model, _rows: returned)
    prediction = model_of(new_job).predict([{"x": 1}, {"x": 2}])
    assert list(prediction) == expected
    assert prediction.probabilities == ([{"a": 1.0}, {"a": 0.0}] if kind == "named" else None)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ({"y": [1.0, 2.0]}, "a dict of y"),
        (None, "None"),
        (1.0, "float"),
        ("ab", "text"),
        ([1], "1 predictions for 2 rows"),
        (torch.tensor(1.0), "Tensor"),
        ([object(), 1], "an object"),
        ({1, 2}, "set"),
    ],
)
def test_what_predict_must_not_return_is_said(returned, words, new_job, monkeypatch):
    monkeypatch.setitem(globals(), "predict", lambda _model, _rows: returned)
    with pytest.raises(UserCodeError, match=words):
        model_of(new_job).predict([{"x": 1}, {"x": 2}])


def finishes(run):
    run.finish({"weights": torch.zeros(1)})


def predict(_model, _rows):
    raise NotImplementedError


def model_of(new_job):
    last = new_job(None, f"{__name__}:finishes", trainer="mine").attempt()
    return load_model(last.result.model_path, trainer=finishes)


def test_where_a_service_would_end_a_silent_job_it_is_warned(tmp_path):
    import threading

    warned = threading.Event()

    def tells(event):
        if isinstance(event, Log):
            words.append(event.message)
            if "hang_s" in event.message:
                warned.set()

    words = []

    def waits(run):
        for step in range(1, 101):  # of next to no time each: a step may take many times their mean
            run.report(step=step, total=100, loss=1.0)
        assert warned.wait(60)
        run.finish({"weights": torch.zeros(1)})

    last = run_trainer(waits, folder=tmp_path, emit=tells, hang_s=0.5)
    assert last.status is Status.COMPLETED
    assert any("hang_s" in one and "run.beat()" in one for one in words)


def test_a_model_names_the_code_that_made_it(new_job):
    last = job_of(new_job, trainer_named("report_numpy")).attempt()
    code = torch.load(last.result.model_path, weights_only=True)["code"]
    assert len(code) == 64
    assert isinstance(last, State)
