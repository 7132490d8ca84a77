"""A finished model is one file that predicts what it did when it was made, and says so when it cannot."""

import csv
import gzip
import io
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from traind.data.errors import BadTable
from traind.data.predict_input import table_from
from traind.data.prepare import prepare
from traind.trainer.contract.control import Verb
from traind.trainer.contract.errors import ModelDamaged, NoModelYet
from traind.trainer.contract.events import Epoch
from traind.trainer.model.answers import predict_request
from traind.trainer.model.model import Model, forward, load_model
from traind.trainer.model.predict_file import predict_file
from traind.trainer.model.tensor_file import packed, weights_digest
from traind.trainer.tabular.train import request_of

TARGETS = ("value", "flag", "kind")


def content_of(path):
    return torch.load(path, weights_only=True)


def test_the_file_is_one_dict_that_loads_without_code(models):
    path, _ = models["flag"]
    content = content_of(path)
    for name in ("format", "weights", "architecture", "encoder", "schema", "recipe", "metrics", "spec", "data"):
        assert name in content
    assert content["weights_digest"] == weights_digest(content["weights"])
    assert content["schema"]["labels"] == ("no", "yes")


@pytest.mark.parametrize("target", TARGETS)
def test_predictions_are_those_of_training(target, models):
    path, file = models[target]
    model = load_model(path)
    prepared = prepare((file.path, "csv"), request_of(load_spec(model)))
    rows = [dict(row) for row in prepared.samples]
    encoded = model.encoder.encode(table_from(rows, model.encoder))
    count = len(rows)
    assert np.array_equal(encoded.numeric, prepared.validation.numeric[:count])
    assert np.array_equal(encoded.categorical, prepared.validation.categorical[:count])
    assert torch.equal(model.values(rows), forward(model.network, model.recipe, encoded))


def load_spec(model):
    import msgspec

    from traind.trainer.contract.spec import TrainSpec

    return msgspec.convert(model.content["spec"], TrainSpec)


@pytest.mark.parametrize("target", TARGETS)
def test_rows_columns_and_files_give_the_same(target, models, tmp_path):
    path, file = models[target]
    model = load_model(path)
    with Path(file.path).open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    whole = model.predict(file.path)
    assert len(whole) == len(rows)
    assert model.predict(rows) == whole
    assert model.predict({name: [row[name] for row in rows] for name in rows[0]}) == whole
    zipped = tmp_path / "rows.csv.gz"
    zipped.write_bytes(gzip.compress(Path(file.path).read_bytes()))
    assert model.predict(zipped) == whole


def test_classes_come_with_probabilities(models):
    model = load_model(models["kind"][0])
    prediction = model.predict(model.content["golden"]["rows"])
    assert set(prediction) <= {"low", "mid", "high"}
    for label, shares in zip(prediction, prediction.probabilities, strict=True):
        assert set(shares) == {"low", "mid", "high"}
        assert sum(shares.values()) == pytest.approx(1.0, abs=1e-5)
        assert shares[label] == max(shares.values())


def test_values_stay_within_the_range_of_training(models):
    model = load_model(models["value"][0])
    row = {"a": 1e30, "b": -1e30, "colour": "red", "shop": "s1"}
    low, high = model.recipe.target_scale.low, model.recipe.target_scale.high
    assert low <= model.predict([row])[0] <= high


ROW = {"a": 0.5, "b": 5, "colour": "red", "shop": "s1"}


def test_unseen_missing_extra_and_reordered_cells_are_fine(models):
    model = load_model(models["value"][0])
    (expected,) = model.predict([ROW])
    assert model.predict([{**dict(reversed(ROW.items())), "more": object(), "value": "nonsense"}]) == [expected]
    assert model.predict([{name: str(cell) for name, cell in ROW.items()}]) == [expected]
    assert len(model.predict([{**ROW, "colour": "mauve"}, {**ROW, "b": None}, dict.fromkeys(ROW)])) == 3


def test_what_cannot_be_read_is_named(models):
    model = load_model(models["value"][0])
    with pytest.raises(BadTable, match="'shop'"):
        model.predict([{name: ROW[name] for name in ("a", "b", "colour")}])
    with pytest.raises(BadTable, match=r"row 2.*'a'.*'much'") as failure:
        model.predict([ROW, {**ROW, "a": "much"}, {**ROW, "a": "more"}])
    assert [cell.line for cell in failure.value.cells] == [2, 3]
    with pytest.raises(BadTable, match="row 2 is of the type int"):
        model.predict([ROW, 7])


def test_no_rows_give_no_predictions(models):
    assert load_model(models["value"][0]).predict([]) == []
    assert load_model(models["flag"][0]).predict([]) == []


@pytest.mark.parametrize("target", TARGETS)
def test_a_file_is_predicted_in_blocks_with_its_columns(target, models, tmp_path):
    path, file = models[target]
    model, out = load_model(path), tmp_path / "out.csv"
    assert predict_file(model._predict_batch, model.labels, Path(file.path), out, block_rows=30) == 80
    with out.open(newline="") as lines:
        written = list(csv.DictReader(lines))
    probabilities = [f"probability_{label}" for label in model.labels]
    assert list(written[0]) == ["a", "b", "colour", "shop", target, "prediction", *probabilities]
    if model.labels:
        assert [row["prediction"] for row in written] == model.predict(file.path)
    else:
        assert [float(row["prediction"]) for row in written] == pytest.approx(model.predict(file.path), rel=1e-5)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.csv"]


