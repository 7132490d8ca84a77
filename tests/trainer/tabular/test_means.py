"""A target whose logarithm was learned: what is predicted is its mean, not its median."""

import csv
import hashlib
import random
from math import exp

import pytest

from traind.trainer.contract.spec import DatasetFile
from traind.trainer.model.model import load_model


@pytest.fixture
def amounts(tmp_path):
    """Make a table of amounts around 1, larger with `x`, whose logarithm has noise of this deviation."""

    def make(noise):
        draw, path = random.Random(3), tmp_path / f"amounts-{noise}.csv"
        with path.open("w", newline="") as file:
            rows = [(x, exp(x / 2 + draw.gauss(0, noise))) for x in (draw.gauss(0, 1) for _ in range(1_500))]
            csv.writer(file).writerows([("x", "amount"), *rows])
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return DatasetFile("amounts", digest, str(path), "csv", path.stat().st_size)

    return make


@pytest.mark.parametrize(("noise", "factor"), [(1.0, exp(0.5)), (0.05, 1.0)])
def test_predictions_are_means_where_noise_tells_them_from_medians(amounts, new_job, noise, factor):
    last = new_job(amounts(noise), dataset="amounts", target="amount", epochs=6).attempt()
    assert last.result is not None, last
    model = load_model(last.result.model_path)
    assert model.recipe.target_scale.log
    found = model.recipe.target_scale.factor
    assert found == 1.0 if factor == 1.0 else found == pytest.approx(factor, rel=0.2)
    assert model.predict([{"x": 0.0}]) == pytest.approx([factor], rel=0.3)
