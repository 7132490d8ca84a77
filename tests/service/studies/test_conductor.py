"""What a trial trains."""

import pytest

from traind.service.studies.conductor import trial_spec
from traind.service.studies.request import Dimension, StudyRequest
from traind.service.studies.study import Study, Trial
from traind.service.validation.validate import parse_spec

SPACE = {"lr": Dimension(low=1e-3, high=1e-2)}


@pytest.mark.parametrize(
    ("space", "dataset", "seeds"),
    [
        ("auto", "houses", [7, 10]),  # networks of other seeds err otherwise
        (SPACE, "houses", [7, 7]),
        ("auto", None, [7, 7]),  # the seed makes the data
    ],
)
def test_a_trial_of_auto_has_a_seed_of_its_own(space, dataset, seeds):
    spec = parse_spec({"dataset": dataset, "seed": 7})
    request = StudyRequest(spec=spec, space=space)
    study = Study(study_id="s", trials=9, spec=spec, space=SPACE, created_at=0.0, request=request)
    trials = [Trial(trial=number, job_id=f"s_{number}", params={"lr": 2e-3}, created_at=0.0) for number in (0, 3)]
    assert [trial_spec(study, trial).seed for trial in trials] == seeds
