"""Predictions say where they rest on less than others."""

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
