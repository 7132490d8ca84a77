"""Specs from anywhere: every problem at once, in words, and nothing that cannot be written down."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traind.service.errors import InvalidSpec
from traind.service.validation.explain import problems
from traind.service.validation.validate import parse_spec
from traind.trainer.contract.spec import MlpModel, TrainSpec

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
FIELDS = st.dictionaries(st.sampled_from(TrainSpec.__struct_fields__) | st.text(max_size=10), JSON, max_size=6)


def refused(source):
    with pytest.raises(InvalidSpec) as error:
        parse_spec(source)
    return {detail["loc"]: detail["msg"] for detail in error.value.details}, error.value.message


def test_json_a_mapping_and_a_struct_are_the_same_spec():
    spec = TrainSpec(epochs=3, model=MlpModel(hidden=(8,)), tags=("a",))
    assert parse_spec(msgspec.json.encode(spec)) == parse_spec(msgspec.to_builtins(spec)) == parse_spec(spec) == spec


def test_what_a_constructor_let_through_is_found():
    details, message = refused(TrainSpec(epochs=-1, lr=math.nan, model=MlpModel(hidden=())))
    assert set(details) == {"epochs", "lr", "model.hidden"}
    assert message.startswith("The spec has 3 problems, in ")


def test_a_whole_number_may_be_written_with_a_point():
    assert parse_spec(b'{"epochs": 3.0, "lr": 1.0}') == TrainSpec(epochs=3, lr=1.0)
    assert refused(b'{"epochs": 3.5}')[0] == {"epochs": 'must be a whole number from 1 to 100000 or "auto", got 3.5'}


def test_one_problem_is_the_message():
    _, message = refused({"epochs": 0})
    assert message == 'epochs: must be a whole number from 1 to 100000 or "auto", got 0.'


@pytest.mark.parametrize(
    ("source", "loc", "words"),
    [
        ({"lr": 0}, "lr", 'a number above 0 and at most 100 or "auto", got 0'),
        ({"validation": {"test_fraction": 1}}, "validation.test_fraction", "a number at least 0 and below 1, got 1"),
        ({"optimizer": "adagrad"}, "optimizer", '"adam", "adamw", "auto" or "sgd", got "adagrad"'),
        ({"model": "mlp"}, "model", 'an object whose "kind" is "auto", "fast"'),
        ({"model": {"kind": "mlp", "hidden": "wide"}}, "model.hidden", 'a list, got "wide"'),
        ({"columns": {"age": "number"}}, "columns.age", '"numeric"'),
        ({"columns": {"": "numeric"}}, "columns", "a key must be text of 1 to 1000 characters"),
        ({"tags": ["t"] * 51}, "tags", "at most 50 items, has 51"),
        ({"features": []}, "features", "1 to 10000 items, has 0"),
        ({"epoch": 3}, "epoch", "is not a field; did you mean epochs?"),
        ({"validation": {"kind": "group"}}, "validation.column", "must name the column"),
        ({"features": ["a", "b"], "ignore": ["b"]}, "ignore", "b"),
        ({"model": {"kind": "huge", "hidden": [8]}}, "model", '"trees" or "ensemble", got "huge"'),
        ({"options": {"a": 1}}, "options", "are for a trainer of your own"),
        ({"trainer": "mine", "options": {"a": object()}}, "", "cannot be written as JSON"),
        ({"name": "\ud800"}, "", "cannot be written as JSON"),
        ({"seed": 10**5_000}, "seed", "a number of many digits"),
        ([], "", "must be an object, got a list"),
    ],
)
def test_a_problem_says_where_what_was_wanted_and_what_came(source, loc, words):
    details, _ = refused(source)
    assert words in details[loc]


def test_depth_is_bounded_and_cycles_end():
    deep = {}
    deep["options"] = deep
    details, _ = refused(deep)
    assert details == {"": "is nested more than 32 deep"}


def outcome(source):
    """Return the spec, or the error."""
    try:
        return parse_spec(source)
    except InvalidSpec as error:
        return error


@given(source=FIELDS)
def test_any_values_are_a_spec_or_a_refusal_with_details(source):
    found = outcome(source)
    if isinstance(found, InvalidSpec):
        assert found.details
        assert all(detail["msg"] for detail in found.details)
        assert len(found.message) < 2_000
    else:
        assert parse_spec(msgspec.json.encode(found)) == found


@given(source=FIELDS)
def test_problems_are_found_exactly_where_msgspec_refuses(source):
    try:
        msgspec.convert(source, TrainSpec)
    except msgspec.ValidationError:
        assert problems(source, TrainSpec)
    else:
        assert problems(source, TrainSpec) == []


@given(text=st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_are_a_spec_or_a_refusal(text):
    assert outcome(text)


def test_a_spec_is_as_it_will_be_read_back():
    spec = parse_spec({"trainer": "mine", "options": {"pair": (1, 2), "lost": math.nan}})
    assert spec.options == {"pair": [1, 2], "lost": None}
