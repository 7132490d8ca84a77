"""The side worker's answers to requests for predictions, and their size limits.

As JSON an answer has at most a megabyte, as any has; to a large request it may have more, in proportion, and lies
then in a file that is sent as a download: the server looks into neither.
"""

from pathlib import Path
from typing import Any

import msgspec

from traind.data.errors import BadTable
from traind.data.limits import ANSWER_BYTES, ANSWER_FACTOR
from traind.trainer.model.custom_model import CustomModel
from traind.trainer.model.model import Cell, Model, loaded

NOTES_CHARS = ANSWER_BYTES // 4  # of all notes in one answer; beyond it only counts are given
NUMBER_BYTES = 26  # of a number in JSON with separators, at most
FILE = "predictions.json"


def predict_request(request: dict[str, Any]) -> dict[str, Any]:
    """Predict `rows` or `columns` with the model at `model_path`, for the side worker; a few models stay loaded.

    `trainer` is the `module:function` of a trainer that is not the built-in one.
    """
    return _answer(loaded(request), request)


def predict_json_request(request: dict[str, Any]) -> dict[str, Any]:
    """Predict as `predict_request` does, from JSON to JSON. Raises `BadTable` where the answer would be too long.

    Answers `{"json": ...}`, or `{"path": ...}` of a file in `out_dir` for an answer that is longer than a usual one.
    """
    name = "columns" if "columns" in request else "rows"
    kind: Any = dict[str, list[Cell]] if name == "columns" else list[dict[str, Cell]]
    try:
        data = msgspec.json.decode(request[name], type=kind)
    except msgspec.ValidationError as error:
        raise BadTable(f"the {name} cannot be read: {error}") from None
    rows = len(data) if name == "rows" else max(map(len, data.values()), default=0)
    most = max(ANSWER_BYTES, ANSWER_FACTOR * len(request[name]))
    model = loaded(request)
    if isinstance(model, Model):
        row_bytes = NUMBER_BYTES + sum(len(label.encode()) + NUMBER_BYTES for label in model.labels)
        _check_length(rows, rows * row_bytes, most)
    answer = {"ok": True, **_answer(model, {**request, name: data})}
    encoded = msgspec.json.encode(answer)
    if len(encoded) > most and answer.pop("notes", None):
        encoded = msgspec.json.encode(answer)
    _check_length(rows, len(encoded), most)
    if len(encoded) <= ANSWER_BYTES:
        return {"json": encoded}
    path = Path(request["out_dir"], FILE)
    path.write_bytes(encoded)
    return {"path": str(path)}


def _answer(model: Model | CustomModel, request: dict[str, Any]) -> dict[str, Any]:
    """Return a model's predictions for the request's rows or columns."""
    data = request["columns"] if "columns" in request else request["rows"]
    prediction = model.predict(data, interval=request.get("interval"))
    answer: dict[str, Any] = {"job_id": request.get("job_id"), "predictions": list(prediction)}
    if prediction.probabilities is not None:
        answer["probabilities"] = prediction.probabilities
    if prediction.intervals is not None:
        answer["intervals"] = prediction.intervals
    if prediction.labels is not None and prediction.labels != list(prediction):
        answer["labels"] = prediction.labels
    if prediction.noted:
        answer["noted"] = prediction.noted
        if sum(len(note) for notes in prediction.notes or () for note in notes) <= NOTES_CHARS:
            answer["notes"] = prediction.notes
    return answer


def _check_length(rows: int, size: int, most: int) -> None:
    """Raise `BadTable` where the answer to so many rows would be too long."""
    if size > most:
        raise BadTable(
            f"the answer to {rows:,} rows would have about {size / 1e6:,.1f} MB, and may have {most / 1e6:,.1f}",
            hint=f"send {max(1, rows * most // size):,} rows at once, at most",
        )
