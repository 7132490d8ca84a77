"""What each column is taken for, and why: decided from the cells of small files."""

import random
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traind.data.errors import BadTable
from traind.data.prepare import Request, prepare
from traind.data.table.schema import Column, Schema

RNG = random.Random(1)
N = 400
Cell = Callable[[int], Any]


@pytest.fixture
def schema_of(tmp_path: Path) -> Callable[..., Schema]:
    """The schema of a table of one column `x` beside two others, as a request has it."""

    def schema_of(cell: Cell, name: str = "x", target: Cell | None = None, n: int = N, **request: Any) -> Schema:
        path = tmp_path / "table.csv"
        y = target or (lambda i: f"{(i * 7919) % 1009 / 7}")
        rows = [f'"{cell(i)}",{"pqr"[i % 3]},{y(i)}\n' for i in range(n)]
        path.write_text(f'"{name}",other,y\n' + "".join(rows))
        return prepare((path, "csv"), Request(**{"target": "y", **request})).schema

    return schema_of


def column(schema: Schema) -> Column:
    return schema.columns[0]


def word(i: int) -> str:
    return "".join(random.Random(i).choices(string.ascii_lowercase, k=12))


KINDS: dict[str, tuple[str, Cell, str, str]] = {
    "fractions": ("x", lambda i: i / 7, "numeric", "distinct numbers"),
    "counts": ("rooms", lambda i: i % 9, "numeric", "whole numbers"),
    "years": ("year", lambda i: 1900 + i % 100, "numeric", "whole numbers"),
    "rounded money": ("pay", lambda i: 10_000 + i % 30 * 1_000, "numeric", "whole numbers"),
    "spaced numbers": ("x", lambda i: f" {i / 7} ", "numeric", "distinct numbers"),
    "scientific": ("x", lambda i: f"{i / 7:.3e}", "numeric", "distinct numbers"),
    "numbers and gaps": ("x", lambda i: i / 7 if i % 5 else "?", "numeric", "distinct numbers"),
    "numbers and none": ("x", lambda i: i / 7 if i % 5 else "None", "numeric", "distinct numbers"),
    "zip codes": ("zipcode", lambda i: 98_001 + i % 20, "categorical", "a code, not a quantity"),
    "prices of one width": ("x", lambda i: 10_001 + i % 20 * 501, "numeric", "whole numbers of 5 digits each"),
    "area codes by name": ("area_code", lambda i: 201 + i % 17, "categorical", "a code, not a quantity"),
    "leading zeros": ("x", lambda i: f"{i % 20:03d}", "categorical", "leading zeros"),
    "words": ("x", lambda i: ["red", "green", "blue"][i % 3], "categorical", "3 distinct texts"),
    "a word and gaps": ("x", lambda i: "yes!" if i % 3 else "", "categorical", "1 distinct texts"),
    "ranges": ("x", lambda i: ["1", "2", "3+"][i % 3], "categorical", "66.8% of them numbers"),
    "true and false": ("x", lambda i: i % 2 == 0, "boolean", "'False' and 'True'"),
    "zero and one": ("x", lambda i: i % 2, "boolean", "'0' and '1'"),
    "yes and gaps": ("x", lambda i: "yes" if i % 2 else "", "boolean", "'yes'"),
    "days": ("x", lambda i: f"2014-{i % 12 + 1:02d}-{i % 28 + 1:02d}", "datetime", "2014-10-13"),
    "days in eight digits": ("x", lambda i: f"2014{i % 12 + 1:02d}{i % 28 + 1:02d}", "datetime", "eight digits"),
    "days first": ("x", lambda i: f"{i % 28 + 1}.{i % 12 + 1}.2014", "datetime", "the day first"),
    "days in four ways": (
        "x",
        lambda i: ["2014-10-{}", "{}/10/2014", "Oct {}, 2014", "{} October 2014"][i % 4].format(i % 28 + 1),
        "datetime",
        "13 Oct 2014 and 13/10/2014 and 2014-10-13 and Oct 13, 2014",
    ),
    "months": ("x", lambda i: f"{['Jan', 'Mar', 'Oct'][i % 3]}-{2008 + i % 7}", "datetime", "Oct 2014"),
    "money": ("x", lambda i: f"${i * 7:,}.50", "numeric", "numbers written like '$"),
    "money behind": ("x", lambda i: f"{i * 7} EUR", "numeric", "numbers written like '"),
    "shares": ("x", lambda i: f"{i / 7:.1f} %", "numeric", "%'"),
    "thousands apart": ("x", lambda i: f"{i * 700:,}", "numeric", "numbers written like '"),
    "losses in brackets": ("x", lambda i: f"({i})" if i % 3 else i, "numeric", "numbers written like '("),
    "units": ("x", lambda i: f"{i % 30} months", "numeric", "months'"),
    "times of day": ("x", lambda i: f"{i % 24:02d}:{i % 60:02d}", "numeric", "times, read as seconds"),
    "times of day with points": ("x", lambda i: f"{i % 24:02d}.{i % 60:02d}.00", "numeric", "times, read as seconds"),
    "days with points": (
        "x",
        lambda i: f"{i % 23 + 1:02d}.{i % 12 + 1:02d}.{i % 30:02d}",
        "datetime",
        "the day first",
    ),
    "versions": ("x", lambda i: f"3.{i % 12}.{i % 20}", "categorical", "60 distinct texts"),
    "two units of one kind": (
        "x",
        lambda i: f"{i % 9 + 1} {'kg' if i % 2 else 'lbs'}",
        "numeric",
        "numbers written like",
    ),
    "two units of two kinds": (
        "x",
        lambda i: f"{i % 9} {'kg' if i % 2 else 'cm'}",
        "categorical",
        "of different kinds",
    ),
    "halves of the day": (
        "x",
        lambda i: f"{i % 12 + 1}:{i % 60:02d} {'ap'[i % 2]}m",
        "numeric",
        "times, read as seconds",
    ),
    "durations of ISO 8601": ("x", lambda i: f"PT{i % 3 + 1}H{i % 60}M", "numeric", "times, read as seconds"),
    "feet and inches": ("x", lambda i: f'{5 + i % 2}\'{i % 12}""', "numeric", "feet, read as inches"),
    "inches": ("x", lambda i: f'{60 + i % 20}""' if i % 2 else "", "numeric", "numbers written like"),
    "at least": ("x", lambda i: f"{10 ** (i % 5):,}+", "numeric", "numbers written like"),
    "at least, for a few": ("x", lambda i: "125+" if i % 9 == 0 else i % 50 + 75, "numeric", "beside '125+'"),
    "ratings, for a few": (
        "x",
        lambda i: "No rating yet" if i % 9 else i % 50 / 10,
        "numeric",
        "beside 'No rating yet' in 88.8% of the cells",
    ),
    "prices, for a few": ("x", lambda i: "Ask us" if i % 4 else f"${i:,}.50", "numeric", "beside 'Ask us' in 75.0%"),
    "days, for a few": (
        "x",
        lambda i: "never" if i % 4 else f"2014-{i % 12 + 1:02d}-{i % 28 + 1:02d}",
        "datetime",
        "beside 'never' in 75.0%",
    ),
    "names, one of them usual": ("x", lambda i: "other" if i % 4 else word(i % 100), "categorical", "26 distinct"),
    "levels and numbers": ("x", lambda i: "other" if i % 4 else i % 32, "categorical", "9 distinct texts"),
    "out of five": ("x", lambda i: f"{i % 41 / 10 + 1:.1f}/5", "numeric", "numbers written like"),
    "out of five stars": ("x", lambda i: f"{i % 41 / 10 + 1:.1f} out of 5 stars", "numeric", "numbers written like"),
    "found helpful": ("x", lambda i: f"{i % 90} people found this helpful", "numeric", "numbers written like"),
    "millions of views": ("x", lambda i: f"{i % 90 + 1}.5{'KM'[i % 2]} views", "numeric", "numbers written like"),
    "a unit without a number": (
        "x",
        lambda i: f"{i % 90} bhp" if i % 50 else " bhp",
        "numeric",
        "numbers written like",
    ),
    "half of it not known": ("x", lambda i: f"{i % 90} lbs." if i % 2 else "--", "numeric", "numbers written like"),
    "quarters": ("x", lambda i: f"{2000 + i % 20}Q{i % 4 + 1}", "datetime", "2014-Q4"),
    "quarters first": ("x", lambda i: f"Q{i % 4 + 1} {2000 + i % 20}", "datetime", "Q4 2014"),
    "weeks": ("x", lambda i: f"2020-W{i % 52 + 1:02d}", "datetime", "2014-W42"),
    "months behind a slash": ("x", lambda i: f"{i % 12 + 1}/{2000 + i % 20}", "datetime", "10/2014"),
    "months with dashes": ("x", lambda i: f"Apr-{i % 28 + 1}-{2000 + i % 20}", "datetime", "Oct 13, 2014"),
    "seasons": ("x", lambda i: f"{2000 + i % 20}/{1 + i % 20:02d}", "categorical", "20 distinct texts"),
    "ranks": ("x", lambda i: i * 7 % N + 1, "numeric", "distinct whole numbers"),
    "numbers of families": ("x", lambda i: f"{i % 90:03d}{'A' if i % 90 == 80 else ''}", "categorical", "a code"),
    "numbers and letters": (
        "x",
        lambda i: f"{i % 90}{'ab'[i % 2] if i % 90 > 80 else ''}",
        "categorical",
        "of them numbers",
    ),
    "postal codes of their own": ("PLZ", lambda i: f"{1067 + i * 231:05d}", "text", "leading zeros"),
    "masked postal codes": ("zip_code", lambda i: f"{100 + i % 30}xx", "categorical", "30 distinct texts"),
    "ISBNs": ("isbn_10", lambda i: f"{10**9 + i * 7}{'X' if i % 11 == 0 else i % 10}", "text", "names of rows"),
    "telephones apart": ("phone", lambda i: f"+91 {10**9 + i * 7}", "text", "names of rows"),
    "numbered names": ("x", lambda i: f"SKU-{i % 30}", "categorical", "30 distinct texts"),
    "ids that repeat": ("item_id", lambda i: i % 90, "categorical", "names, not quantities"),
    "an index that is none": ("mass_index", lambda i: i % 90, "numeric", "90 distinct whole numbers"),
    "telephones of networks": ("msisdn", lambda i: 447_900_000_000 + i * 13, "text", "distinct whole numbers"),
    "years and months": ("x", lambda i: f"{i % 9} yrs {i % 12} mon", "numeric", "times, read as seconds"),
    "telephones": ("phone", lambda i: 2_025_550_000 + i * 13, "text", "distinct whole numbers"),
    "row numbers": ("x", lambda i: i + 1, "text", "distinct whole numbers"),
    "ids": ("house_id", lambda i: 10**9 + i * 7, "text", "distinct whole numbers"),
    "ids in camel case": ("houseId", lambda i: 10**9 + i * 7, "text", "distinct whole numbers"),
    "ids in one word": ("Customerid", lambda i: f"{i:04d}-{word(i)[:5].upper()}", "text", "names of rows"),
    "ids in one word that repeat": ("USERID", lambda i: i % 90, "categorical", "names, not quantities"),
    "words that only end like an id": ("humid", lambda i: i % 90, "numeric", "90 distinct whole numbers"),
    "first names": ("host", lambda i: ["Nat", "Ann", "Bob"][i % 3], "categorical", "3 distinct texts in 400 cells"),
    "words and no time": ("x", lambda i: ["NaT", "Ann", "Bob"][i % 3], "categorical", "2 distinct texts"),
    "amounts that only end like an id": ("paid", lambda i: 10**4 + i * 7, "numeric", "distinct whole numbers"),
    "words of their own": ("x", word, "text", "400 distinct texts"),
    "one value": ("x", lambda _: "same", "ignore", "every cell is 'same'"),
    "nothing": ("x", lambda _: "", "ignore", "every cell is missing"),
}


