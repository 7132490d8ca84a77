"""Refuses a job that would need too much memory, in microseconds and without a process.

The estimate is that of the dry run (`trainer.contract.memory`), made from the spec and the summary of its table.
Called at submit.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, structs

from traind.service.errors import InvalidSpec
from traind.trainer.contract import memory
from traind.trainer.contract.spec import (
    AutoModel,
    BestModel,
    BlendModel,
    FastModel,
    LinearModel,
    MlpModel,
    Model,
    Synthetic,
    TabmModel,
    TrainSpec,
    TreesModel,
)

MOST_LEVELS = 20_000  # levels kept of a categorical column
FIRST_LEVELS = 2  # levels of every categorical column: missing, and unseen in training
TIME_PARTS = 5  # numbers that a datetime column is encoded as
FEW_LEVELS = 2
FEW_NUMBERS = 10  # distinct numbers of a target up to which they are classes
_MODELS: dict[type[Model], memory.Shape] = {
    AutoModel: memory.Shape(members=2),
    FastModel: memory.Shape(hidden=(128, 128), bins=64, dim=16),
    BestModel: memory.Shape(members=8),
    BlendModel: memory.Shape(members=2, has_trees=True),
    TreesModel: memory.Shape(members=2, has_trees=True, has_network=False),
    LinearModel: memory.Shape(hidden=(), embedding="none"),
}


class Known(Struct, frozen=True):
    """The summary of a job's table, made when it was registered."""

    n_rows: int
    columns: Sequence[Mapping[str, Any]] = ()  # each with name, kind, missing, distinct, is_used

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [column["name"] for column in self.columns]


def check_memory(spec: TrainSpec, known: Known, limit_bytes: int) -> None:
    """Raise `InvalidSpec` where the spec needs more than `limit_bytes`, naming the field to change; 0: no limit."""
    if limit_bytes == 0 or spec.trainer != "tabular":
        return
    needs = needs_of(spec, known)
    if sum(needs.values()) <= limit_bytes:
        return
    field = max(needs, key=lambda name: needs[name])
    problem = f"needs about {_gib(sum(needs.values()))} of memory; a job may use {_gib(limit_bytes)}"
    raise InvalidSpec(
        f"{field}: {problem}.",
        hint="Make it smaller, or raise the server's memory_budget_bytes.",
        details=[{"loc": field, "msg": problem}],
    )


def needs_of(spec: TrainSpec, known: Known) -> dict[str, int]:
    """Return the bytes that the job needs, by the field of the spec that causes them."""
    table, outputs = _table(spec, known)
    shape = _shape(spec, outputs)
    batch = spec.batch_size if isinstance(spec.batch_size, int) else memory.auto_batch(table.rows)
    needs = memory.needs(shape, table, batch)
    model = "model.hidden" if isinstance(spec.model, MlpModel | TabmModel) else "model"
    data = "dataset" if spec.dataset is not None else "synthetic.rows"
    return {data: needs["dataset"], model: needs["model"], "batch_size": needs["batch_size"]}


def facts_of(spec: TrainSpec, known: Known) -> tuple[int, bool]:
    """Return the number of training rows, and whether classes are predicted, as far as the summary tells."""
    rows = _table(spec, known)[0].rows
    if spec.dataset is None or spec.task == "regression":
        return rows, False
    target = spec.target or (known.names[-1] if known.columns else None)
    column = next((one for one in known.columns if one["name"] == target), {})
    kind = spec.columns.get(column.get("name", ""), column.get("kind", ""))
    is_few = int(column.get("distinct") or 0) <= FEW_NUMBERS
    return rows, spec.task != "auto" or kind != "numeric" or (is_few and target not in spec.columns)


def is_of_text_alone(spec: TrainSpec, known: Known) -> bool:
    """Return whether no column that is trained on is anything but text, as far as the summary tells."""
    table = _table(spec, known)[0]
    return not (table.numeric or table.cardinalities)


def _table(spec: TrainSpec, known: Known) -> tuple[memory.Table, int]:
    """Return the size of the encoded training rows, and the number of the network's outputs."""
    share = max(0.0, 1.0 - spec.validation.fraction - spec.validation.test_fraction)
    if spec.dataset is None:
        made = spec.synthetic or Synthetic()
        rows = round(made.rows * share)
        return memory.Table(rows, made.columns, held_rows=made.rows - rows, is_read=False), 1
    target = spec.target or (known.names[-1] if known.columns else None)
    rows = round(known.n_rows * share)
    numeric, cardinalities, texts, outputs = 0, list[int](), 0, 1
    for column in known.columns:
        kind = spec.columns.get(column["name"], column["kind"])
        levels = min(int(column.get("distinct") or 0), MOST_LEVELS) + FIRST_LEVELS
        if column["name"] == target:
            outputs = levels - FIRST_LEVELS if _is_of_classes(spec, kind, levels - FIRST_LEVELS) else 1
        elif not _is_used(spec, column):
            continue
        elif kind in ("categorical", "boolean"):
            cardinalities.append(levels)
        elif kind in ("numeric", "datetime"):
            numeric += (TIME_PARTS if kind == "datetime" else 1) + bool(column.get("missing"))
        elif kind == "text":
            texts += 1
    read = (memory.text_of(rows),) * texts
    return memory.Table(rows, numeric, tuple(cardinalities), read, known.n_rows - rows), outputs


def _is_used(spec: TrainSpec, column: Mapping[str, Any]) -> bool:
    name = column["name"]
    if spec.features is not None:
        return name in spec.features
    return name not in spec.ignore and (name in spec.columns or column.get("is_used", True))


def _is_of_classes(spec: TrainSpec, kind: str, levels: int) -> bool:
    """Return whether the network has an output for each level of the target."""
    if spec.task in ("regression", "binary") or levels <= FEW_LEVELS:
        return False
    return spec.task == "multiclass" or kind in ("categorical", "boolean")


def _shape(spec: TrainSpec, outputs: int) -> memory.Shape:
    """Return the network's size; for synthetic data it has no embeddings."""
    model = spec.model
    if isinstance(model, MlpModel | TabmModel):
        usual: memory.Embedding = "piecewise_linear" if spec.dataset is not None else "none"
        embedding: memory.Embedding = usual if model.embedding == "auto" else model.embedding
        heads = model.k if isinstance(model, TabmModel) else 1
        return memory.Shape(
            hidden=model.hidden, heads=heads, embedding=embedding, outputs=outputs, members=model.members
        )
    if spec.dataset is None and not isinstance(model, BlendModel | TreesModel):
        return memory.Shape(hidden=(64, 64), embedding="none")
    return structs.replace(_MODELS.get(type(model), memory.Shape()), outputs=outputs)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.0f} MiB"
