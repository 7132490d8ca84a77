"""The finished model: one file that predicts, anywhere that traind is installed.

The file is one `torch.save` dict of tensors and plain values: what was learned, how columns are encoded, what the
outputs mean, and some golden rows with their predictions, which are checked whenever it is loaded. Nothing in it is
code. `load_model` also reads the checkpoint of a job that is still running.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from traind.data.encoding.encoder import Encoded, Encoder
from traind.data.errors import BadTable
from traind.data.predict_input import Batch, parse, plain_columns, table_from
from traind.data.table.arrays import Table
from traind.data.table.cell_text import typed_labels
from traind.data.table.schema import Schema
from traind.trainer import plugins
from traind.trainer.contract.errors import ModelDamaged, NoModelYet, SpecError
from traind.trainer.model.assemble import assemble, with_trees, without_dropped
from traind.trainer.model.custom_model import Columns, CustomModel, Rows
from traind.trainer.model.intervals import bounds, least_scores, reach
from traind.trainer.model.notes import notes_on
from traind.trainer.model.predict_file import Prediction, predict_file
from traind.trainer.model.tensor_file import FORMAT, unpacked, weights_digest
from traind.trainer.network.objective import predictions
from traind.trainer.network.recipe import Recipe

CHUNK_ROWS = 2_048  # fits into the cache
MODELS_KEPT = 4
GOLDEN_TOLERANCE = 1e-3  # of the target's standard deviation; machines round differently
Data = Rows | Columns | str | Path  # or a DataFrame of pandas or polars, which is asked for its columns
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
        """The metrics by split."""
        found: dict[str, Any] = self.content.get("metrics", {})
        return found

    def predict(self, data: Data, *, interval: float | None = None) -> Prediction:
        """Predict for rows (dicts), for columns (a dict of lists, a DataFrame), or for a file.

        Columns beyond those of the training do not matter, nor does their order. With `interval`, between 0 and 1,
        each predicted number has an interval which holds that share of such rows. Raises `BadTable` naming what is
        missing and every row that cannot be read, `SpecError` where there are no such intervals.
        """
        length = None if interval is None else self._reach(interval)
        table = self.table_of(data)
        encoded = self.encoder.encode(table)
        values = forward(self.network, self.recipe, encoded)
        prediction = self._between(values, length)
        notes, noted = notes_on(self.encoder, self.recipe, table, encoded, values)
        if noted:
            prediction.notes, prediction.noted = notes, noted
        return prediction

    def _between(self, values: Tensor, length: float | None) -> Prediction:
        """Return values as predictions, with intervals of that half width if it is given."""
        prediction = self.named(values)
        if length is not None:
            low, high = bounds(values.numpy(), length, self.recipe.target_scale)
            prediction.intervals = np.stack((low, high), axis=1).tolist()
        return prediction

    def _reach(self, level: float) -> float:
        """Return the half width of intervals of that level, after the target transform."""
        if not 0.0 < level < 1.0:
            raise SpecError(f"interval: {level:g} is not between 0 and 1.", field="interval", hint="Such as 0.9.")
        if self.labels:
            problem = "only predicted numbers have intervals; classes have probabilities"
            raise SpecError(f"interval: {problem}.", field="interval")
        scores = self.content.get("interval_scores")
        if scores is None:
            problem = "the model has none: it is still being trained, or an older version made it"
            raise SpecError(f"interval: {problem}.", field="interval", hint="Train it again, or wait for its end.")
        if (length := reach(scores.numpy(), level)) is None:
            problem = f"an interval of {level:g} needs {least_scores(level):,} validation rows"
            raise SpecError(f"interval: {problem}; the model had {len(scores):,}.", field="interval")
        return length

    def named(self, values: Tensor) -> Prediction:
        """Return values or probabilities as predictions."""
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

    def predict_file(
        self, file: str | Path, out: str | Path, form: str | None = None, *, interval: float | None = None
    ) -> int:
        """Predict a file of any length into a CSV file with its columns and the predictions; return the rows."""
        length = None if interval is None else self._reach(interval)
        predict = functools.partial(self._predict_batch, length=length)
        return predict_file(predict, self.labels, Path(file), Path(out), form)

    def evaluate(self, file: str | Path) -> dict[str, Any]:
        """Return the evaluation on a labelled table: `metrics`, `baseline`, `rows`, `left_out` and details."""
        from traind.trainer.model.scoring import evaluate_file

        return evaluate_file(self, file)

    def export(self, format: str, out: str | Path) -> None:  # noqa: A002 - the public word for it
        """Write it as `onnx` or `safetensors`, compared with the original first. Raises `ExportFailed`."""
        from traind.trainer.model.export import export

        export(self, format, Path(out))

    def _predict_batch(self, batch: Batch, length: float | None = None) -> Prediction:
        features = {name: cells for name, cells in batch.columns.items() if name != self.encoder.target}
        table = parse(features, self.encoder, batch.lines, may_lack=batch.may_lack)
        return self._between(self.values_of(table), length)

    def check(self) -> None:
        """Predict the golden rows again. Raises `ModelDamaged` where they differ."""
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
    """Return rows or columns without the target's cells, which are not used."""
    data = plain_columns(data)
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


def forward(
    network: torch.nn.Module, recipe: Recipe, rows: Encoded, beat: Callable[[], None] = lambda: None
) -> Tensor:
    """Return `objective.predictions` for all rows, in chunks of fixed size, so that the bits are the same."""
    return torch.cat([predictions(recipe, outputs) for outputs in raw_outputs(network, rows, beat)])


def raw_outputs(network: torch.nn.Module, rows: Encoded, beat: Callable[[], None] = lambda: None) -> Iterator[Tensor]:
    """Yield the network's outputs, chunk by chunk."""
    device = next(network.parameters()).device
    with torch.no_grad():
        for start in range(0, max(1, len(rows)), CHUNK_ROWS):  # without rows, an empty result of the right shape
            beat()
            numeric = torch.from_numpy(rows.numeric[start : start + CHUNK_ROWS].copy())
            categorical = torch.from_numpy(rows.categorical[start : start + CHUNK_ROWS].copy())
            yield network(numeric.to(device), categorical.to(device)).cpu()


def load_model(path: str | Path, trainer: plugins.Train | str | None = None) -> Model | CustomModel:
    """Load a finished model, or the best one so far from a running job's checkpoint, and check that it predicts.

    A model of another trainer predicts by its `trainer`: given here, as a function or as `module:function`, or
    installed under the name that the file says.
    Raises `ModelDamaged` where the file is not whole or not of ours, `NoModelYet` for an early checkpoint.
    """
    content = read_model(Path(path))
    made_by = content.get("trainer", "tabular")
    if not isinstance(made_by, str):
        raise ModelDamaged(f"{Path(path).name} is not a whole model: it does not say which trainer made it.")
    if made_by != "tabular":
        if isinstance(trainer, str):
            trainer = plugins.load(trainer).train
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
    """Return the model of a side worker's request; a few stay loaded."""
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
    if weights is not None:
        architecture, weights = without_dropped(about["architecture"], weights)
        about = {**about, "architecture": architecture}
    if "before" in about:
        about, weights = with_trees(about, weights)
    if weights is None:
        raise NoModelYet("There is no model yet: the first epoch has not ended.", hint="Ask again later.")
    return {"golden": {"rows": [], "predictions": torch.empty(0)}, **about, "weights": weights}