@pytest.mark.parametrize(("name", "cell", "kind", "evidence"), KINDS.values(), ids=KINDS.keys())
def test_columns_are_what_their_cells_say(
    schema_of: Callable[..., Schema], name: str, cell: Cell, kind: str, evidence: str
) -> None:
    found = column(schema_of(cell, name))
    assert found.kind == kind
    assert evidence in found.evidence
    is_left_out = kind == "ignore" or (kind == "text" and found.role_reason == "identifier")
    assert found.role == ("ignored" if is_left_out else "feature")
    assert bool(found.role_reason) == (found.role == "ignored")


@pytest.mark.parametrize(
    ("name", "cell", "code"),
    [
        ("house_id", lambda i: 10**9 + i * 7, "identifier"),
        ("x", lambda _: "same", "constant"),
        ("x", lambda _: "", "empty"),
        ("x", word, "text"),
        ("x", lambda i: i / 7 if i % 3 else word(i % 99), "mixed"),
        ("x", lambda i: "-inf" if i == 9 else i / 7, "infinite"),
        ("x", lambda i: f"{i % 12 + 1}/{i % 11 + 1}/2014", "day_order"),
        ("x", lambda i: f"w{i % 1_200}", "high_cardinality"),
        ("x", lambda i: "b" if i == 9 else "a", "nearly_constant"),
        ("x", lambda i: (i * 7919) % 1009 / 7 + i % 2, "leak"),
    ],
)
def test_what_is_odd_about_a_column_is_said(
    schema_of: Callable[..., Schema], name: str, cell: Cell, code: str
) -> None:
    schema = schema_of(cell, name, n=2_600 if code in {"high_cardinality", "leak", "nearly_constant"} else N)
    assert [(remark.code, remark.column) for remark in schema.warnings] == [(code, name)]


