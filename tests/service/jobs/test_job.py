"""The fold: what each event makes of a job."""

import msgspec
import pytest

from traind.service.jobs.job import Best, Job, apply, submitted
from traind.service.jobs.summary import summary
from traind.trainer.contract.events import (
    AnyEvent,
    Checkpoint,
    ControlRequested,
    Epoch,
    Failure,
    Progress,
    Result,
    State,
    Status,
)
from traind.trainer.contract.spec import TrainSpec


def folded(*events: AnyEvent) -> Job:
    job = Job(job_id="job_1", created_at=100.0, spec=TrainSpec(epochs=3), epochs=3)
    for number, event in enumerate(events, 1):
        job = apply(job, msgspec.structs.replace(event, seq=number, ts=event.ts or 100.0 + number))
    return job


def progress(step: int, ts: float = 0.0, **fields: object) -> Progress:
    given = {"attempt": 1, "epoch": 1, "total_steps": 100, "progress": float(step), "loss": 0.5} | fields
    return Progress(step=step, ts=ts, **given)  # type: ignore[arg-type]


RUNNING = (
    State(status=Status.QUEUED, ts=100.0),
    State(status=Status.STARTING, attempt=1, ts=101.0),
    State(status=Status.LOADING, pid=7, ts=101.5),
    State(status=Status.RUNNING, pid=7, total_steps=100, ts=103.5),
)


def test_the_way_of_a_job_is_timed_by_its_own_events() -> None:
    job = folded(*RUNNING, progress(1, ts=103.75), progress(50, ts=108.5), State(status=Status.COMPLETED, ts=113.5))
    assert job.timings == {
        "queued_s": 1.0,
        "starting_s": 0.5,
        "loading_s": 2.0,
        "first_step_s": 0.25,
        "submit_to_first_step_s": 3.75,
        "running_s": 10.0,
    }
    assert (job.started_at, job.finished_at, job.progress, job.seq) == (101.0, 113.5, 100.0, 7)


def test_progress_shows_where_training_is() -> None:
    job = folded(*RUNNING, progress(50, ts=108.5, epoch=2, lr=0.1, samples_per_s=10.0))
    assert (job.epoch, job.step, job.total_steps, job.loss, job.lr) == (2, 50, 100, 0.5, 0.1)
    assert job.message == "Training epoch 2/3"
    assert job.eta_s == 5.0
    assert job.pid == 7


def test_a_diverged_loss_is_null_and_said() -> None:
    job = folded(*RUNNING, progress(5, loss=None, diverged=True))
    assert job.loss is None
    assert job.diverged


def test_the_best_epoch_keeps_its_metrics() -> None:
    ended = {"attempt": 1, "epochs": 3, "train_loss": 1.0, "monitor": "rmse"}
    first = Epoch(epoch=1, step=10, val_loss=0.5, metrics={"rmse": 1.0}, is_best=True, **ended)
    second = Epoch(epoch=2, step=20, val_loss=0.4, metrics={"rmse": 1.2}, **ended)
    job = folded(*RUNNING, first, second)
    assert (job.best_epoch, job.metrics) == (1, {"rmse": 1.2, "val_loss": 0.4})
    assert job.best == Best(epoch=1, monitor="rmse", value=1.0, metrics={"rmse": 1.0, "val_loss": 0.5})


def test_the_baseline_stands_in_the_job_from_the_first_epoch_on_and_through_a_resume() -> None:
    ended = {"attempt": 1, "epochs": 3, "train_loss": 1.0, "metrics": {"accuracy": 0.6}}
    first = Epoch(epoch=1, step=10, baseline={"accuracy": 0.5, "auc": None}, **ended)
    job = folded(*RUNNING, first, State(status=Status.QUEUED, reason="worker_died"), Epoch(epoch=2, step=20, **ended))
    assert job.baseline == {"accuracy": 0.5, "auc": None}
    assert folded(*RUNNING, Epoch(epoch=1, step=10, **ended)).baseline == {}


@pytest.mark.parametrize(
    ("handed", "kept"),
    [({"r2": 0.0, "auc": None}, {"r2": 0.0, "auc": None}), ({"r2": "none", "ok": True, 1: [2]}, {}), (0.5, {})],
)
def test_a_baseline_of_the_end_is_kept_as_far_as_it_is_numbers(handed, kept) -> None:
    result = Result(metrics={"validation": {"r2": 0.9}, "baseline": handed})
    job = folded(*RUNNING, State(status=Status.COMPLETED, result=result))
    assert job.baseline == kept
    assert msgspec.json.decode(msgspec.json.encode(job), type=Job).baseline == kept


