"""A spec is validated once, and then carried as checked."""

import pytest

from traind.service.errors import InvalidSpec
from traind.service.http.requests import SubmitRequest
from traind.service.validation.validate import check_request, parse_spec
from traind.trainer.contract.spec import TrainSpec


def test_a_checked_spec_is_what_parsing_gives() -> None:
    value = {"epochs": 3.0, "lr": 0.01, "options": {"a": [1]}, "trainer": "mine", "job_id": "one"}
    request, checked = check_request(value, SubmitRequest)
    assert request.job_id == "one"
    assert type(checked.spec) is TrainSpec
    assert checked.spec == parse_spec({name: field for name, field in value.items() if name != "job_id"})
    assert parse_spec(checked) is checked.spec


def test_every_problem_is_named_at_once_the_id_among_them() -> None:
    with pytest.raises(InvalidSpec) as caught:
        check_request({"epochs": 0, "job_id": "no/slash", "jobid": 1}, SubmitRequest)
    assert {detail["loc"] for detail in caught.value.details} == {"epochs", "job_id", "jobid"}


def test_fields_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidSpec, match="synthetic"):
        check_request({"dataset": "d", "synthetic": {}}, SubmitRequest)
