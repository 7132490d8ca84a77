import json
from pathlib import Path
from typing import Any

import pytest

from traind.data.describe import describe_request, preview_request
from traind.data.errors import BadTable


def described(path: Path, hint: str | None = None) -> dict[str, Any]:
    found = describe_request({"path": str(path), "format": hint})
    json.dumps(found, allow_nan=False)
    return found


def columns(summary: dict[str, Any]) -> dict[str, Any]:
    return {column["name"]: column for column in summary["columns"]}


def test_house_prices_are_described(houses: Path) -> None:
    summary = described(houses)
    assert (summary["format"], summary["n_rows"], len(summary["columns"])) == ("csv.gz", 21_613, 21)
    found = columns(summary)
    price = found["price"]
    assert (price["kind"], price["min"], price["max"], price["missing"]) == ("numeric", 75_000, 7_700_000, 0)
    assert price["quantiles"]["0.5"] == pytest.approx(450_000, rel=0.02)
    assert sum(price["sketch"]["counts"]) == pytest.approx(20_000, rel=0.1)
    assert found["waterfront"]["sketch"] == {"levels": [["False", 21_450], ["True", 163]], "others": 0}
    assert found["zipcode"]["sketch"]["levels"][0] == ["98103", 602]
    assert (found["date"]["sketch"]["low"][:7], found["date"]["sketch"]["high"]) == ("2014-05", "2015-05-07")
    assert (found["id"]["is_used"], len(found["id"]["examples"])) == (False, 3)
    assert [warning["code"] for warning in summary["warnings"]] == ["identifier"]


def test_odd_columns_are_described(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"{'inf' if i == 3 else i / 7},,same,{'' if i % 4 else i},2014-10-{i % 28 + 1}" for i in range(100)]
    path.write_text("\n".join(["a,empty,one,b,t", *rows]))
    found = columns(described(path))
    assert found["a"]["max"] == 99 / 7
    assert found["empty"]["missing_share"] == 1.0
    assert found["one"]["sketch"]["levels"] == [["same", 100]]
    assert (found["b"]["missing"], found["b"]["sketch"]["counts"][0]) == (75, pytest.approx(1, abs=1))
    assert sum(found["t"]["sketch"]["counts"]) == 100


def test_a_table_that_cannot_be_read_gets_no_summary(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(BadTable, match="line 3"):
        described(path)


def test_dates_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("t,y\n" + "13/02/2014,1\n02/13/2014,2\n" * 30)
    path.write_text("t,y\n" + "13/02/2014,1\n14/02/2014,2\n15/03/2014,2\n" * 30 + "02/13/2014,2\n")
    codes = {warning["code"]: warning["message"] for warning in described(path)["warnings"]}
    assert codes["bad_cells"] == "line 92, column 't': '02/13/2014' is not a date"


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("t.csv", "a,b\n1, x\n2,?\n3,z\n", [["1", "x"], ["2", "?"]]),
        ("t.jsonl", '{"a": 1}\n{"b": true, "a": null}\nnot json\n', [[1, None], [None, True]]),
    ],
)
def test_first_rows_are_shown_as_they_stand(tmp_path: Path, name: str, content: str, rows: list[list[Any]]) -> None:
    path = tmp_path / name
    path.write_text(content)
    shown = preview_request({"path": str(path), "format": name.partition(".")[2], "rows": 2})
    assert shown == {"columns": [{"name": "a"}, {"name": "b"}], "rows": rows}


def test_first_rows_of_a_header_alone_are_none(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n")
    assert preview_request({"path": str(path), "format": "csv"}) == {
        "columns": [{"name": "a"}, {"name": "b"}],
        "rows": [],
    }


def test_a_column_of_one_long_text_makes_no_long_answer(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "".join(f"{'x' * 100_000},{place}\n" for place in range(9)))
    assert len(json.dumps(described(path))) < 4_000
