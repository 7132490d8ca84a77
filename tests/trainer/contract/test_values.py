"""Values of other people's libraries have one plain form, or are refused by name and type."""

import collections
import contextlib
import dataclasses
import datetime as dt
import enum
import math
import typing
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from traind.trainer.contract.values import NotPlain, number, numbers_by_name, plain, text, whole


class Colour(enum.Enum):
    RED = "red"


class Pair(typing.NamedTuple):
    left: int
    right: object


@dataclasses.dataclass
class Record:
    size: int = 1
    inner: object = None


class Mute:
    def __str__(self):
        raise RuntimeError


FORMS = [
    (np.int64(3), 3),
    (np.float32(0.5), 0.5),
    (np.float64(0.9), 0.9),
    (np.bool_(True), True),
    (np.str_("a"), "a"),
    (np.eye(2), [[1.0, 0.0], [0.0, 1.0]]),
    (np.array(["a", "b"]), ["a", "b"]),
    (np.array([{"a": np.int8(1)}], dtype=object), [{"a": 1}]),
    (np.datetime64("2026-01-02"), "2026-01-02T00:00:00"),
    (np.timedelta64(5, "s"), 5.0),
    (torch.tensor(0.5), 0.5),
    (torch.tensor([1, 2]), [1, 2]),
    (torch.ones(2, dtype=torch.bfloat16, requires_grad=True), [1.0, 1.0]),
    (torch.eye(2).to_sparse(), [[1.0, 0.0], [0.0, 1.0]]),
    (torch.float32, "torch.float32"),
    (collections.deque([1, np.float64(2)], maxlen=3), [1, 2.0]),
    (collections.Counter("aab"), {"a": 2, "b": 1}),
    ({3, 1, 2}, [1, 2, 3]),
    (range(3), [0, 1, 2]),
    (Path("/a/b"), "/a/b"),
    (dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), "2026-01-02T03:04:00+00:00"),
    (dt.date(2026, 1, 2), "2026-01-02"),
    (dt.timedelta(minutes=1), 60.0),
    (Decimal("1.5"), 1.5),
    (Fraction(1, 2), 0.5),
    (Colour.RED, "red"),
    (Pair(1, np.ones(1)), {"left": 1, "right": [1.0]}),
    (Record(inner={"a": (1, 2)}), {"size": 1, "inner": {"a": [1, 2]}}),
    ({1: "a", 2.5: "b", Colour.RED: "c", None: "d"}, {"1": "a", "2.5": "b", "red": "c", "None": "d"}),
    (b"abc", "abc"),
    ("caf\udce9", "caf\\udce9"),
]


@pytest.mark.parametrize(("value", "expected"), FORMS, ids=lambda value: type(value).__name__)
def test_each_has_its_plain_form_and_it_can_be_written(value, expected):
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)
    assert msgspec.json.decode(msgspec.json.encode(found)) == expected


REFUSED = [
    (object(), "an object"),
    (lambda: None, "a function"),
    (torch.nn.Linear(1, 1), "a torch.nn.modules.linear.Linear"),
    (1 + 2j, "a complex"),
    (torch.ones(2, device="meta"), "a torch.Tensor of shape 2"),
    (2**70, "64 bits"),
    (b"\xff", "no text"),
    ((n for n in [1]), "a generator"),
    ({("a",): 1}, "keys"),
    ({1: "a", "1": "b"}, "two keys"),
    (Mute(), "a "),
]


@pytest.mark.parametrize(("value", "words"), REFUSED, ids=lambda value: type(value).__name__)
def test_what_has_none_is_refused_where_it_stands(value, words):
    with pytest.raises(NotPlain) as refused:
        plain({"a": [0, {"b": value}]})
    assert refused.value.where == "['a'][1]['b']"
    assert words in refused.value.problem


def test_what_holds_itself_is_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(NotPlain, match="itself"):
        plain(endless)


@pytest.mark.parametrize(
    "value",
    [0.5, np.float32(0.5), torch.tensor(0.5), torch.tensor([[0.5]]), [0.5], (np.float64(0.5),), Decimal("0.5")],
)
def test_a_scalar_of_any_library_is_a_number(value):
    assert number(value) == 0.5
    assert type(number(value)) is float


@pytest.mark.parametrize("value", ["0.5", [1, 2], torch.ones(2), 1j, {"a": 1}, object(), np.ones((2, 2)), b"1"])
def test_what_is_no_scalar_is_no_number(value):
    with pytest.raises(NotPlain, match="takes a number"):
        number(value)


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3), torch.tensor(3), [3]])
def test_a_whole_number_may_be_of_any_type(value):
    assert whole(value) == 3
    assert type(whole(value)) is int


@pytest.mark.parametrize("value", [0.5, np.float64(2.5), math.nan, math.inf, -1, 2**63, "3", None, True])
def test_what_is_not_whole_is_refused(value):
    with pytest.raises(NotPlain):
        whole(value)


def test_a_text_is_made_of_anything_and_can_be_written():
    assert text(Mute()) == "<Mute>"
    assert text({"a": "\ud800"}).encode()
    assert text("abcdef", 3) == "abc ... (3 more characters)"
    with pytest.raises(NotPlain, match="by name"):
        numbers_by_name([1, 2])


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(st.characters()),
    st.sampled_from([value for value, _ in FORMS]),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(st.characters(), max_size=3), inner, max_size=3),
        st.builds(collections.deque, st.lists(inner, max_size=2)),
        st.builds(lambda item: Pair(1, item), inner),
    ),
    max_leaves=12,
)


@given(trees)
def test_any_tree_of_them_can_be_written_and_read_again(tree):
    with contextlib.suppress(NotPlain):  # two keys may be one as text
        found = plain(tree)
        msgspec.json.decode(msgspec.json.encode(found))
        assert plain(found) == found or "nan" in repr(found)
