"""Whatever the unit of a target, the model is the same: a target times a power of two gives it bit for bit."""

import csv
import hashlib
import random

import numpy as np
import pytest

from traind.trainer.contract.events import Status
from traind.trainer.contract.spec import DatasetFile
from traind.trainer.model.export import to_onnx, to_safetensors
from traind.trainer.model.model import load_model
from traind.trainer.tabular.metrics import baseline, regression

ROWS = 60
LEARNED = ("auto", "linear", "trees")
OTHERS = ("blend", "best", "fast", "mlp", "tabm")


@pytest.fixture
def scaled(tmp_path, new_job):
    """Return the result of a kind of model whose target, plus `offset`, is multiplied by 2 to `power`."""

    def train(kind, power, offset=0.0):
        draw, path = random.Random(1), tmp_path / f"{power}.csv"
        with path.open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["a", "c", "value"])
            for _ in range(ROWS):
                a, c = draw.gauss(0, 1), draw.choice("xyz")
                value = a * 2 + (c == "x") + draw.gauss(0, 0.1) + offset
                out.writerow([a, c, repr(float(np.ldexp(value, power)))])
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        file = DatasetFile("scaled", digest, str(path), "csv", path.stat().st_size)
        spec = {"dataset": "scaled", "target": "value", "model": {"kind": kind}, "epochs": 2, "batch_size": 32}
        last = new_job(file, **spec).attempt()
        assert last.status is Status.COMPLETED, last
        return last.result

    return train


@pytest.mark.parametrize("kind", LEARNED)
def test_models_of_huge_targets(kind, scaled):
    check(kind, scaled(kind, 0), scaled(kind, 990), 990)


def check(kind, usual, found, power):
    for part, metrics in found.metrics.items():
        expected = usual.metrics[part]
        for name in ("rmse", "mae"):
            assert metrics[name] == pytest.approx(np.ldexp(expected[name], power), rel=1e-9), (kind, power, part)
        assert metrics["r2"] == pytest.approx(expected["r2"], rel=1e-9)
        assert metrics.get("val_loss") == expected.get("val_loss")
    interval, before = (one.report["intervals"][0]["median_width"] for one in (found, usual))
    assert interval == pytest.approx(np.ldexp(before, power), rel=1e-9)
    model, one = load_model(found.model_path), load_model(usual.model_path)
    rows = model.content["golden"]["rows"]
    assert np.ldexp(one.values(rows).numpy(), power) == pytest.approx(model.values(rows).numpy(), rel=1e-9)


@pytest.mark.faults
@pytest.mark.parametrize("offset", [0.0, 20.0])
@pytest.mark.parametrize("kind", LEARNED + OTHERS)
def test_models_of_every_scale(kind, offset, scaled):
    usual = scaled(kind, 0, offset)
    for power in (-990, -600, -300, -100, -3, 3, 100, 300, 600, 1_000):
        found = scaled(kind, power, offset)
        check(kind, usual, found, power)
        model = load_model(found.model_path)
        to_safetensors(model)  # compare with the original
        to_onnx(model)


@pytest.mark.parametrize("power", [-960, -300, 300, 1_000])
def test_metrics_scale_with_the_target(power):
    draw = np.random.default_rng(0)
    predicted, target, train = draw.normal(2.0, 1.0, (3, 40))
    for usual, found in (
        (regression(predicted, target), regression(np.ldexp(predicted, power), np.ldexp(target, power))),
        (baseline(train, target, 0), baseline(np.ldexp(train, power), np.ldexp(target, power), 0)),
    ):
        assert found["r2"] == usual["r2"]
        assert [found[name] for name in ("rmse", "mae")] == [np.ldexp(usual[name], power) for name in ("rmse", "mae")]