def test_the_last_column_that_holds_anything_is_the_target(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x;y;;\n" + "".join(f"{i * 37 % 101 / 7};{i % 13 / 3};;\n" for i in range(200)) + ";;;\n" * 9)
    found = prepare((path, "csv"))
    assert (found.schema.target, found.schema.n_rows) == ("y", 200)


def test_a_kind_can_be_set(schema_of: Callable[..., Schema]) -> None:
    for kind in ("categorical", "numeric", "boolean"):
        found = column(schema_of(lambda i: i % 5, columns={"x": kind}))
        assert (found.kind, found.role, found.evidence) == (kind, "feature", "as set by the request")
    assert column(schema_of(lambda i: i % 5, columns={"x": "ignore"})).role == "ignored"
    assert column(schema_of(lambda i: i % 5, ignore=("x",))).role_reason == "as set by the request"
    found = column(schema_of(lambda i: i + 1, "id", features=("id",)))
    assert (found.kind, found.role) == ("numeric", "feature")
    chosen = schema_of(lambda i: i / 7, features=("x",))
    assert chosen.columns[1].role_reason == "not among the requested features"
    assert chosen.warnings == ()


def test_a_kind_that_does_not_fit_is_refused_with_the_cells(schema_of: Callable[..., Schema]) -> None:
    with pytest.raises(BadTable, match="'red 1' is not a number") as caught:
        schema_of(lambda i: f"red {i}" if i % 2 else i, columns={"x": "numeric"})
    assert caught.value.cells[0].line == 3
    with pytest.raises(BadTable, match=r"line 2, column 'x': '0\.0' is not a date"):
        schema_of(lambda i: i / 7, columns={"x": "datetime"})


TARGETS: dict[str, tuple[Cell, dict[str, Any], str, tuple[str, ...]]] = {
    "numbers": (lambda i: i / 7, {}, "regression", ()),
    "many whole numbers": (lambda i: i % 50, {}, "regression", ()),
    "few whole numbers": (lambda i: i % 10, {}, "multiclass", tuple("0123456789")),
    "few whole numbers as numbers": (lambda i: i % 10, {"task": "regression"}, "regression", ()),
    "few whole numbers set numeric": (lambda i: i % 10, {"columns": {"y": "numeric"}}, "regression", ()),
    "many numbers as classes": (lambda i: i % 50, {"task": "multiclass"}, "multiclass", tuple(map(str, range(50)))),
    "words": (lambda i: " <=50K" if i % 3 else " >50K", {}, "binary", ("<=50K", ">50K")),
    "three words": (lambda i: ["c", "a", "b"][i % 3], {}, "multiclass", ("a", "b", "c")),
    "yes and no": (lambda i: "Yes" if i % 3 else "No", {}, "binary", ("No", "Yes")),
    "two numbers": (lambda i: 2.0 if i % 3 else 10.0, {}, "binary", ("2.0", "10.0")),
    "none is a label": (lambda i: ["None", "Apnea"][i % 2], {}, "binary", ("Apnea", "None")),
}


@pytest.mark.parametrize(("target", "request_", "task", "labels"), TARGETS.values(), ids=TARGETS.keys())
def test_the_task_follows_from_the_target(
    schema_of: Callable[..., Schema], target: Cell, request_: dict[str, Any], task: str, labels: tuple[str, ...]
) -> None:
    schema = schema_of(lambda i: (i * 31) % 17 / 7, target=target, **request_)
    assert (schema.task, schema.labels) == (task, labels)
    assert schema.task_reason


def test_three_classes_are_not_two(schema_of: Callable[..., Schema]) -> None:
    with pytest.raises(BadTable, match="has 3 classes, not two"):
        schema_of(lambda i: i / 7, target=lambda i: "abc"[i % 3], task="binary")


def test_without_a_target_it_is_the_last_column(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,z\n" + "".join(f"{i % 7},{i / 3}\n" for i in range(N)))
    schema = prepare((path, "csv")).schema
    assert (schema.target, [remark.code for remark in schema.warnings]) == ("z", ["no_target"])


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (lambda i: "" if i % 10 == 0 else i / 7, "missing_target"),
        (lambda i: "rare" if i == 5 else "ab"[i % 2], "rare_class"),
        (lambda i: "rare" if i % 50 == 0 else "often", "imbalance"),
    ],
)
def test_what_is_odd_about_the_target_is_said(schema_of: Callable[..., Schema], target: Cell, code: str) -> None:
    schema = schema_of(lambda i: (i * 31) % 17 / 7, target=target)
    assert [(remark.code, remark.column) for remark in schema.warnings] == [(code, "y")]


