"""Predictions say where they rest on less than others; labelled tables are evaluated as they were trained on."""

import hashlib
from pathlib import Path

from traind.trainer.contract.spec import DatasetFile
from traind.trainer.model.model import load_model

ROW = {"a": 0.0, "b": 1.0, "colour": "red", "shop": "1"}


def test_a_number_outside_of_the_training_rows_is_noted(models):
    model = load_model(models["value"][0])
    found = model.predict([ROW | {"a": 1e9}, ROW])
    assert any("outside of the training rows" in note for note in found.notes[0])
    assert found.noted["outside"] >= 1


def test_a_category_that_was_never_seen_is_noted(models):
    found = load_model(models["value"][0]).predict([ROW | {"colour": "ultraviolet"}])
    assert any("'ultraviolet' was seen in training rarely or never" in note for note in found.notes[0])


def test_classes_come_with_their_texts(models):
    found = load_model(models["flag"][0]).predict([ROW])
    assert [str(one) for one in found.labels] == found.labels
    assert set(found.probabilities[0]) >= set(found.labels)


def test_a_target_with_marks_is_read_in_evaluation_as_in_training(new_job, tmp_path):
    path = tmp_path / "rents.csv"
    rows = (f"{40 + i % 60},5;{1 + i % 3}.{i * 37 % 1000:03d},50 €\n" for i in range(200))
    path.write_text("area;rent\n" + "".join(rows))
    file = DatasetFile("rents", hashlib.sha256(path.read_bytes()).hexdigest(), str(path), "csv", path.stat().st_size)
    last = new_job(file, dataset="rents", target="rent", epochs=2).attempt()
    found = load_model(Path(last.result.model_path)).evaluate(path)
    assert (found["rows"], found["left_out"]) == (200, [])
    assert 100 < found["metrics"]["rmse"] < 2_000
