"""The tables in docs/ say what the code says."""

import runpy
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "tables.py"))


def test_the_tables_of_fields_are_those_of_the_types(tables: dict[str, Any]) -> None:
    page = (DOCS / "api.md").read_text()
    assert tables["written"](page) == page, "run `make tables`"
    assert page.count("| field | takes |") >= 15


def test_the_pages_that_are_made_are_those_of_the_code() -> None:
    for name, text in runpy.run_path(str(DOCS / "reference.py"))["pages"]().items():
        assert (DOCS / name).read_text() == text, f"{name}: run `make tables`"


def test_the_table_of_states_is_that_of_the_code(tables: dict[str, Any]) -> None:
    page = (DOCS / "architecture.md").read_text()
    assert tables["house_written"](page) == page, "run `make tables`"
    assert "| RUNNING | gradient steps |" in page