def test_house_prices_are_understood(houses: Path) -> None:
    schema = prepare((houses, "csv.gz"), Request(target="price")).schema
    odd = {column.name: column.kind for column in schema.columns if column.kind != "numeric"}
    assert odd == {"id": "text", "date": "datetime", "waterfront": "boolean", "zipcode": "categorical"}
    assert schema.task == "regression"
    assert [remark.code for remark in schema.warnings] == ["identifier"]


@pytest.mark.parametrize("unit", ["", "°C", " km/h", "K", " kg"])
@pytest.mark.parametrize("comma", ["{},{:02d}", "{},{:02d} €", "1.{:03d},{:02d}"])
def test_a_comma_in_one_column_takes_no_other_column_its_point(tmp_path: Path, unit: str, comma: str) -> None:
    rows = [f'"{comma.format(i, i % 97)}","{i / 10:.1f}{unit}",{i / 7}\n' for i in range(N)]
    (tmp_path / "table.csv").write_text('"price","other","y"\n' + "".join(rows))
    schema = prepare((tmp_path / "table.csv", "csv"), Request(target="y")).schema
    assert [one.kind for one in schema.columns] == ["numeric"] * 3
    assert [one.style.decimal for one in schema.columns[:2] if one.style] == [",", "."][: 1 + bool(unit)]
