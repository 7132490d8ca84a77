"""Tables that people complain about in public: each a kind of fault, read right."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from traind.data.errors import BadTable
from traind.data.predict_input import table_from
from traind.data.prepare import Prepared, Request, prepare
from traind.data.reading.formats import detect
from traind.data.table.schema import Column

CASES = Path(__file__).parents[2].parent / "shared/cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not here")


def prepared(name: str, form: str | None = None, **request: Any) -> Prepared:
    path = CASES / name
    return prepare((path, form or str(detect(path, path.name))), Request(**request))


def columns(found: Prepared) -> dict[str, Column]:
    return {column.name: column for column in found.schema.columns}


def codes(found: Prepared) -> set[tuple[str, str | None]]:
    return {(remark.code, remark.column) for remark in found.schema.warnings}


def target(found: Prepared) -> list[float]:
    return sorted(np.concatenate([found.train.target, found.validation.target]).tolist())


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("cities.csv.gz", {"city": "categorical", "note": "categorical", "amount": "numeric"}),
        ("season.csv", {"season": "categorical", "player_age": "numeric", "minutes": "numeric", "points": "numeric"}),
        ("zerodate.csv", {"last_order": "datetime", "spend": "numeric", "churn": "categorical"}),
        ("late_dec.csv", {"size": "numeric", "rent": "numeric"}),
        ("gsheet.csv", {"area": "numeric", "rooms": "numeric", "rent": "numeric"}),
        ("msrp.csv", {"list_price": "numeric", "mileage": "numeric", "sold_for": "numeric"}),
        ("undrafted.csv", {"draft_pick": "numeric", "pts": "numeric"}),
        ("excel_date.csv", {"sold": "datetime", "price": "numeric"}),
        ("uminus.csv", {"temp": "numeric", "load": "numeric"}),
        ("sepline.csv", {"size": "numeric", "rooms": "numeric", "rent": "numeric"}),
        ("bigid.parquet", {"account_id": "categorical", "y": "numeric", "z": "numeric"}),
        ("visits.tsv", {"page_views": "numeric", "signups": "numeric", "lang": "categorical"}),
        ("likes_k.csv", {"followers": "numeric", "posts": "numeric", "likes": "numeric"}),
    ],
)
def test_each_column_is_what_a_person_would_say(name: str, kinds: dict[str, str]) -> None:
    found = prepared(name)
    assert {column.name: column.kind for column in found.schema.columns} == kinds
    assert all(column.role != "ignored" for column in found.schema.columns)


def test_labels_of_eighteen_digits_stay_apart() -> None:
    found = prepared("biglab_min.csv", target="seller")
    assert found.schema.labels == ("900000000000000001", "900000000000000002")
    assert set(found.train.target.tolist()) == {0, 1}


def test_ids_beyond_two_to_the_53_stay_apart() -> None:
    found = prepared("bigid.parquet")
    assert columns(found)["account_id"].distinct == 297
    assert all(level.startswith("1234567890123456") for level in found.encoder.vocabularies[0].levels)


def test_groups_of_three_are_thousands() -> None:
    found = prepared("visits.tsv", target="page_views")
    assert min(target(found)) >= 100
    assert max(target(found)) > 40_000


def test_a_suffix_scales() -> None:
    table = table_from(
        [{"followers": text, "posts": 1} for text in ("812", "1.3K", "15K")], prepared("likes_k.csv").encoder
    )
    assert table.numbers("followers").tolist() == [812, 1_300, 15_000]


def test_a_zero_date_is_missing_with_a_remark() -> None:
    found = prepared("zerodate.csv")
    assert ("zero_dates", "last_order") in codes(found)
    assert columns(found)["last_order"].missing > 0


def test_a_late_decimal_comma_counts() -> None:
    assert prepared("late_dec.csv").schema.task == "regression"
    assert any(value % 1 for value in target(prepared("late_dec.csv")))


def test_list_prices_are_told_apart() -> None:
    encoder = prepared("msrp.csv", target="sold_for").encoder
    encoded = encoder.encode(table_from(CASES / "msrp_new.csv", encoder))
    assert len(np.unique(encoded.numeric, axis=0)) == 5


def test_a_counter_that_predicts_is_used() -> None:
    found = prepared("trend.csv")
    assert columns(found)["t"].role == "feature"
    assert ("counter", "t") in codes(found)


def test_an_encoding_that_works_is_named() -> None:
    with pytest.raises(BadTable) as caught:
        prepared("cp1252.csv")
    assert "charset=cp1252" in (caught.value.hint or "")
    found = prepared("cp1252.csv", "csv;charset=cp1252")
    assert "Köln" in found.encoder.vocabularies[0].levels
    assert columns(found)["preis"].style is not None


@pytest.mark.parametrize("name", ["cp437", "shift_jis", "koi8_r", "utf-8-sig"])
def test_any_codec_can_be_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(("c,y\n" + "".join(f"{'xyz'[i % 3]},{i / 7}\n" for i in range(60))).encode(name))
    assert prepare((path, f"csv;charset={name}"), Request(target="y")).schema.n_rows == 60


def test_words_among_numbers_are_features_of_their_own() -> None:
    found = prepared("undrafted.csv")
    assert columns(found)["draft_pick"].words == ("Undrafted",)
    assert [feature.name for feature in found.encoder.features] == ["draft_pick", "draft_pick: Undrafted"]
    encoded = found.encoder.encode(table_from([{"draft_pick": "Undrafted"}, {"draft_pick": 8}], found.encoder))
    assert encoded.numeric[:, 1].tolist() == [1.0, 0.0]
    assert encoded.numeric[0, 0] == 0.0


def test_the_index_of_pandas_is_left_out() -> None:
    found = prepared("index.parquet")
    assert (found.schema.target, columns(found)["__index_level_0__"].role) == ("y", "ignored")
    assert ("index", "__index_level_0__") in codes(found)
    assert [column.name for column in found.encoder.columns] == ["x"]


def test_names_are_as_in_the_file() -> None:
    assert [column.name for column in prepared("case.parquet", target="price").schema.columns] == ["Price", "price"]


def test_a_row_without_an_optional_key_is_missing() -> None:
    found = prepared("keys.jsonl", target="churn")
    table = table_from(CASES / "keys1.jsonl", found.encoder)
    assert table.n_rows == 1
    assert len(found.encoder.encode(table)) == 1


def test_quotes_in_a_tsv_file_are_characters() -> None:
    assert '"Best" buy ever' in prepared("rev.tsv", target="headline").schema.labels


def test_whole_numbers_that_may_be_labels_are_remarked_on() -> None:
    found = prepared("letters.csv", target="label")
    assert found.schema.task == "regression"
    assert ("whole_numbers", "label") in codes(found)


def test_most_of_a_table_is_no_leak() -> None:
    for name in ("late_dec.csv", "uminus.csv", "trend.csv"):
        assert not [code for code, _ in codes(prepared(name)) if code == "leak"]
