"""The finished model: one file that predicts, anywhere that traind is installed.

The file is one `torch.save` dict of tensors and plain values: what was learned, how columns are encoded, what the
outputs mean, and some golden rows with their predictions, which are checked whenever it is loaded. Nothing in it is
code. `load_model` also reads the checkpoint of a job that is still running.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from traind.data.encoding.encoder import Encoded, Encoder
from traind.data.errors import BadTable
from traind.data.predict_input import Batch, parse, table_from
from traind.data.table.arrays import Table
from traind.data.table.cell_text import typed_labels
from traind.data.table.schema import Schema
from traind.trainer import plugins
from traind.trainer.contract.errors import ModelDamaged, NoModelYet, UserCodeError
from traind.trainer.contract.values import NotPlain, a_kind, numbers_by_name, plain, text
from traind.trainer.model.assemble import assemble, with_trees
from traind.trainer.model.notes import notes_on
from traind.trainer.model.predict_file import Prediction, predict_file
from traind.trainer.model.tensor_file import FORMAT, unpacked, weights_digest
from traind.trainer.network.objective import predictions
from traind.trainer.network.recipe import Recipe
from traind.trainer.source import last_line

CHUNK_ROWS = 2_048  # in cache, and few calls
MODELS_KEPT = 4
GOLDEN_TOLERANCE = 1e-3  # of the target's spread; other machines round differently
Rows = Sequence[Mapping[str, Any]]
Columns = Mapping[str, Sequence[Any]]
Data = Rows | Columns | str | Path  # or a pandas DataFrame, which is asked for its columns
Cell = str | int | float | bool | list[Any] | dict[str, Any] | None  # lists, objects: where no column is read


class Model:
    """A finished tabular model."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.encoder = Encoder.from_state(content["encoder"])
        self.recipe = msgspec.convert(content["recipe"], Recipe)
        self.schema = msgspec.convert(content["schema"], Schema)
        self.network = assemble(content["architecture"], content["weights"])
        self.network.eval()

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in the order of their probabilities; none where the target is a number."""
        return self.encoder.labels

    @property
    def metrics(self) -> dict[str, Any]:
        """How good it was, by split."""
        found: dict[str, Any] = self.content.get("metrics", {})
        return found

    def predict(self, data: Data) -> Prediction:
        """Predict for rows (dicts), for columns (a dict of lists, a DataFrame), or for a file.

        Columns beyond those of the training do not matter, nor does their order. Raises `BadTable` naming what is
        missing and every row that cannot be read.
        """
        table = self.table_of(data)
        encoded = self.encoder.encode(table)
        values = forward(self.network, self.recipe, encoded)
        prediction = self.named(values)
        notes, noted = notes_on(self.encoder, self.recipe, table, encoded, values)
        if noted:
            prediction.notes, prediction.noted = notes, noted
        return prediction

    def named(self, values: Tensor) -> Prediction:
        """Return values or probabilities as what they mean."""
        if not self.labels:
            return Prediction(values.tolist())
        chosen, typed = values.argmax(dim=1).tolist(), typed_labels(self.labels)
        prediction = Prediction(typed[one] for one in chosen)
        prediction.labels = [self.labels[one] for one in chosen]
        prediction.probabilities = [dict(zip(self.labels, row, strict=True)) for row in values.tolist()]
        return prediction

    def values(self, data: Data) -> Tensor:
        """Return (rows,) float64 values of the target, or (rows, classes) probabilities."""
        return self.values_of(self.table_of(data))

    def table_of(self, data: Data) -> Table:
        """Return the data as a table of the columns that the model needs."""
        if not isinstance(data, str | Path):
            data = _without(self.encoder.target, data)
        return table_from(data, self.encoder)

    def values_of(self, table: Table) -> Tensor:
        """Return the same for a table that has been read."""
        return forward(self.network, self.recipe, self.encoder.encode(table))

    def predict_file(self, file: str | Path, out: str | Path, form: str | None = None) -> int:
        """Predict a file of any length into a CSV file with its columns and the predictions; return the rows."""
        return predict_file(self._predict_batch, self.labels, Path(file), Path(out), form)

    def evaluate(self, file: str | Path) -> dict[str, Any]:
        """Return how good it is on a labelled table: `metrics`, `baseline`, `rows`, `left_out` and a closer look."""
        from traind.trainer.model.scoring import evaluate_file

        return evaluate_file(self, file)

    def export(self, format: str, out: str | Path) -> None:  # noqa: A002 - the public word for it
        """Write it as `onnx` or `safetensors`, compared with the original first. Raises `ExportFailed`."""
        from traind.trainer.model.export import export

        export(self, format, Path(out))

    def _predict_batch(self, batch: Batch) -> Prediction:
        features = {name: cells for name, cells in batch.columns.items() if name != self.encoder.target}
        table = parse(features, self.encoder, batch.lines, may_lack=batch.may_lack)
        return self.named(self.values_of(table))

    def check(self) -> None:
        """Predict the golden rows again. Raises `ModelDamaged` where they come out otherwise."""
        golden = self.content["golden"]
        if not golden["rows"]:
            return
        now = self.values(golden["rows"])
        largest = float((now.double() - golden["predictions"].double()).abs().max())
        spread = 1.0 if self.labels else max(1.0, float(golden["predictions"].abs().max()))
        if not largest <= GOLDEN_TOLERANCE * spread:
            raise ModelDamaged(
                f"The model does not predict what it did when it was made: its golden rows are off by {largest:.3g}."
            )


def _without(target: str, data: Any) -> Rows | Columns:
    """Return rows or columns without the target's cells: they may be nonsense, and are not looked at."""
    if hasattr(data, "to_dict"):  # a DataFrame
        data = data.to_dict("list")
    if isinstance(data, Mapping):
        return {name: cells for name, cells in data.items() if name != target}
    rows = list(data)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise BadTable(
                f"row {number} is of the type {type(row).__name__}, not a dict of cells by column",
                hint='rows are such as [{"rooms": 3}], columns such as {"rooms": [3, 4]}',
            )
    return [{name: cell for name, cell in row.items() if name != target} for row in rows]


