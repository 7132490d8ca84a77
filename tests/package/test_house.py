"""The rules of the house that no linter holds."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FILES = [path for room in ("data", "trainer", "service", "src/traind") for path in (REPOSITORY / room).rglob("*.py")]
STRAIGHT_LINES = {"trainer/tabular/loop.py"}  # the training loop is one story, told without a break


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a file with its lines, docstring aside."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            start = node.body[1].lineno - 1 if ast.get_docstring(node) and len(node.body) > 1 else node.lineno
            yield node.name, node.end_lineno - start + 1


def test_files_stay_short() -> None:
    lengths = {str(path): len(path.read_text().splitlines()) for path in FILES}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_functions_stay_short() -> None:
    for path in FILES:
        limit = 110 if str(path.relative_to(REPOSITORY)) in STRAIGHT_LINES else 42
        assert {name: lines for name, lines in functions(path) if lines > limit} == {}, path


BASE = REPOSITORY / "service/executor/base.py"  # what is named so everywhere: the seam


@pytest.mark.parametrize("word", ["utils", "helpers", "common", "manager", "base"])
def test_no_file_is_named_after_nothing(word: str) -> None:
    assert [path for path in FILES if path.stem == word and path != BASE] == []
