from pathlib import Path
from typing import Any

import numpy as np
import pytest

from traind.data.errors import BadTable
from traind.data.prepare import Prepared, Request, prepare


def prepared(folder: Path, cells: tuple[Any, ...] = (0, 1, 2), **request: Any) -> Prepared:
    path = folder / "t.csv"
    rows = [f"{i * 7 % 101 / 7},{cells[i % len(cells)]},{'rare' if i % 10 == 0 else 'zoo'}\n" for i in range(200)]
    path.write_text("x,w,y\n" + "".join(rows))
    return prepare((path, "csv"), Request(target="y", **request))


def test_rows_count_as_their_column_says(tmp_path: Path) -> None:
    found = prepared(tmp_path, weight="w")
    assert found.train.weight is not None
    assert found.train.weight.mean() == pytest.approx(1.0)
    assert len(np.unique(found.train.weight)) == 3
    assert [column.name for column in found.encoder.columns] == ["x"]
    assert prepared(tmp_path).train.weight is None


def test_balanced_classes_count_the_same(tmp_path: Path) -> None:
    found = prepared(tmp_path, class_weights="balanced").train
    assert found.weight is not None
    assert found.weight[found.target == 0].sum() == pytest.approx(found.weight[found.target == 1].sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("cells", "message"), [((1, -1), "is -1 in 100 rows"), ((1, ""), "no number"), ((0, 0.0), "is 0 in every")]
)
def test_what_is_no_weight_is_refused(tmp_path: Path, cells: tuple[Any, ...], message: str) -> None:
    with pytest.raises(BadTable, match=message):
        prepared(tmp_path, cells, weight="w")


def test_the_rarer_class_is_the_positive_one(tmp_path: Path) -> None:
    assert prepared(tmp_path).schema.labels == ("zoo", "rare")
    assert prepared(tmp_path, positive="zoo").schema.labels == ("rare", "zoo")
    with pytest.raises(BadTable, match="positive: 'x' is not one of two classes"):
        prepared(tmp_path, positive="x")


def test_a_weight_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match="weight names 'zz'"):
        prepared(tmp_path, weight="zz")