class CustomModel:
    """A model of another trainer: it predicts by the `predict(model, rows)` that stands beside the trainer."""

    def __init__(self, content: dict[str, Any], train: plugins.Train | None) -> None:
        self.content = content
        self._predict = plugins.predictor(train) if train is not None else None

    def predict(self, data: Rows | Columns) -> Prediction:
        """Predict for rows (dicts) or columns (a dict of lists). Raises `UserCodeError` where that cannot be done."""
        if self._predict is None:
            raise UserCodeError(
                f"Models of the trainer {self.content.get('trainer')!r} cannot predict.",
                hint="It needs a function predict(model, rows) beside it, and its package installed here.",
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

    def predict_file(self, file: str | Path, out: str | Path, form: str | None = None) -> int:
        """Predict a file of any length into a CSV file with its columns and the predictions; return the rows."""
        return predict_file(lambda batch: self.predict(batch.columns), (), Path(file), Path(out), form)

    def evaluate(self, file: str | Path) -> dict[str, Any]:
        """Refuse: what such a model predicts, only its own trainer can measure."""
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


def forward(
    network: torch.nn.Module, recipe: Recipe, rows: Encoded, beat: Callable[[], None] = lambda: None
) -> Tensor:
    """Return what `objective.predictions` does for all rows, in chunks whose size is fixed: so are the bits."""
    return torch.cat([predictions(recipe, outputs) for outputs in raw_outputs(network, rows, beat)])


def raw_outputs(network: torch.nn.Module, rows: Encoded, beat: Callable[[], None] = lambda: None) -> Iterator[Tensor]:
    """Yield the network's outputs, chunk by chunk."""
    device = next(network.parameters()).device
    with torch.no_grad():
        for start in range(0, max(1, len(rows)), CHUNK_ROWS):  # of no rows, the right shape
            beat()
            numeric = torch.from_numpy(rows.numeric[start : start + CHUNK_ROWS].copy())
            categorical = torch.from_numpy(rows.categorical[start : start + CHUNK_ROWS].copy())
            yield network(numeric.to(device), categorical.to(device)).cpu()


def load_model(path: str | Path, trainer: plugins.Train | None = None) -> Model | CustomModel:
    """Load a finished model, or the best one so far from a running job's checkpoint, and check that it predicts.

    A model of another trainer predicts by its `trainer`: given here, or installed under the name that the file says.
    Raises `ModelDamaged` where the file is not whole or not of ours, `NoModelYet` for an early checkpoint.
    """
    content = read_model(Path(path))
    made_by = content.get("trainer", "tabular")
    if not isinstance(made_by, str):
        raise ModelDamaged(f"{Path(path).name} is not a whole model: it does not say which trainer made it.")
    if made_by != "tabular":
        return CustomModel(content, trainer or plugins.installed(made_by))
    try:
        model = Model(content)
        if "weights_digest" in content and weights_digest(content["weights"]) != content["weights_digest"]:
            raise ModelDamaged(f"{Path(path).name} is damaged: its weights are not those that were written.")
        model.check()
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, AttributeError) as error:
        raise ModelDamaged(f"{Path(path).name} is not a whole model: {type(error).__name__}: {error}") from error
    return model


def loaded(request: dict[str, Any]) -> Model | CustomModel:
    """Return the model that a request of the side worker names; a few stay loaded."""
    path = Path(request["model_path"])
    if not path.exists():  # a running job replaces its checkpoints
        path = max(path.parent.glob("checkpoint-*.pt"), default=path)
    stat = path.stat()
    return _loaded(path, stat.st_mtime_ns, stat.st_size, request.get("trainer"))


@lru_cache(maxsize=MODELS_KEPT)
def _loaded(path: Path, _changed_ns: int, _size_bytes: int, trainer: str | None) -> Model | CustomModel:
    return load_model(path, plugins.load(trainer).train if trainer else None)


def read_model(path: Path) -> dict[str, Any]:
    """Return the content of a model file, or the model within a checkpoint. Raises `ModelDamaged`."""
    try:
        content = unpacked(path.read_bytes())
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ModelDamaged(f"{path.name} cannot be read as a model: {error}") from error
    if "state" in content:
        return _of_checkpoint(content)
    if content.get("format") != FORMAT:
        raise ModelDamaged(f"{path.name} is of format {content.get('format')}; this version reads {FORMAT}.")
    return content


def _of_checkpoint(content: dict[str, Any]) -> dict[str, Any]:
    """Return the model of the best epoch in a checkpoint of the tabular trainer."""
    state = content["state"]
    if not isinstance(state, dict) or "model" not in state:
        raise NoModelYet("The trainer of this job makes its model at the end.")
    about, weights = state["model"], state["weights"]
    if "before" in about:
        about, weights = with_trees(about, weights)
    if weights is None:
        raise NoModelYet("There is no model yet: the first epoch has not ended.", hint="Ask again later.")
    return {"golden": {"rows": [], "predictions": torch.empty(0)}, **about, "weights": weights}
