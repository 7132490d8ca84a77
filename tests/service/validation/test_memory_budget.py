"""What cannot fit is refused before anything is started."""

import pytest

from traind.service.errors import InvalidSpec
from traind.service.validation.memory_budget import check_memory
from traind.trainer.contract.spec import MlpModel, Synthetic, TabmModel, TrainSpec

GIB = 2**30


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (TrainSpec(synthetic=Synthetic(rows=10_000_000, columns=1_000)), "synthetic.rows"),
        (TrainSpec(model=MlpModel(hidden=(8_192,) * 16)), "model.hidden"),
        (
            TrainSpec(
                model=TabmModel(hidden=(4_096,), k=64), batch_size=1_000_000, synthetic=Synthetic(rows=5_000_000)
            ),
            "batch_size",
        ),
    ],
)
def test_a_spec_that_needs_more_than_there_is_names_the_field_to_change(spec: TrainSpec, field: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        check_memory(spec, 10, 4 * GIB)
    assert [problem["loc"] for problem in refused.value.details] == [field]
    check_memory(spec, 10, 0)


def test_usual_specs_fit() -> None:
    check_memory(TrainSpec(), 0, GIB)
    check_memory(TrainSpec(dataset="houses", batch_size=4_096, model=TabmModel()), 1_000, GIB)
