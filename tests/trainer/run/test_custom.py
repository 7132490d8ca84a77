"""Other people's trainers: short, wrong, or both. Each ends with the right state and words."""

import contextlib
import os
import random
import sys
from typing import Annotated

import msgspec
import numpy as np
import pytest
import torch

from traind.trainer import plugins
from traind.trainer.contract.control import Verb
from traind.trainer.contract.errors import SpecError, UserCodeError
from traind.trainer.contract.events import Checkpoint, Epoch, Log, Metric, Progress, State, Status
from traind.trainer.model.answers import predict_request
from traind.trainer.model.model import load_model
from traind.trainer.run.attempt import Run, run_trainer
from traind.trainer.run.device import is_of_gpu, is_out_of_memory

STEPS = 12


class Options(msgspec.Struct, forbid_unknown_fields=True):
    width: Annotated[int, msgspec.Meta(ge=1)] = 4
    lr: float = 0.1
    seeds_again: bool = False  # throw away the random streams that a checkpoint brings back


def train(run: Run[Options]) -> None:
    """FitState a line to noise drawn from all three global streams."""
    model = torch.nn.Linear(run.options.width, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=run.options.lr)
    first = 0
    if (state := run.restore()) is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
        if run.options.seeds_again:
            torch.manual_seed(run.spec.seed)
    for step in range(first, STEPS):
        noise = random.random() + np.random.rand()  # noqa: NPY002
        loss = (model(torch.randn(8, run.options.width)) - noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.report(step=step + 1, total=STEPS, loss=loss, rows=8, noise=noise)
        is_leaving = run.should_stop()
        if is_leaving or step == 7:
            run.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1})
        if is_leaving:
            break
    run.finish({"weights": model.state_dict(), "width": run.options.width}, metrics={"validation": {"noise": 1.0}})


def predict(model, rows):
    weight, bias = model["weights"]["weight"][0], model["weights"]["bias"][0]
    return torch.stack([weight @ torch.tensor([float(row["x"])] * model["width"]) + bias for row in rows])


def never_reports(run):
    run.finish({"weights": torch.zeros(2)})


def returns_nothing(run):
    run.report(step=1, total=1, loss=1.0)


def raises(_run):
    raise LookupError("the shelf is empty")


def exits(_run):
    sys.exit(3)


class Wordless(Exception):
    def __str__(self):
        raise RuntimeError


def raises_wordless(_run):
    raise Wordless


def saves_an_object(run):
    run.save({"model": object()})


def finishes_with_an_object(run):
    run.finish({"model": random.Random()})


def finishes_with_our_names(run):
    run.finish({"weights": torch.zeros(2), "spec": {}})


def needs_too_much(_run):
    torch.empty(1 << 60)


def leaves_without_saving(run):
    for step in range(1, 100):
        run.report(step=step, loss=1.0)
        if run.should_stop():
            return


def swallows_everything(run):
    for step in range(1, 10):
        with contextlib.suppress(Exception):
            run.report(step=step, loss=1.0)
    run.finish({"weights": torch.zeros(2)})


def loses_its_loss(run):
    run.report(step=1, total=1, loss=float("nan"), gain=float("inf"))
    run.finish({"weights": torch.zeros(2)})


def speaks(run):
    run.log("hello", "warning")
    run.report(step=5, total=10, loss=lambda: 2.0, epoch=1, accuracy=torch.tensor(0.5))
    run.measure(bleu=0.25)
    run.end_epoch(1, epochs=2, loss=2.0, metrics={"accuracy": 0.5}, is_best=True)
    run.finish({"weights": torch.zeros(2)}, report={"shown": True})


def job_of(new_job, function, **fields):
    return new_job(None, f"{__name__}:{function.__name__}", **{"trainer": "mine", **fields})


def test_a_short_trainer_gets_all_of_it(new_job):
    job = job_of(new_job, train, options={"width": 3}, report_every=1)
    last = job.attempt()
    assert last.status is Status.COMPLETED
    assert [event.status for event in job.reported(State)] == [Status.LOADING, Status.RUNNING, Status.COMPLETED]
    progress = job.reported(Progress)[-1]
    assert (progress.step, progress.total_steps, progress.progress) == (STEPS, STEPS, 100.0)
    assert progress.loss > 0.0
    assert progress.samples_per_s >= progress.wall_samples_per_s > 0.0
    assert "noise" in progress.metrics
    assert last.result.metrics == {"validation": {"noise": 1.0}}
    assert len(last.result.weights_digest) == 64


@pytest.mark.parametrize("look", range(1, STEPS + 1, 3))
def test_it_resumes_bit_for_bit(look, new_job):
    whole, job = job_of(new_job, train), job_of(new_job, train)
    expected = whole.attempt().result.weights_digest
    assert job.attempt(Verb.LEAVE, look).status is Status.QUEUED
    assert job.attempt().result.weights_digest == expected


