"""Which kinds of models have a searched field, and among which trials it is judged."""

import pytest

from traind.service.studies.importance import judged_among
from traind.service.studies.request import Dimension, StudyRequest
from traind.service.studies.space import auto_space
from traind.service.studies.study import Study
from traind.trainer.contract.spec import TrainSpec

RATE = Dimension(low=0.01, high=0.1)


def test_in_the_auto_space_each_kind_has_its_own():
    space = auto_space(StudyRequest(spec=TrainSpec(dataset="d", target="y")), has_trees=True)
    networks, trees = [["mlp"]], [["trees"]]
    assert judged_among(space) == {
        "lr": networks,
        "weight_decay": networks,
        "model.dropout": networks,
        "model.hidden": networks,
        "model.leaves": trees,
        "model.shrinkage": trees,
    }


@pytest.mark.parametrize(
    ("kinds", "path", "groups"),
    [
        (["mlp", "trees"], "lr", [["mlp"], ["trees"]]),  # without model.shrinkage it is the trees' too
        (["mlp", "trees"], "epochs", [["mlp"], ["trees"]]),
        (["mlp", "tabm", "trees"], "weight_decay", [["mlp", "tabm"]]),
        ([{"kind": "mlp", "hidden": [8]}, "trees"], "model.dropout", [["mlp"]]),
        (["mlp", "tabm"], "model.k", [["tabm"]]),
        (["mlp", "tabm"], "lr", None),
        (["mlp", "linear"], "model.dropout", [["mlp"]]),
        (["mlp", "trees"], "seed", None),
    ],
)
def test_a_field_is_judged_among_kinds_that_mean_the_same_by_it(kinds, path, groups):
    space = {"model": Dimension(choices=kinds), path: RATE}
    assert judged_among(space).get(path) == groups


def test_without_kinds_to_search_every_field_is_of_all_trials():
    assert judged_among({"lr": RATE, "model.dropout": RATE}) == {}
    one = [{"kind": "mlp", "hidden": [8]}, {"kind": "mlp", "hidden": [16]}]
    assert judged_among({"model": Dimension(choices=one), "lr": RATE, "model.dropout": RATE}) == {}


def test_only_the_fields_that_its_kind_has_are_a_trials_own():
    space = {"model": Dimension(choices=["mlp", "trees"]), "lr": RATE, "model.leaves": Dimension(low=2, high=9)}
    request = StudyRequest(spec=TrainSpec())
    about = {"trials": 1, "spec": request.spec, "space": space, "request": request, "created_at": 0.0}
    study = Study(study_id="s", judged_among=judged_among(space), **about)
    assert study.used({"model": "mlp", "lr": 0.1, "model.leaves": 3}) == {"model": "mlp", "lr": 0.1}
    assert study.used({"model": "trees", "lr": 0.1, "model.leaves": 3}).keys() == {"model", "lr", "model.leaves"}
    assert study.used({"model": {"kind": "mlp"}, "model.leaves": 3}).keys() == {"model"}
