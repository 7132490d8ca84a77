"""Models of users' own trainers: they predict by the `predict` function in the trainer's module."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from traind.trainer import plugins
from traind.trainer.contract.errors import SpecError, UserCodeError
from traind.trainer.contract.values import NotPlain, a_kind, numbers_by_name, plain, text
from traind.trainer.model.predict_file import Prediction, predict_file
from traind.trainer.source import last_line

Rows = Sequence[Mapping[str, Any]]
Columns = Mapping[str, Sequence[Any]]


class CustomModel:
    """A model of a user's own trainer; it predicts by `predict(model, rows)` in the trainer's module."""

    def __init__(self, content: dict[str, Any], train: plugins.Train | None) -> None:
        self.content = content
        self._predict = plugins.predictor(train) if train is not None else None

    def predict(self, data: Rows | Columns, *, interval: float | None = None) -> Prediction:
        """Predict for rows (dicts) or columns (a dict of lists). Raises `UserCodeError` where that cannot be done."""
        if interval is not None:
            raise SpecError("interval: models of a trainer of your own have none.", field="interval")
        if self._predict is None:
            raise UserCodeError(
                f"Models of the trainer {self.content.get('trainer')!r} cannot predict.",
                hint="It needs a function predict(model, rows) beside it, and to be found here: as a package, "
                "or named by `traind predict --trainer FILE.py` or `load_model(path, trainer=train)`.",
            )
        if isinstance(data, Mapping):
            rows = [dict(zip(data, cells, strict=True)) for cells in zip(*data.values(), strict=True)]
        else:
            rows = [dict(row) for row in data]
        try:
            found = self._predict(self.content, rows)
        except Exception as error:
            raise UserCodeError(
                f"The trainer's predict raised {type(error).__name__}: {text(error, 500)}{last_line(error)}"
            ) from error
        return _predicted(found, len(rows))

    def predict_file(
        self, file: str | Path, out: str | Path, form: str | None = None, *, interval: float | None = None
    ) -> int:
        """Predict a file of any length into a CSV file with its columns and the predictions; return the rows."""
        predict = lambda batch: self.predict(batch.columns, interval=interval)  # noqa: E731
        return predict_file(predict, (), Path(file), Path(out), form)

    def evaluate(self, file: str | Path) -> dict[str, Any]:
        """Raise an error: only its own trainer can evaluate such a model."""
        from traind.trainer.model.scoring import evaluate_file

        return evaluate_file(self, file)

    def export(self, format: str, out: str | Path) -> None:  # noqa: A002 - the public word for it
        """Write it as `onnx` or `safetensors`, compared with the original first. Raises `ExportFailed`."""
        from traind.trainer.model.export import export

        export(self, format, Path(out))


def _predicted(found: Any, rows: int) -> Prediction:
    """Return what a trainer's `predict` returned as plain values, one a row. Raises `UserCodeError`."""
    shares = None
    if isinstance(found, Mapping):
        if "predictions" not in found or found.keys() - {"predictions", "probabilities"}:
            names = ", ".join(text(name, 50) for name in found)
            raise UserCodeError(
                f"The trainer's predict returned a dict of {names or 'nothing'}.",
                hint='Return one value a row, or {"predictions": [...], "probabilities": [{label: share}, ...]}.',
            )
        found, shares = found["predictions"], found.get("probabilities")
    if isinstance(found, Iterator):
        found = list(found)
    shape = getattr(found, "shape", None)
    is_listed = isinstance(found, Collection) if shape is None else len(shape) > 0
    if not is_listed or isinstance(found, str | bytes | AbstractSet):
        raise UserCodeError(f"The trainer's predict returned {a_kind(found)}; it returns one value a row.")
    for one in (found, shares):
        if one is not None and len(one) != rows:
            raise UserCodeError(f"The trainer's predict gave {len(one)} predictions for {rows} rows.")
    try:
        prediction = Prediction(plain(found))
        if shares is not None:
            prediction.probabilities = [_shares(one, f"['probabilities'][{n}]") for n, one in enumerate(shares)]
    except NotPlain as refused:
        raise UserCodeError(f"The trainer's predict returned what cannot be answered: {refused}.") from None
    return prediction


def _shares(one: Any, where: str) -> dict[str, float]:
    return {label: share for label, share in numbers_by_name(one, where).items() if share is not None}
