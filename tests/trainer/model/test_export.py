"""An export predicts what the original does, wherever it is run."""

import csv
import hashlib
import math
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open

from traind.data.encoding.encoder import Encoder, Feature, Scale
from traind.trainer.contract.errors import ExportFailed
from traind.trainer.model import onnx_module
from traind.trainer.model.export import export_request, from_safetensors, to_onnx, to_safetensors
from traind.trainer.model.model import Model, load_model

TARGETS = ("value", "flag", "kind")


def onnx_predictions(data, rows):
    """Predict as somebody would who knows ONNX and not traind."""
    session = onnxruntime.InferenceSession(data)
    fed = {}
    for wanted in session.get_inputs():
        cells = [row[wanted.name] for row in rows]
        if wanted.type == "tensor(string)":
            fed[wanted.name] = np.array([cell or "" for cell in cells], dtype=object)
        else:
            fed[wanted.name] = np.array([float(cell or "nan") for cell in cells])
    return dict(zip((one.name for one in session.get_outputs()), session.run(None, fed), strict=True))


@pytest.mark.parametrize("target", TARGETS)
def test_onnx_predicts_the_whole_file_as_the_original_does(target, models):
    path, file = models[target]
    with Path(file.path).open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    model = load_model(path)
    found, expected = onnx_predictions(to_onnx(model), rows), model.predict(rows)
    if target == "value":
        assert found["prediction"].tolist() == pytest.approx(list(expected), rel=1e-4, abs=1e-4)
    else:
        assert found["prediction"].tolist() == list(expected)
        shares = [list(row.values()) for row in expected.probabilities]
        assert np.abs(found["probabilities"] - np.array(shares)).max() < 1e-4


def test_onnx_says_what_it_takes(models):
    proto = onnx.load_from_string(to_onnx(load_model(models["kind"][0])))
    assert [one.name for one in proto.graph.input] == ["a", "b", "colour", "shop"]
    about = msgspec.json.decode(next(one.value for one in proto.metadata_props if one.key == "traind"))
    assert (about["target"], about["labels"]) == ("kind", ["high", "low", "mid"])


@pytest.mark.parametrize("target", TARGETS)
def test_safetensors_hold_the_whole_model(target, models, tmp_path):
    path, _ = models[target]
    model, data = load_model(path), to_safetensors(load_model(path))
    rows = model.content["golden"]["rows"]
    assert torch.equal(from_safetensors(data).values(rows), model.values(rows))
    (tmp_path / "model.safetensors").write_bytes(data)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(model.content["weights"])
        about = msgspec.json.decode(file.metadata()["traind"])
    assert about["schema"]["target"] == target
    assert about["weights_digest"] == model.content["weights_digest"]


@pytest.mark.parametrize("kind", ["onnx", "safetensors"])
def test_a_request_writes_one_file(kind, models, tmp_path):
    answer = export_request({"model_path": str(models["flag"][0]), "format": kind, "out_dir": str(tmp_path)})
    assert [str(path) for path in tmp_path.iterdir()] == [answer["path"]]
    assert answer["path"].endswith(f".{kind}")


def test_an_unknown_format_is_refused(models, tmp_path):
    with pytest.raises(ExportFailed, match="'pmml'"):
        export_request({"model_path": str(models["flag"][0]), "format": "pmml", "out_dir": str(tmp_path)})


class Otherwise(Model):
    """A model that predicts what its weights, which are exported, do not."""

    def values_of(self, table):
        return super().values_of(table) * 1.01


@pytest.mark.parametrize("make", [to_onnx, to_safetensors])
def test_an_export_that_predicts_otherwise_is_not_handed_out(make, models):
    with pytest.raises(ExportFailed, match="original"):
        make(Otherwise(load_model(models["value"][0]).content))


def test_columns_may_have_any_name(new_job, tmp_path):
    from traind.trainer.contract.spec import DatasetFile

    names = ["in_0", "prediction", "values", "a b/c", "größe"]
    path = tmp_path / "odd.csv"
    draw = np.random.default_rng(0).normal(size=(60, 5)).round(3)
    path.write_text("\n".join([",".join([*names, "y"]), *(f"{','.join(map(str, r))},{r.sum():.3f}" for r in draw)]))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = DatasetFile("odd", digest, str(path), "csv", path.stat().st_size)
    job = new_job(file, dataset="odd", epochs=2, batch_size=16)
    model = load_model(job.attempt().result.model_path)
    rows = [dict(zip(names, map(str, row), strict=True)) for row in draw]
    found = onnx_predictions(to_onnx(model), rows)
    assert found["prediction_"].tolist() == pytest.approx(list(model.predict(rows)), rel=1e-4, abs=1e-4)


PARTS = ("day", "hour", "weekday", "month", "day_of_month")


@pytest.mark.parametrize("part", PARTS)
def test_times_are_taken_apart_in_the_graph_as_in_the_encoder(part):
    from traind.data.encoding.encoder import _time_part

    days = np.arange(-200_000, 200_000, 37, dtype=np.float64)
    seconds = np.concatenate([days * 86_400.0 + 3_601.5, [math.nan, 951_782_400.0, -1.0]])  # 2000-02-29 too
    feature = Feature("t", part, Scale(0.0, 1.0))
    expected = _time_part(seconds, part)
    assert np.array_equal(
        onnx_module.time_part(torch.from_numpy(seconds), feature.part).numpy(), expected, equal_nan=True
    )


def test_numbers_are_clipped_in_the_graph_as_in_the_encoder():
    from traind.data.encoding.encoder import smooth_clip

    values = np.array([0.0, -1.0, 2.5, 1e10, -1e200, 1e308, math.inf, -math.inf, math.nan])
    assert np.allclose(onnx_module.smooth_clip(torch.from_numpy(values)).numpy(), smooth_clip(values), rtol=1e-15)


def test_without_onnx_it_says_what_to_install(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExportFailed) as failure:
        to_onnx(load_model(models["flag"][0]))
    assert "pip install 'traind[onnx]'" in failure.value.hint


def test_every_encoder_of_a_model_is_plain_values(models):
    for path, _ in models.values():
        state = load_model(path).encoder.state()
        assert Encoder.from_state(msgspec.json.decode(msgspec.json.encode(state))).state() == state
