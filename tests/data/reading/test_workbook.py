"""Excel workbooks are read like any other table."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from traind.data.describe import preview_request
from traind.data.errors import BadTable
from traind.data.prepare import Request, prepare
from traind.data.reading.formats import detect

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
KINDS = "application/vnd.openxmlformats-officedocument.spreadsheetml"
RELATIONS = "application/vnd.openxmlformats-package.relationships+xml"
FILES = {
    "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">'
    f'<Default Extension="rels" ContentType="{RELATIONS}"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{KINDS}.sheet.main+xml"/>'
    f'<Override PartName="/xl/s.xml" ContentType="{KINDS}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="r" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
    '<sheet name="First" sheetId="1" r:id="r"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="r" Type="{OFFICE}/worksheet" Target="s.xml"/></Relationships>',
}


def written(path: Path, rows: list[list[Any]]) -> Path:
    def cell(value: Any) -> str:
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>' if isinstance(value, str) else f"<c><v>{value}</v></c>"

    body = "".join(f'<row r="{i}">{"".join(map(cell, row))}</row>' for i, row in enumerate(rows, 1))
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in FILES.items():
            packed.writestr(name, content)
        packed.writestr("xl/s.xml", f'<worksheet xmlns="{MAIN}"><sheetData>{body}</sheetData></worksheet>')
    return path


@pytest.fixture
def workbook(tmp_path: Path) -> Path:
    rows: list[list[Any]] = [["x", "c", "y"], *([i / 7, "ab"[i % 2], i / 3] for i in range(100))]
    return written(tmp_path / "t.xlsx", rows)


def test_a_workbook_is_the_table_that_a_csv_file_would_be(workbook: Path, tmp_path: Path) -> None:
    plain = tmp_path / "t.csv"
    plain.write_text("x,c,y\n" + "".join(f"{i / 7},{'ab'[i % 2]},{i / 3}\n" for i in range(100)))
    assert str(detect(workbook, workbook.name)) == "xlsx"
    one, other = (prepare((path, form), Request(target="y")) for path, form in ((workbook, "xlsx"), (plain, "csv")))
    assert [(c.name, c.kind) for c in one.schema.columns] == [(c.name, c.kind) for c in other.schema.columns]
    assert (one.train.numeric == other.train.numeric).all()
    assert (one.train.categorical == other.train.categorical).all()
    assert (one.train.target == other.train.target).all()
    assert preview_request({"path": str(workbook), "format": "xlsx", "rows": 1})["rows"] == [[0.0, "a", 0.0]]


def test_a_sheet_without_values_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match="the sheet 'First' holds no values"):
        prepare((written(tmp_path / "t.xlsx", []), "xlsx"))


def test_a_sheet_that_is_not_there_is_named(workbook: Path) -> None:
    with pytest.raises(BadTable, match="no sheet 'Second'") as caught:
        prepare((workbook, "xlsx;sheet=Second"))
    assert caught.value.hint == "its sheets are First"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>',
            "reaches over",
        ),
        (
            "<row r='1'><c r='A1'><v>1</v></c><c s='0' r='XFD1'><v>1</v></c></row><row r='99000'></row>",
            "reaches over",
        ),
        (" " * (80 << 20), "unpacks to more"),
    ],
)
def test_a_small_workbook_that_asks_for_much_is_refused(tmp_path: Path, rows: str, said: str) -> None:
    with zipfile.ZipFile(path := tmp_path / "t.xlsx", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in FILES.items():
            packed.writestr(name, content)
        packed.writestr("xl/s.xml", f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>')
    with pytest.raises(BadTable, match=said):
        preview_request({"path": str(path), "format": "xlsx", "rows": 1})
