"""The splits of bench/quality.py keep together what belongs together, and test on what came later."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from bench.tables import FOLDER, SOURCES, Source, held_out_rows, trained_rows

ROWS = 500
GROUPS = [f"g{number % 37}" for number in range(ROWS)]
HOURS = [datetime(2024, 1, 1) + timedelta(hours=number // 3) for number in range(ROWS)]  # noqa: DTZ001
FRAME = pl.DataFrame({"by": GROUPS, "when": HOURS, "y": range(ROWS)})


def split(kind: str, by: str, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    source = Source(FOLDER, "", "y", kind=kind, by=by)
    return FRAME.filter(pl.Series(trained_rows(source, FRAME, seed))), FRAME.filter(
        pl.Series(held_out_rows(source, FRAME, seed))
    )


@pytest.mark.parametrize("seed", range(10))
def test_groups_are_on_one_side(seed):
    train, test = split("group", "by", seed)
    assert not set(train["by"]) & set(test["by"])
    assert len(train) + len(test) == ROWS
    assert 0.1 * ROWS < len(test) <= 0.2 * ROWS


@pytest.mark.parametrize("seed", range(10))
def test_what_is_tested_came_later(seed):
    train, test = split("time", "when", seed)
    assert max(train["when"]) < min(test["when"])
    assert 0.15 * ROWS < len(test) < 0.25 * ROWS
    assert len(train) >= 0.45 * ROWS


def test_random_splits_differ_by_seed_and_are_whole():
    tests = [split("random", "", seed)[1]["y"].to_list() for seed in (0, 1)]
    assert tests[0] != tests[1]
    assert all(len(rows) == ROWS // 5 for rows in tests)
    train, test = split("random", "", 0)
    assert sorted([*train["y"], *test["y"]]) == list(np.arange(ROWS))


def test_there_are_the_three_tables_and_at_least_fifteen_more():
    assert len(SOURCES) >= 18
    assert {source.kind for source in SOURCES.values()} == {"random", "group", "time"}
    assert all(source.by for source in SOURCES.values() if source.kind != "random")