def test_a_bad_cell_in_a_file_is_named_and_nothing_is_written(models, tmp_path):
    bad, out = tmp_path / "bad.csv", tmp_path / "out.csv"
    bad.write_text("a,b,colour,shop\n1,2,red,s1\n1,two,red,s1\n")
    with pytest.raises(BadTable, match=r"line 3.*'b'.*'two'"):
        load_model(models["value"][0]).predict_file(bad, out)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.csv"]


def test_an_added_column_does_not_hide_one_of_the_file(models, tmp_path):
    file, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    file.write_text("prediction,a,b,colour,shop\nmine,1,2,red,s1\n")
    load_model(models["value"][0]).predict_file(file, out)
    assert out.read_text().splitlines()[0] == "prediction,a,b,colour,shop,prediction_"


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def change(content, *path, to):
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = to


CHANGES = {
    "other weights": lambda content: next(iter(content["weights"].values())).add_(1.0),
    "no weights": lambda content: content.pop("weights"),
    "no encoder": lambda content: content.pop("encoder"),
    "another format": lambda content: change(content, "format", to=99),
    "other predictions": lambda content: content["golden"]["predictions"].add_(5.0),
    "no predictions": lambda content: change(content, "golden", "predictions", to=torch.empty(0)),
    "another architecture": lambda content: change(content, "architecture", "hidden", to=[3]),
    "an absurd architecture": lambda content: change(content, "architecture", "kind", to="oracle"),
    "a list": lambda content: change(content, "schema", to=[]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_model_is_refused(name, models, tmp_path):
    content = content_of(models["value"][0])
    CHANGES[name](content)
    path = tmp_path / "model.pt"
    path.write_bytes(saved(content))
    with pytest.raises(ModelDamaged, match=r"model\.pt|golden|format"):
        load_model(path)


@pytest.mark.parametrize("data", [b"", b"PK", b"\x80\x04N.", b"{}", saved([1, 2]), saved({"a": 1})])
def test_foreign_files_are_refused(data, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(data)
    with pytest.raises(ModelDamaged):
        load_model(path)


def test_a_model_with_flipped_bytes_is_refused_or_predicts_as_it_did(models, tmp_path):
    path, _ = models["kind"]
    whole, target = path.read_bytes(), tmp_path / "model.pt"
    expected = load_model(path).predict([ROW])
    draw, refused = random.Random(0), 0
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(4):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        target.write_bytes(data)
        try:
            assert load_model(target).predict([ROW]) == expected
        except ModelDamaged:
            refused += 1
    assert refused > 5


def test_requests_answer_plain_values_and_see_a_replaced_file(models, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(models["value"][0].read_bytes())
    first = predict_request({"model_path": str(path), "rows": [ROW]})
    assert first == {"job_id": None, "predictions": load_model(path).predict([ROW]).predictions}
    path.write_bytes(models["flag"][0].read_bytes())
    second = predict_request({"model_path": str(path), "columns": {name: [cell] for name, cell in ROW.items()}})
    assert second["predictions"][0] in ("yes", "no")
    assert set(second["probabilities"][0]) == {"yes", "no"}


def test_a_running_jobs_checkpoint_predicts_with_the_best_so_far(new_job, table):
    job = new_job(table("flag"), dataset="flag", epochs=6, batch_size=16, model={"kind": "linear"})
    job.attempt(Verb.LEAVE, 14)
    checkpoint = max(job.attempts[0].glob("checkpoint-*.pt"))
    assert load_model(checkpoint).predict([ROW])[0] in ("yes", "no")
    best = [event.epoch for event in job.reported(Epoch) if event.is_best][-1]
    assert torch.load(checkpoint, weights_only=True)["state"]["fit"]["best_epoch"] == best


def test_a_checkpoint_of_the_first_epoch_has_no_model_yet(new_job, table):
    job = new_job(table("flag"), dataset="flag", epochs=6, batch_size=16, model={"kind": "linear"})
    job.attempt(Verb.LEAVE, 3)
    with pytest.raises(NoModelYet, match="first epoch"):
        load_model(max(job.attempts[0].glob("checkpoint-*.pt")))


def test_a_model_says_its_metrics(models):
    model = load_model(models["value"][0])
    assert isinstance(model, Model)
    assert set(model.metrics) == {"train", "validation", "test", "baseline"}
    assert set(model.metrics["validation"]) == {"rmse", "mae", "r2", "val_loss"}


def test_a_checkpoint_that_was_replaced_meanwhile_is_followed(new_job, table):
    job = new_job(table("flag"), dataset="flag", epochs=6, batch_size=16, model={"kind": "linear"})
    job.attempt(Verb.LEAVE, 14)
    gone = job.attempts[0] / "checkpoint-000000.pt"
    assert predict_request({"model_path": str(gone), "rows": [ROW]})["predictions"][0] in ("yes", "no")


def _deflated(data):
    """Return a torch file with its parts compressed: a small file of much."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for part in source.infolist():
            target.writestr(part.filename, source.read(part.filename))
    return out.getvalue()


def test_a_model_whose_parts_are_compressed_is_refused_unread(tmp_path):
    path = tmp_path / "bomb.pt"
    path.write_bytes(_deflated(packed({"weights": torch.zeros(50_000_000)})))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(ModelDamaged, match="compressed"):
        load_model(path)


@pytest.mark.parametrize("trainer", [3, None, ["tabular"], {"a": 1}])
def test_a_model_that_names_its_trainer_wrongly_is_damaged(tmp_path, trainer):
    path = tmp_path / "odd.pt"
    path.write_bytes(packed({"format": 1, "trainer": trainer}))
    with pytest.raises(ModelDamaged):
        load_model(path)
