"""What cannot fit is refused before anything is started, by the estimate that the dry run makes of the real table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from traind.service.errors import InvalidSpec
from traind.service.service import TrainingService
from traind.service.validation.memory_budget import Known, check_memory, needs_of
from traind.trainer.contract.spec import AutoModel, BlendModel, MlpModel, Synthetic, TabmModel, TrainSpec

GIB = 2**30
NUMBER = {"kind": "numeric", "distinct": 1_000_000, "missing": 0}
LEVEL = {"kind": "categorical", "distinct": 20_000, "missing": 5}
WIDE = Known(1_000_000, [{"name": f"x{i}", **NUMBER} for i in range(2_000)])
LEVELS = Known(1_000_000, [{"name": f"c{i}", **LEVEL} for i in range(200)])
SAME_AS_AUTO = MlpModel(hidden=(128, 128))  # of many rows
HUGE = TabmModel(hidden=(4_096,), k=64)


@pytest.mark.parametrize(
    ("spec", "known", "field"),
    [
        (TrainSpec(synthetic=Synthetic(rows=10_000_000, columns=1_000)), Known(0), "synthetic.rows"),
        (TrainSpec(model=MlpModel(hidden=(8_192,) * 16)), Known(0), "model.hidden"),
        (TrainSpec(model=HUGE, batch_size=1_000_000, synthetic=Synthetic(rows=5_000_000)), Known(0), "batch_size"),
        (TrainSpec(dataset="wide", target="x0"), WIDE, "dataset"),
        (TrainSpec(dataset="levels", target="c0"), LEVELS, "model"),
    ],
)
def test_a_spec_that_needs_more_than_there_is_names_the_field_to_change(
    spec: TrainSpec, known: Known, field: str
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        check_memory(spec, known, 2 * GIB)
    assert [problem["loc"] for problem in refused.value.details] == [field]
    check_memory(spec, known, 0)


def test_embeddings_of_numbers_and_of_categories_count() -> None:
    spec = TrainSpec(dataset="d", target="x0", model=MlpModel(hidden=(8,), embedding="piecewise_linear"))
    bare = TrainSpec(dataset="d", target="x0", model=MlpModel(hidden=(8,), embedding="none"))
    numbers = Known(100_000, WIDE.columns[:100])
    assert needs_of(spec, numbers)["model.hidden"] > 20 * needs_of(bare, numbers)["model.hidden"]
    assert needs_of(bare, LEVELS)["model.hidden"] > 7 * 4 * 199 * 20_000 * 32


def test_texts_second_networks_and_trees_count() -> None:
    """The tokens of a text and a vector each; twice the weights; the rows once more, as trees take them."""
    known = Known(20_000, [NUMBER | {"name": "y"}, {"name": "t", "kind": "text", "distinct": 20_000, "missing": 0}])
    spec = TrainSpec(dataset="d", target="y", model=MlpModel(hidden=(8,), embedding="none"))
    without = Known(20_000, [NUMBER | {"name": "y"}, NUMBER | {"name": "t"}])
    texts, numbers = needs_of(spec, known), needs_of(spec, without)
    assert texts["dataset"] - numbers["dataset"] > 20_000 * 192 * 8
    assert texts["model.hidden"] - numbers["model.hidden"] > 7 * 4 * 16_384 * 31
    assert texts["batch_size"] > 100 * numbers["batch_size"]
    one, two = (
        needs_of(TrainSpec(dataset="d", target="y", model=model), WIDE) for model in (SAME_AS_AUTO, AutoModel())
    )
    assert two["model"] == 2 * one["model.hidden"]
    trees = needs_of(TrainSpec(dataset="d", target="y", model=BlendModel()), without)
    assert trees["dataset"] > needs_of(TrainSpec(dataset="d", target="y"), without)["dataset"]


def test_usual_specs_fit() -> None:
    check_memory(TrainSpec(), Known(0), GIB)
    known = Known(10_000, WIDE.columns[:200])
    check_memory(TrainSpec(dataset="houses", batch_size=4_096, model=TabmModel()), known, GIB)


MODELS: list[dict[str, Any]] = [
    {},
    {"model": {"kind": "best"}},
    {"model": {"kind": "linear"}},
    {"model": {"kind": "mlp", "hidden": [512, 512]}, "batch_size": 2_048},
    {"model": {"kind": "mlp", "hidden": [1_024], "embedding": "periodic"}},
    {"model": {"kind": "tabm", "hidden": [512, 512], "k": 32}, "batch_size": 1_024},
]


@pytest.mark.faults  # minutes: it takes real steps of large networks
@pytest.mark.timeout(600)
async def test_the_budget_knows_what_the_dry_run_knows(
    tmp_path: Path, houses: Path, open_root: Callable[..., TrainingService]
) -> None:
    """For each kind of model the two estimates are about the same, and a budget far below it refuses the job."""
    async with open_root(tmp_path, slots=1) as service:
        dataset = await service.put_dataset("houses", houses)
        known = Known(dataset.summary["n_rows"], dataset.summary["columns"])
        for fields in MODELS:
            spec = msgspec.convert({"dataset": "houses", "target": "price", **fields}, TrainSpec)
            told = (await service.dry_run(spec))["memory_bytes"]
            budgeted = sum(needs_of(spec, known).values())
            assert told / 2 < budgeted < told * 2, (fields, told, budgeted)
            with pytest.raises(InvalidSpec):
                check_memory(spec, known, told // 3)
