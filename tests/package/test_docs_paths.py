"""docs/architecture.md names files that are there."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_every_file_that_is_named_exists() -> None:
    text = (REPOSITORY / "docs/architecture.md").read_text()
    named = set(re.findall(r"\b(?:data|trainer|service)/[a-z_/]+(?:\.py|/)", text))
    assert len(named) > 30
    assert {path for path in named if not (REPOSITORY / path).exists()} == set()