def test_without_its_random_streams_it_would_not(new_job):
    whole, job = (job_of(new_job, train, options={"seeds_again": True}) for _ in range(2))
    expected = whole.attempt().result.weights_digest
    job.attempt(Verb.LEAVE, 6)
    assert job.attempt().result.weights_digest != expected


def test_stop_pause_and_cancel_mean_the_same_for_it(new_job):
    stopped, paused, cancelled = (job_of(new_job, train) for _ in range(3))
    assert stopped.attempt(Verb.STOP, 6).status is Status.STOPPED
    assert paused.attempt(Verb.PAUSE, 6).status is Status.PAUSED
    assert paused.attempt().status is Status.COMPLETED
    assert cancelled.attempt(Verb.CANCEL, 6).status is Status.CANCELLED


def test_its_time_is_limited(new_job):
    job = job_of(new_job, train, max_seconds=5.0)
    job.attempt(Verb.LEAVE, 6)
    last = job.attempt(ran_s=5.0)
    assert (last.status, last.error.code) == (Status.FAILED, "timed_out")


def test_its_model_predicts_by_the_function_beside_it(new_job):
    last = job_of(new_job, train).attempt()
    path = last.result.model_path
    request = {"model_path": path, "trainer": f"{__name__}:train", "rows": [{"x": 1.0}, {"x": 2.0}]}
    answer = predict_request(request)
    assert len(answer["predictions"]) == 2
    assert load_model(path, trainer=train).predict({"x": [1.0, 2.0]}) == answer["predictions"]
    with pytest.raises(UserCodeError, match="predict raised KeyError"):
        load_model(path, trainer=train).predict([{"y": 1}])
    with pytest.raises(UserCodeError, match="'mine' cannot predict"):
        load_model(path).predict([{"x": 1.0}])


FAILURES = {
    returns_nothing: ("trainer_error", "without a model"),
    raises: ("trainer_error", "LookupError: the shelf is empty"),
    exits: ("trainer_error", "SystemExit: 3"),
    raises_wordless: ("trainer_error", "Wordless"),
    saves_an_object: ("trainer_error", "save(state)['model'] is an object"),
    finishes_with_an_object: ("trainer_error", "finish(model)['model'] is a random.Random"),
    finishes_with_our_names: ("trainer_error", "spec"),
    needs_too_much: ("out_of_memory", "memory"),
}


@pytest.mark.parametrize("function", FAILURES, ids=lambda function: function.__name__)
def test_a_trainer_that_is_wrong_fails_with_code_and_words(function, new_job):
    code, words = FAILURES[function]
    last = job_of(new_job, function).attempt()
    assert (last.status, last.error.code) == (Status.FAILED, code)
    assert words in last.error.message


def test_a_failure_carries_the_end_of_the_traceback(new_job, capfd):
    last = job_of(new_job, raises).attempt()
    assert last.error.output.splitlines()[-1] == "LookupError: the shelf is empty"
    assert "in raises" in last.error.output
    assert "LookupError" in capfd.readouterr().err  # the job's own output has it as well


@pytest.mark.parametrize("reference", ["nowhere:train", f"{__name__}:nothing", f"{__name__}:STEPS", "traind"])
def test_a_trainer_that_cannot_be_imported_fails(reference, new_job):
    last = new_job(None, reference).attempt()
    assert (last.status, last.error.code) == (Status.FAILED, "trainer_error")
    assert reference in last.error.message


def test_a_trainer_need_not_report(new_job):
    assert job_of(new_job, never_reports).attempt().status is Status.COMPLETED


def test_one_that_leaves_without_saving_is_paused_and_begins_anew(new_job):
    job = job_of(new_job, leaves_without_saving)
    assert job.attempt(Verb.PAUSE, 5).status is Status.PAUSED
    assert job.attempt(Verb.STOP, 5).status is Status.STOPPED


def test_a_loss_that_is_not_finite_is_told_as_null_and_diverged(new_job):
    job = job_of(new_job, loses_its_loss)
    assert job.attempt().status is Status.COMPLETED
    (progress,) = job.reported(Progress)
    assert (progress.loss, progress.diverged, progress.metrics) == (None, True, {"gain": None})


def test_everything_it_says_becomes_events(new_job):
    job = job_of(new_job, speaks)
    last = job.attempt()
    (progress,), (epoch,), (metric,) = job.reported(Progress), job.reported(Epoch), job.reported(Metric)
    assert (progress.loss, progress.epoch, progress.metrics) == (2.0, 1, {"accuracy": 0.5})
    assert (epoch.epoch, epoch.epochs, epoch.metrics, epoch.is_best) == (1, 2, {"accuracy": 0.5}, True)
    assert metric.values == {"bleu": 0.25}
    assert [(log.message, log.level) for log in job.reported(Log)] == [("hello", "warning")]
    assert last.result.report == {"shown": True}
    assert all(event.ts > 0 for event in job.events)
    assert last == job.events[-1]


