"""Every public field says what it is, in one line that a newcomer can read."""

from typing import Any

import msgspec
import pytest

from traind.service.field_lines import field_lines, structs_in
from traind.service.http.operations import OPERATIONS
from traind.service.http.schemas import (
    ErrorAnswer,
)
from traind.service.jobs.job import Job
from traind.service.results import Alias, Dataset, Figures, JobPage, Prediction, Score
from traind.service.settings import Settings
from traind.trainer.contract.events import AnyEvent
from traind.trainer.contract.spec import Assignment

CALLS = [kind for one in OPERATIONS for kind in (one.query, one.body, one.answer) if kind is not None]
RESULTS = (JobPage, Prediction, Dataset, Alias, Score, Figures)
PUBLIC = structs_in(Assignment, AnyEvent, Job, Settings, ErrorAnswer, *RESULTS, *CALLS)


def test_nested_types_are_found() -> None:
    assert {"TrainSpec", "Validation", "TabmModel", "DatasetFile", "Progress", "Epoch", "Failure", "Job"} <= set(
        PUBLIC
    )


@pytest.mark.parametrize("struct", PUBLIC.values(), ids=PUBLIC)
def test_every_public_field_has_its_line(struct: type[Any]) -> None:
    assert set(field_lines(struct)) == set(struct.__struct_fields__)


@pytest.mark.parametrize("struct", PUBLIC.values(), ids=PUBLIC)
def test_a_line_is_a_sentence_of_its_own(struct: type[Any]) -> None:
    for name, line in field_lines(struct).items():
        assert line[0].isupper(), name
        assert line.endswith("."), name
        assert "\n" not in line, name
        assert len(line) < 120, name


def test_a_struct_without_source_has_no_lines() -> None:
    made = msgspec.defstruct("Made", [("field", int)])
    assert field_lines(made) == {}
