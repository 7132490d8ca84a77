import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from traind.data.encoding.encoder import FIRST, MISSING, UNSEEN, Encoder, fit, smooth_clip
from traind.data.table.arrays import Cells, Table, codes_of
from traind.data.table.schema import Column, Kind, Schema

DAY_S = 86_400.0


def encoder_of(kind: Kind, cells: Cells, *, labels: tuple[str, ...] = ()) -> Encoder:
    """An encoder fitted on a table of this column `x` alone."""
    columns = (Column(name="x", kind=kind, evidence=""),)
    schema = Schema(n_rows=0, target="y", task="regression", task_reason="", labels=labels, columns=columns)
    return fit(schema, table_of(cells))


def table_of(cells: Cells, **more: Cells) -> Table:
    return Table({"x": cells, **more}, len(cells) if isinstance(cells, np.ndarray) else len(cells.codes))


def numeric(encoder: Encoder, cells: Cells) -> NDArray[np.float32]:
    return encoder.encode(table_of(cells)).numeric


def indices(encoder: Encoder, texts: list[str | None]) -> list[int]:
    return [int(i) for i in encoder.encode(table_of(codes_of(texts))).categorical[:, 0]]


def test_numbers_are_centred_scaled_and_clipped_smoothly() -> None:
    encoder = encoder_of("numeric", np.arange(101.0))
    z = numeric(encoder, np.array([50.0, 100.0, 1e9, -np.inf]))[:, 0]
    assert z[0] == 0.0
    assert z[1] == pytest.approx(1.0 / np.sqrt(1 + 1 / 9))  # half the range is one interquartile range
    assert z[2] == pytest.approx(3.0)
    assert z[3] == pytest.approx(-3.0)


@given(values=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=50))
def test_encoded_numbers_are_finite_ordered_and_small(values: list[float]) -> None:
    cells = np.array(values)
    z = numeric(encoder_of("numeric", cells), cells)
    assert np.isfinite(z).all()
    assert (np.abs(z) <= 3.0001).all()
    if z.shape[1] and not np.isnan(cells).any():
        assert (np.diff(z[np.argsort(cells), 0]) >= 0).all()


def test_smooth_clip_is_what_the_paper_says() -> None:
    z = np.array([-2.0, 0.0, 0.5, 7.0])
    assert smooth_clip(z) == pytest.approx(z / np.sqrt(1 + (z / 3) ** 2))


def test_a_missing_number_is_the_median_and_says_so() -> None:
    encoder = encoder_of("numeric", np.array([1.0, np.nan, 3.0, 2.0]))
    assert [feature.name for feature in encoder.features] == ["x", "x: missing"]
    assert numeric(encoder, np.array([np.nan, 2.0])).tolist() == [[0.0, 1.0], [0.0, 0.0]]
    without = encoder_of("numeric", np.array([1.0, 3.0, 2.0]))
    assert numeric(without, np.array([np.nan])).tolist() == [[0.0]]


def test_a_constant_of_the_training_rows_is_no_feature() -> None:
    assert encoder_of("numeric", np.full(9, 5.0)).features == ()


def test_mostly_equal_numbers_are_scaled_by_their_range() -> None:
    encoder = encoder_of("numeric", np.array([0.0] * 90 + [10.0] * 10))
    assert numeric(encoder, np.array([0.0, 10.0]))[:, 0] == pytest.approx([0.0, 2 / np.sqrt(1 + 4 / 9)])


def test_times_become_their_parts() -> None:
    start = np.datetime64("2014-10-13T06:00:00", "s").astype(np.int64)  # a Monday
    times = start + np.arange(0, 400) * DAY_S * 1.25
    encoder = encoder_of("datetime", times)
    assert [feature.part for feature in encoder.features] == ["day", "month", "day_of_month", "weekday", "hour"]
    raw = {
        feature.part: np.asarray(numeric(encoder, times), np.float64)[:1, i]
        for i, feature in enumerate(encoder.features)
    }
    back = {}
    for feature in encoder.features:
        assert feature.scale is not None
        z = raw[feature.part][0]
        back[feature.part] = z / np.sqrt(1 - (z / 3) ** 2) / feature.scale.factor + feature.scale.center
    assert back["day"] == pytest.approx(start / DAY_S, abs=0.1)
    assert (back["month"], back["day_of_month"]) == (pytest.approx(10, abs=1e-4), pytest.approx(13, abs=1e-4))
    assert (back["weekday"], back["hour"]) == (pytest.approx(0, abs=1e-4), pytest.approx(6, abs=1e-4))


