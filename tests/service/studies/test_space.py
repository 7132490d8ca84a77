"""The space of a study: every part that no trial could be is named by field before anything runs."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traind.service.errors import InvalidSpec
from traind.service.studies.request import Dimension, StudyRequest
from traind.service.studies.space import (
    SEARCHED,
    auto_space,
    axes_of,
    check_space,
    first_params,
    params_in,
    params_of,
    point_of,
    spec_with,
)
from traind.service.studies.submission import corners
from traind.service.validation.validate import parse, parse_spec
from traind.trainer.contract.spec import MlpModel, TrainSpec, TreesModel

HIDDEN = {"choices": [[16], [32, 32]]}


def problems(space, **spec):
    request = parse({"spec": spec, "space": space}, StudyRequest)
    try:
        check_space(request)
    except InvalidSpec as error:
        return {one["loc"]: one["msg"] for one in error.details}
    return {}


@pytest.mark.parametrize(
    ("space", "loc", "word"),
    [
        ({"lrr": {"low": 1, "high": 2}}, "space.lrr", "did you mean lr"),
        ({"model.width": HIDDEN}, "space.model.width", "no field of the model"),
        ({"target": {"choices": ["a", "b"]}}, "space.target", "cannot be searched"),
        ({"validation.fraction": {"low": 0.1, "high": 0.2}}, "space.validation.fraction", "cannot be searched"),
        ({"options.width": {"low": 1, "high": 2}}, "space.options.width", "trainer of your own"),
        ({"lr": {"low": 0.0, "high": 1.0}}, "space.lr.low", "above 0"),
        ({"lr": {"low": 1.0, "high": 1e9}}, "space.lr.high", "at most 100"),
        ({"lr": {"low": 1.0, "high": 0.1}}, "space.lr", "above its high"),
        ({"lr": {"low": -1.0, "high": 1.0, "log": True}}, "space.lr", "above 0 where log"),
        ({"lr": {"low": 0.1}}, "space.lr", "low and high"),
        ({"lr": {}}, "space.lr", "choices, or low and high"),
        ({"lr": {"low": 0.1, "high": 1.0, "choices": [1.0]}}, "space.lr", "not both"),
        ({"lr": {"choices": [0.1, "fast"]}}, "space.lr.choices.1", "a number"),
        ({"batch_size": {"low": 1.5, "high": 64}}, "space.batch_size.low", "whole number"),
        ({"batch_size": {"low": 16, "high": 64, "step": 0.5}}, "space.batch_size.step", "whole number"),
        ({"optimizer": {"low": 1, "high": 2}}, "space.optimizer", "choices"),
        ({"optimizer": {"choices": ["adam", "lion"]}}, "space.optimizer.choices.1", '"adamw"'),
        ({"model.hidden": {"choices": [[16], [0]]}}, "space.model.hidden.choices.1.0", "from 1 to"),
        ({"model.dropout": {"low": 0.0, "high": 1.0}}, "space.model.dropout.high", "below 1"),
        ({"model": {"choices": ["mlp", "forest"]}}, "space.model.choices.1", "kind"),
        ({"epochs": {"low": 0, "high": 5}}, "space.epochs.low", "whole number from 1"),
        ({"lr": {"low": 0.1, "high": 1.0, "log": True, "step": 0.1}}, "space.lr", "both log and step"),
    ],
)
def test_what_no_trial_could_be_is_named(space, loc, word):
    found = problems(space)
    assert list(found) == [loc]
    assert word in found[loc]


@pytest.mark.parametrize(
    ("space", "loc", "word"),
    [
        ({}, "space", "1 to 50 entries"),
        ({"lr": 5}, "space.lr", "must be an object"),
        ({"lr": {"lo": 1}}, "space.lr.lo", "did you mean low?"),
        ({"lr": {"low": "small", "high": 1}}, "space.lr.low", "a number"),
        ({"lr": {"choices": []}}, "space.lr.choices", "1 to 200 items"),
        ("all", "space", '"auto"'),
    ],
)
def test_what_is_no_space_is_named_where_it_is_wrong(space, loc, word):
    with pytest.raises(InvalidSpec) as refused:
        parse({"space": space}, StudyRequest)
    assert [one["loc"] for one in refused.value.details] == [loc]
    assert word in refused.value.details[0]["msg"]
    assert "?." not in refused.value.message


ENDS = [-(10**400), -1e308, -1.0, 0, 5e-324, 1e-3, 1, 2**53, 2**63, 1e308, 10**400]


@pytest.mark.filterwarnings("ignore:The distribution is specified by")  # the last step may be short
@pytest.mark.parametrize("low", ENDS, ids=lambda low: f"{low}"[:16])
@pytest.mark.parametrize(
    "more", [{}, {"log": True}, {"step": 1}, {"step": 1e-300}, {"step": 10**400}], ids=lambda more: str(more)[:16]
)
def test_every_range_that_is_accepted_can_be_drawn_from(low, more):
    pytest.importorskip("optuna", reason="optuna draws")
    from traind.trainer.search.suggest import advance_request

    for high in ENDS:
        space = {"options.x": {"low": low, "high": high, **more}}
        if found := problems(space, trainer="own"):
            assert set(found) == {"space.options.x"}
            continue
        space = {"options.x": Dimension(**space["options.x"])}
        axes = axes_of(space)
        record = {"study_id": "x", "axes": msgspec.to_builtins(axes), "rows": [], "wanted": 2, "seed": 0}
        how = {"direction": "minimize", "sampler": "random", "pruner": "none", "is_parallel": False}
        for point in advance_request(record | how)["points"]:
            found = params_of(space, axes, point)["options.x"]
            assert float(low) <= found <= float(high)


def test_every_problem_is_named_at_once():
    found = problems({"lr": {"low": 0.0, "high": 1e9}, "epochs": {"choices": ["many"]}, "lrr": HIDDEN})
    assert set(found) == {"space.lr.low", "space.lr.high", "space.epochs.choices.0", "space.lrr"}


def test_ignored_columns_may_not_hold_the_target():
    found = problems({"ignore": {"choices": [["a"], ["price"]]}}, dataset="houses", target="price")
    assert list(found) == ["space.ignore.choices.1"]


@pytest.mark.parametrize("path", SEARCHED)
def test_every_searched_field_is_one_of_the_spec(path):
    assert path in TrainSpec.__struct_fields__


def test_fields_of_a_network_imply_one():
    assert spec_with(TrainSpec(), {"model.dropout": 0.2})["model"] == {"kind": "mlp", "dropout": 0.2}
    assert spec_with(TrainSpec(), {"model.dropout": 0.2, "model.k": 4})["model"]["kind"] == "tabm"


def test_fields_of_a_network_are_trained_as_auto_is_where_there_are_rows_to_keep():
    spec = parse_spec({"dataset": "houses"})
    assert spec_with(spec, {"model.dropout": 0.2})["model"] == {"kind": "mlp", "dropout": 0.2, "members": 2}


@pytest.mark.parametrize(
    ("path", "space", "own", "expected"),
    [
        ("lr", {"low": 1e-3, "high": 1e-2, "log": True}, 4e-3, 4e-3),
        ("lr", {"low": 1e-3, "high": 1e-2}, 1.0, 1e-2),
        ("lr", {"low": 1e-3, "high": 1e-2}, 1e-9, 1e-3),
        ("lr", {"choices": [1e-3, 1e-2]}, 4e-3, 1e-3),
        ("epochs", {"low": 4, "high": 20, "step": 5}, 18, 19),
        ("epochs", {"low": 4, "high": 20, "step": 5}, 99, 19),
        ("patience", {"low": 2, "high": 9}, None, 9),
        ("optimizer", {"choices": ["sgd", "adamw"]}, "adamw", "adamw"),
        ("optimizer", {"choices": ["sgd", "adam"]}, "adamw", "sgd"),
        ("model.hidden", {"choices": [[8], [256, 256]]}, [256, 256], [256, 256]),
        ("model.k", {"low": 2, "high": 16}, None, 8),
        ("model", {"choices": ["mlp", "auto"]}, None, "auto"),
    ],
)
def test_a_study_begins_at_the_point_nearest_to_the_spec(path, space, own, expected):
    space = {path: Dimension(**space)}
    found = first_params(space, TrainSpec(), {} if path.startswith("model") and own is None else {path: own})
    assert found == {path: pytest.approx(expected) if isinstance(expected, float) else expected}
    assert params_of(space, axes_of(space), point_of(space, found)) == found


def test_what_the_spec_says_is_where_a_study_begins():
    spec = parse_spec({"lr": 0.5, "model": {"kind": "tabm", "k": 3}})
    space = {"model.k": Dimension(low=2, high=16), "seed": Dimension(choices=[0, 1])}
    assert first_params(space, spec, {"lr": 0.5}) == {"model.k": 3, "seed": 0}


def test_a_field_that_the_chosen_network_has_not_is_left_out():
    for kind, fields in (("mlp", {"kind": "mlp"}), ("tabm", {"kind": "tabm", "k": 4})):
        assert spec_with(TrainSpec(), {"model": kind, "model.k": 4})["model"] == fields


def test_auto_searches_networks_and_trees_where_trees_can_be_grown():
    spec = parse_spec({"dataset": "houses", "weight_decay": 0.3})
    space = auto_space(StudyRequest(spec=spec), has_trees=True)
    first = first_params(
        space, spec, {"lr": 4e-3, "weight_decay": 0.3, "model.hidden": [256, 256], "model.shrinkage": 0.05}
    )
    assert (first["model"], first["model.leaves"], first["model.shrinkage"]) == ("mlp", 31, 0.05)
    network, trees = (parse_spec(spec_with(spec, {**first, "model": kind})) for kind in ("mlp", "trees"))
    assert (network.lr, network.model) == (4e-3, MlpModel(hidden=(256, 256), dropout=0.1, members=2))
    assert (trees.lr, trees.model) == ("auto", TreesModel(leaves=31, shrinkage=0.05))
    for fields in ({}, {"dataset": "houses", "workers": 2}, {"dataset": "houses", "device": "cuda"}):
        assert "model" not in auto_space(StudyRequest(spec=parse_spec(fields)), has_trees=True)
    assert "model" not in auto_space(StudyRequest(spec=spec), has_trees=False)


def test_a_model_may_be_named_by_its_kind_alone():
    assert problems({"model": {"choices": ["fast", {"kind": "mlp", "hidden": [8]}]}}) == {}


ranges = st.tuples(st.floats(1e-6, 99.0), st.floats(1e-6, 99.0)).map(sorted)


@given(ranges, st.booleans(), st.integers(1, 40), st.data())
def test_every_point_of_a_checked_space_is_a_spec_and_found_again(bounds, is_log, most, data):
    space = {
        "lr": Dimension(low=bounds[0], high=bounds[1], log=is_log),
        "batch_size": Dimension(low=1, high=most),
        "model.hidden": Dimension(choices=[[8], [16, 16]]),
        "optimizer": Dimension(choices=["adam", "sgd"]),
    }
    request = StudyRequest(space=space)
    assert check_space(request) == space
    axes = axes_of(space)
    assert [axis.kind for axis in axes] == ["float", "int", "choice", "choice"]
    point = [
        data.draw(st.floats(*bounds)),
        float(data.draw(st.integers(1, most))),
        float(data.draw(st.integers(0, 1))),
        float(data.draw(st.integers(0, 1))),
    ]
    params = params_of(space, axes, point)
    assert point_of(space, params) == point
    spec = parse_spec(spec_with(request.spec, params))
    assert params_in(space, spec) == params
    assert (spec.lr, spec.batch_size, spec.optimizer) == (point[0], int(point[1]), params["optimizer"])


def test_corners_hold_every_end_and_choice():
    space = {"lr": Dimension(low=0.1, high=1.0), "model.hidden": Dimension(choices=[[8], [16], [32]])}
    specs = corners(TrainSpec(), space)
    assert {spec.lr for spec in specs} == {0.1, 1.0}
    assert {spec.model.hidden for spec in specs} == {(8,), (16,), (32,)}
