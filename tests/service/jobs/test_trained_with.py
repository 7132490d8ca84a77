"""What jobs were trained with, by path: for lists in short, and for what differs."""

from traind.service.jobs.job import Job
from traind.service.jobs.summary import summary
from traind.service.jobs.trained_with import MOST_SHOWN, differing, trained_with, unusual
from traind.trainer.contract.spec import MlpModel, TrainSpec


def test_a_list_shows_only_what_is_not_usual_and_no_long_values() -> None:
    assert unusual(TrainSpec()) == {}
    spec = TrainSpec(lr=0.1, model=MlpModel(hidden=[8, 8]), name="n", tags=["t"], dataset="d")
    found = unusual(spec)
    assert (found["lr"], found["model"], found["model.hidden"]) == (0.1, "mlp", [8, 8])
    assert {"name", "tags", "dataset"}.isdisjoint(found)
    own = unusual(TrainSpec(trainer="mine", options={"text": "x" * 10_000, **{f"o{n}": n for n in range(100)}}))
    assert len(own) == MOST_SHOWN
    assert "options.text" not in own
    assert summary(Job(job_id="a", created_at=1.0, spec=spec))["settings"] == found


def test_what_the_recipe_chose_stands_in_place_of_auto() -> None:
    job = Job(
        job_id="a",
        created_at=1.0,
        spec=TrainSpec(epochs=3),
        report={"recipe": {"lr": 0.002, "epochs": 9, "network": {"kind": "mlp"}}, "schema": {"target": "price"}},
    )
    found = trained_with(job)
    assert (found["lr"], found["epochs"], found["model"], found["target"]) == (0.002, 3, "mlp", "price")


def test_what_differs_is_told_in_the_order_of_the_first() -> None:
    assert differing([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": None}, {"a": 1, "b": 2, "d": 0}]) == ["b", "d"]
    assert differing([]) == []