def test_parts_that_do_not_vary_are_left_out() -> None:
    days = np.arange(16_000, 16_007) * DAY_S
    assert [feature.part for feature in encoder_of("datetime", days).features] == ["day", "day_of_month", "weekday"]


def test_times_before_1970_and_missing_ones_have_parts_too() -> None:
    days = np.array([-1.0, -400.5, np.nan, 0.0]) * DAY_S
    encoder = encoder_of("datetime", days)
    assert np.isfinite(numeric(encoder, days)).all()
    assert encoder.features[-1].part == "missing"


def test_categories_have_places_for_the_missing_and_the_unseen() -> None:
    encoder = encoder_of("categorical", codes_of(["a", "b", "b", None, "a", "b"]))
    assert encoder.vocabularies[0].levels == ("b", "a")
    assert encoder.vocabularies[0].counts == (1, 0, 3, 2)
    assert indices(encoder, [None, "new", "b", "a"]) == [MISSING, UNSEEN, FIRST, FIRST + 1]
    assert encoder.cardinalities == (4,)


def test_rare_categories_train_the_place_of_the_unseen() -> None:
    encoder = encoder_of("categorical", codes_of(["often"] * 2_000 + ["rare"] * 4 + ["enough"] * 5))
    assert encoder.vocabularies[0].levels == ("often", "enough")
    assert encoder.vocabularies[0].counts == (0, 4, 2_000, 5)


def test_categories_that_are_numbers_go_by_any_spelling() -> None:
    encoder = encoder_of("categorical", codes_of(["98001", "98001", "98002", "98002"]))
    assert indices(encoder, ["98001.0", "98002", "98003"]) == [2, 3, UNSEEN]
    padded = encoder_of("categorical", codes_of(["01", "01", "1", "1"]))
    assert indices(padded, ["01", "1", "1.0"]) == [2, 3, UNSEEN]


def test_booleans_go_by_any_word() -> None:
    encoder = encoder_of("boolean", codes_of(["True", "False", "True"]))
    assert indices(encoder, ["true", "0", "Yes", None, "maybe"]) == [2, 3, 2, MISSING, UNSEEN]


@given(
    texts=st.lists(st.one_of(st.none(), st.text(max_size=4)), min_size=1, max_size=60),
    values=st.lists(st.floats(allow_nan=True), min_size=1, max_size=60),
)
def test_an_encoder_is_its_state(texts: list[str | None], values: list[float]) -> None:
    for kind, cells in (("categorical", codes_of(texts)), ("numeric", np.array(values))):
        encoder = encoder_of("categorical" if kind == "categorical" else "numeric", cells)  # type: ignore[arg-type]
        again = Encoder.from_state(json.loads(json.dumps(encoder.state())))
        assert again == encoder
        one, two = (e.encode(table_of(cells)) for e in (encoder, again))  # type: ignore[arg-type]
        assert (one.numeric == two.numeric).all()
        assert (one.categorical == two.categorical).all()


def test_the_target_is_encoded_where_it_is_there() -> None:
    x: Any = np.arange(3.0)
    numbers = encoder_of("numeric", x)
    assert np.isnan(numbers.encode(table_of(x)).target).all()
    assert numbers.encode(table_of(x, y=np.array([1.0, 2.0, 3.0]))).target.tolist() == [1.0, 2.0, 3.0]
    classes = encoder_of("numeric", x, labels=("1", "2"))
    assert classes.encode(table_of(x, y=codes_of(["2", "1.0", "7"]))).target.tolist() == [1, 0, -1]


def test_the_columns_of_a_feature_are_known() -> None:
    encoder = encoder_of("numeric", np.array([1.0, np.nan, 2.0]))
    assert encoder.places("x") == ([0, 1], [])
    assert encoder_of("categorical", codes_of(["a"])).places("x") == ([], [0])