def test_an_emit_that_fails_is_not_the_trainers_fault(new_job):
    class Gone(Exception):
        pass

    class Events(list):
        def append(self, event):
            if isinstance(event, Progress):
                raise Gone
            super().append(event)

    job = job_of(new_job, swallows_everything, report_every=1)
    job.events = Events()
    with pytest.raises(Gone):
        job.attempt()
    assert job.reported(State)[-1].status is Status.RUNNING


def test_options_are_checked_and_described():
    described = plugins.check_request({"trainer": f"{__name__}:train", "options": {"width": 2}})
    assert "width" in str(described["options"])
    assert described["words"].startswith("FitState a line")
    with pytest.raises(SpecError, match="width"):
        plugins.check_request({"trainer": f"{__name__}:train", "options": {"width": 0}})
    with pytest.raises(SpecError, match="deep"):
        plugins.check_request({"trainer": f"{__name__}:train", "options": {"deep": 1}})
    assert plugins.check_request({"trainer": f"{__name__}:raises", "options": {"any": 1}})["options"] is None


def test_wrong_options_fail_the_job_before_it_starts(new_job):
    last = job_of(new_job, train, options={"width": "wide"}).attempt()
    assert (last.status, last.error.code) == (Status.FAILED, "invalid_spec")
    assert last.error.details[0]["loc"] == "options"


def test_one_call_runs_it_here_and_goes_on_where_it_was(tmp_path, capsys):
    last = run_trainer(train, {"width": 2}, folder=tmp_path, report_every=3)
    assert last.status is Status.COMPLETED
    assert "step 12/12" in capsys.readouterr().out
    assert len(load_model(last.result.model_path, trainer=train).predict([{"x": 1.0}])) == 1
    events = []
    again = run_trainer(train, {"width": 2}, folder=tmp_path, emit=events.append)
    assert next(event for event in events if isinstance(event, State)).resumed_from_step == 8
    assert again.result.weights_digest == last.result.weights_digest
    assert not [event for event in events if isinstance(event, Checkpoint)]


def test_one_call_raises_what_the_trainer_raises(tmp_path):
    with pytest.raises(LookupError, match="shelf"):
        run_trainer(raises, folder=tmp_path)


def test_one_call_gives_it_a_file(houses, tmp_path):
    seen = []

    def looks(run):
        seen.append(run.dataset)
        run.finish({"weights": torch.zeros(1)})

    run_trainer(looks, dataset=houses, folder=tmp_path, emit=lambda _event: None)
    assert (seen[0].path, seen[0].format) == (os.fspath(houses), "csv.gz")


def test_installed_trainers_are_found_by_name():
    assert plugins.registered()["tabular"] == "traind.trainer.tabular.train:train"
    assert plugins.installed("nobody") is None


def wants_a_card(run):
    assert run.device == "cuda"
    raise AssertionError("it was let in")


def fills_the_card(run):
    run.restore()
    for step in range(run.step, 6):
        run.report(step=step + 1, total=6, loss=1.0)
        if step == 3 and run.place.attempt == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        run.save({"step": step + 1})
    run.finish({"weights": torch.zeros(1)})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
@pytest.mark.parametrize("trainer", [f"{__name__}:wants_a_card", "traind.trainer.tabular.train:train"])
def test_a_card_that_cannot_be_used_fails_the_job_in_the_words_of_cuda(trainer, new_job):
    """What a driver that is too old, or none, does to a job that was given a card all the same."""
    fields = {} if "tabular" in trainer else {"trainer": "mine"}
    last = new_job(None, trainer, **fields).attempt(device="cuda", device_name="Invented", visible_devices="GPU-1")
    assert (last.status, last.error.code) == (Status.FAILED, "invalid_spec")
    assert last.error.details[0]["loc"] == "device"
    assert "CUDA" in last.error.message
    assert "driver" in last.error.hint


def test_a_full_card_is_out_of_memory_and_the_job_goes_on_when_it_is_free(new_job):
    job = job_of(new_job, fills_the_card)
    last = job.attempt()
    assert (last.status, last.error.code) == (Status.FAILED, "out_of_memory")
    assert "GPU" in last.error.message
    assert "Resume" in last.error.hint
    last = job.attempt()
    assert last.status is Status.COMPLETED
    assert job.reported(Progress)[-1].step == 6
    assert [event.resumed_from_step for event in job.reported(State) if event.status is Status.RUNNING][-1] == 3


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_each_way_in_which_a_card_says_that_it_is_full_is_known(error):
    assert is_out_of_memory(error)
    assert is_of_gpu(error)
    assert not is_of_gpu(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