def test_a_job_of_an_older_root_has_no_baseline() -> None:
    old = msgspec.to_builtins(folded(*RUNNING))
    del old["baseline"]
    assert msgspec.convert(old, Job).baseline == {}


def test_a_status_of_the_first_version_is_read_though_its_best_had_no_epoch() -> None:
    old = msgspec.to_builtins(folded(*RUNNING)) | {"best": {"rmse": 1.0}, "best_epoch": 3}
    assert msgspec.convert(old, Job).best == Best()


def test_the_result_of_the_end_stands_in_the_job() -> None:
    result = Result(
        model_path="models/job_1.pt", weights_digest="ab", metrics={"validation": {"r2": 0.9}}, best_epoch=2
    )
    job = folded(*RUNNING, State(status=Status.COMPLETED, result=result))
    assert (job.model, job.weights_digest, job.best_epoch) == ("models/job_1.pt", "ab", 2)
    assert job.metrics == {"validation": {"r2": 0.9}}
    assert job.pid is None


def test_a_failure_keeps_the_model_from_before() -> None:
    done = State(status=Status.STOPPED, result=Result(model_path="models/job_1.pt"))
    failed = State(status=Status.FAILED, error=Failure(code="diverged", message="It diverged."))
    job = folded(*RUNNING, done, State(status=Status.QUEUED, reason="resumed"), *RUNNING[1:], failed)
    assert job.model == "models/job_1.pt"
    assert job.error is not None


def test_a_cancelled_job_has_neither_model_nor_checkpoint() -> None:
    kept = Checkpoint(attempt=1, step=5, path="artifacts/x.pt")
    job = folded(*RUNNING, kept, ControlRequested(verb="cancel"), State(status=Status.CANCELLED))
    assert (job.checkpoint, job.model, job.requested) == (None, None, None)


@pytest.mark.parametrize("end", [Status.STOPPED, Status.PAUSED, Status.CANCELLED, Status.COMPLETED])
def test_a_verb_is_remembered_until_it_is_carried_out(end: Status) -> None:
    asked = folded(*RUNNING, ControlRequested(verb="stop"))
    assert asked.requested == "stop"
    assert apply(asked, State(seq=9, ts=200.0, status=Status.QUEUED, reason="finishing")).requested == "stop"
    assert apply(asked, State(seq=9, ts=200.0, status=end)).requested is None


def test_deaths_of_the_worker_count_and_a_resume_by_a_user_forgets_them() -> None:
    died = State(status=Status.QUEUED, reason="worker_died")
    left = State(status=Status.QUEUED, reason="server_restart")
    job = folded(*RUNNING, died, *RUNNING[1:], died, *RUNNING[1:], left)
    assert job.crashes == 2
    assert apply(job, State(seq=99, ts=200.0, status=Status.QUEUED, reason="resumed")).crashes == 0


def test_running_time_adds_up_over_attempts() -> None:
    job = folded(
        *RUNNING,
        State(status=Status.QUEUED, reason="worker_died", ts=110.0),
        State(status=Status.STARTING, attempt=2, ts=111.0),
        State(status=Status.RUNNING, resumed_from_step=40, ts=112.0),
        progress(50, ts=113.0),
    )
    assert job.attempt == 2
    assert job.resumed_from_step == 40
    assert job.timings["running_s"] == 7.5
    assert job.eta_s == 5.0


def test_resume_with_more_epochs_changes_the_spec() -> None:
    job = folded(*RUNNING, State(status=Status.COMPLETED), ControlRequested(verb="resume", epochs=9))
    assert (job.spec.epochs, job.epochs) == (9, 9)


def test_a_status_file_reads_back_as_the_same_job() -> None:
    job = folded(*RUNNING, progress(5))
    assert msgspec.json.decode(msgspec.json.encode(job), type=Job) == job


def test_a_job_that_was_given_more_epochs_is_still_the_one_that_was_submitted() -> None:
    job = folded(*RUNNING, State(status=Status.COMPLETED), ControlRequested(verb="resume", epochs=9))
    assert submitted(job) == TrainSpec(epochs=3)


def test_in_a_list_a_job_shows_the_column_that_it_predicts_named_or_not() -> None:
    job = msgspec.structs.replace(folded(*RUNNING), report={"schema": {"target": "price"}})
    assert summary(folded(*RUNNING))["target"] is None
    assert summary(job)["target"] == "price"
    own = msgspec.structs.replace(job, spec=TrainSpec(trainer="mine"), report={"schema": "of my own"})
    assert summary(own)["target"] is None
