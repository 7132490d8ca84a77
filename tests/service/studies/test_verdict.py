"""What a trial comes to: it has a value where its job has a model."""

import pytest

from traind.service.jobs.job import Best, Job
from traind.service.studies.request import StudyRequest
from traind.service.studies.study import Study, Trial
from traind.service.studies.verdict import ended
from traind.trainer.contract.events import Failure, Status
from traind.trainer.contract.spec import TrainSpec

SPEC = TrainSpec()
STUDY = Study(study_id="s", trials=3, spec=SPEC, space={}, created_at=0.0, request=StudyRequest(spec=SPEC))
TRIAL = Trial(trial=0, job_id="s_0", params={}, created_at=0.0)
LOST = Failure(code="worker_died", message="The worker died three times.")


@pytest.mark.parametrize(
    ("status", "model", "expected"),
    [
        (Status.COMPLETED, "models/s_0.pt", "COMPLETED"),
        (Status.COMPLETED, None, "COMPLETED"),  # a trainer of one's own may make none
        (Status.STOPPED, "models/s_0.pt", "STOPPED"),
        (Status.FAILED, "models/s_0.pt", "STOPPED"),  # it diverged, and its last good epoch is the model
        (Status.FAILED, None, "FAILED"),
        (Status.CANCELLED, None, "FAILED"),
    ],
)
def test_a_trial_has_a_value_where_its_job_has_a_model(status, model, expected):
    best = Best(epoch=2, monitor="val_loss", value=0.5, metrics={"val_loss": 0.5})
    error = LOST if status is Status.FAILED else None
    job = Job(job_id="s_0", created_at=0.0, spec=SPEC, status=status, model=model, best=best, error=error)
    said = ended(STUDY, TRIAL, job, [0.7, 0.5], None)
    assert (said.status, said.value) == (expected, None if expected == "FAILED" else 0.5)
    assert (said.error is not None) == (expected == "FAILED")
