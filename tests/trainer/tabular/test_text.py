"""A column of free text is a feature: trained on, in the model file, predicted with, exported."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pytest

from traind.trainer.contract.control import LocalControl
from traind.trainer.contract.spec import DatasetFile, Place, TrainSpec
from traind.trainer.model.export import to_onnx
from traind.trainer.model.model import load_model
from traind.trainer.run.attempt import run

RNG = random.Random(1)
COMMON = ["the", "a", "meeting", "lunch", "today", "see", "you", "call", "later", "home", "work", "please"]
TOLD = ["refund", "prize", "winner", "claim"]


def message(i: int) -> dict[str, str]:
    words = RNG.choices(COMMON, k=RNG.randint(4, 12))
    if is_spam := i % 3 == 0:
        words.insert(RNG.randrange(len(words)), RNG.choice(TOLD))
    return {"text": f"{' '.join(words)} {i}", "label": "spam" if is_spam else "ham"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model of messages and what training said of it."""
    folder = tmp_path_factory.mktemp("text")
    path = folder / "messages.jsonl"
    path.write_text("".join(json.dumps(message(i)) + "\n" for i in range(600)))
    content = path.read_bytes()
    file = DatasetFile("messages", hashlib.sha256(content).hexdigest(), str(path), "jsonl", len(content))
    spec = msgspec.convert({"dataset": "messages", "target": "label", "epochs": 8}, TrainSpec)
    place = Place(job_id="j", attempt=1, attempt_dir=str(folder), dataset=file)
    last = run(spec, lambda _: None, place, LocalControl())
    assert last.result is not None, last
    return last.result, load_model(Path(str(last.result.model_path)))


def test_words_tell_the_class(trained: Any) -> None:
    result, model = trained
    assert result.metrics["validation"]["accuracy"] > 0.95
    assert list(model.predict([{"text": "you claim a prize"}, {"text": "see you at lunch"}])) == ["spam", "ham"]
    assert len(model.predict([{"text": None}, {"text": ""}, {"text": "\u4e2d\u6587"}])) == 3


def test_onnx_takes_the_places_of_tokens(trained: Any) -> None:
    _, model = trained
    rows = [{"text": message(i)["text"]} for i in range(20)]
    (rule,) = model.encoder.texts
    session = onnxruntime.InferenceSession(to_onnx(model))
    (wanted,) = session.get_inputs()
    assert (wanted.name, wanted.type, wanted.shape[1]) == ("text", "tensor(int64)", rule.width)
    tokens = rule.places(tuple(row["text"] for row in rows)).astype(np.int64)
    labels, shares = session.run(None, {"text": tokens})
    assert list(labels) == list(model.predict(rows))
    assert shares == pytest.approx(model.values(rows).numpy(), abs=1e-5)
