"""Numbers that carry a mark, in training and in prediction."""

from pathlib import Path

import pytest

from traind.data.errors import BadTable
from traind.data.predict_input import table_from
from traind.data.prepare import Request, prepare
from traind.data.table.units import CLOCK, number_with_unit, unit_of


@pytest.mark.parametrize(
    ("text", "mark", "number"),
    [
        ("$1,234.50", "$", 1234.5),
        ("-$5", "$", -5.0),
        ("$ -5", "$", -5.0),
        ("US$7", "US$", 7.0),
        ("7 EUR", "EUR", 7.0),
        ("12.5 %", "%", 12.5),
        ("(300)", "", -300.0),
        ("1,234,567", "", 1234567.0),
        ("36 months", "month", 36.0),
        ("1 month", "month", 1.0),
        ("07:30", CLOCK, 27_000.0),
        ("1:02:03.5", CLOCK, 3723.5),
        ("5", "$", 5.0),
        ("5 kg", "$", None),
        ("1,23", "", None),
        ("12,34,567", "", None),
        ("(300", "", None),
        ("007", "", None),
        ("10+ years", "year", None),
        ("SKU-7", "", None),
        ("", "", None),
    ],
)
def test_marks_are_taken_off(text: str, mark: str, number: float | None) -> None:
    assert number_with_unit(text, mark) == number


def test_a_decimal_comma_goes_with_points_between_thousands() -> None:
    assert number_with_unit("1.234,5 €", "€", has_decimal_comma=True) == 1234.5
    assert number_with_unit("1.500", "", has_decimal_comma=True) == 1500.0


def test_a_column_has_one_mark() -> None:
    assert unit_of(["$5", "7", "x"]) == ("$", 2)
    assert unit_of(["$5", "5 %"]) is None


def test_marked_numbers_are_read_alike_in_training_and_prediction(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("cost;size;area;y\n" + "".join(f"{i * 7 % 997},5 €;{i}.000;{i},5;{i}\n" for i in range(1, 300)))
    found = prepare((path, "csv"), Request(target="y", task="regression"))
    assert [column.mark for column in found.schema.columns] == ["€", "", None, None]
    table = table_from([{"cost": "1.234,5 €", "size": "2.000", "area": "1,5"}], found.encoder)
    assert [float(table.columns[name][0]) for name in ("cost", "size", "area")] == [1234.5, 2000.0, 1.5]
    table = table_from([{"cost": 1234.5, "size": 2000, "area": 1.5}], found.encoder)
    assert [float(table.columns[name][0]) for name in ("cost", "size", "area")] == [1234.5, 2000.0, 1.5]
    assert found.samples[0]["size"] in {i * 1000.0 for i in range(300)}


def test_a_wrong_cell_among_marked_numbers_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("cost,y\n" + "".join(f"${i if i != 5_000 else 'five'},{i / 7}\n" for i in range(9_000)))
    with pytest.raises(BadTable, match="line 5002, column 'cost': '\\$five' is not a number"):
        prepare((path, "csv"), Request(target="y"))
