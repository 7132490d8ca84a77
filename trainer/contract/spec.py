"""What a job is asked to do (`TrainSpec`) and where it is done (`Place`).

The border between service and worker: frozen msgspec structs, JSON on the wire, no torch. Validation is by
`msgspec.convert`, never by constructing: constructors do not check.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Auto = Literal["auto"]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
ColumnName = Annotated[str, Meta(min_length=1, max_length=1_000)]
ColumnKind = Literal["numeric", "categorical", "boolean", "datetime", "text", "ignore"]
DatasetName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z", max_length=64)]
JOB_ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}\Z"
JobId = Annotated[str, Meta(pattern=JOB_ID_PATTERN, max_length=64)]
Fraction = Annotated[float, Meta(ge=0.0, lt=1.0)]
_MONITOR = "what decides the best epoch and early stopping: val_loss or a metric of the task; of an own trainer, any"
Monitor = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_.@/-]{0,63}\Z", description=_MONITOR)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Synthetic(Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of standard normal numbers with a smooth nonlinear target and noise, fixed by the spec's seed."""

    rows: Annotated[int, Meta(ge=10, le=10_000_000)] = 20_000
    columns: Annotated[int, Meta(ge=1, le=1_000)] = 8


class Validation(Struct, frozen=True, forbid_unknown_fields=True):
    """Which rows are kept from training. `column` orders a `time` split and names the groups of a `group` split."""

    fraction: Annotated[float, Meta(ge=0.01, le=0.9)] = 0.2
    test_fraction: Fraction = 0.0
    kind: Literal["auto", "random", "stratified", "time", "group"] = "auto"
    column: ColumnName | None = None
    seed: Seed = 0


Hidden = Annotated[tuple[Annotated[int, Meta(ge=1, le=8_192)], ...], Meta(min_length=1, max_length=16)]
Dropout = Annotated[float, Meta(ge=0.0, lt=1.0)]
Embedding = Literal["auto", "none", "piecewise_linear", "periodic"]


class AutoModel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="auto"):
    """The recipe that fits the data: see docs/models.md for how it was chosen."""


class FastModel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="fast"):
    """A smaller recipe: most of the quality in a fraction of the time."""


class BestModel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="best"):
    """A larger recipe: several times the time for the last percent."""


class LinearModel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="linear"):
    """A linear (or logistic) model on the encoded columns."""


class MlpModel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="mlp"):
    """A multilayer perceptron: `hidden` widths, ReLU, dropout after each, optional numeric embeddings."""

    hidden: Hidden = (256, 256)
    embedding: Embedding = "auto"
    dropout: Dropout = 0.1


class TabmModel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="tabm"):
    """TabM: one network that acts as `k` (Gorishniy et al., ICLR 2025)."""

    hidden: Hidden = (256, 256)
    k: Annotated[int, Meta(ge=1, le=64)] = 8
    embedding: Embedding = "auto"
    dropout: Dropout = 0.1


Model = AutoModel | FastModel | BestModel | LinearModel | MlpModel | TabmModel


class TrainSpec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to train, on what, and how. `"auto"` leaves the choice to the recipe, which says what it chose."""

    dataset: DatasetName | None = None
    target: ColumnName | None = None
    task: Literal["auto", "regression", "binary", "multiclass"] = "auto"
    features: Annotated[tuple[ColumnName, ...], Meta(min_length=1, max_length=10_000)] | None = None
    ignore: Annotated[tuple[ColumnName, ...], Meta(max_length=10_000)] = ()
    columns: Annotated[dict[ColumnName, ColumnKind], Meta(max_length=10_000)] = {}
    synthetic: Synthetic | None = None
    model: Model = AutoModel()
    epochs: Annotated[int, Meta(ge=1, le=100_000)] | Auto = "auto"
    batch_size: Annotated[int, Meta(ge=1, le=1_048_576)] | Auto = "auto"
    lr: Annotated[float, Meta(gt=0.0, le=100.0)] | Auto = "auto"
    optimizer: Literal["auto", "adam", "adamw", "sgd"] = "auto"
    schedule: Literal["auto", "constant", "cosine", "linear"] = "auto"
    weight_decay: Annotated[float, Meta(ge=0.0, le=10.0)] | Auto = "auto"
    grad_clip: Annotated[float, Meta(gt=0.0, le=1e6)] | None = None
    patience: Annotated[int, Meta(ge=1, le=100_000)] | Auto | None = "auto"
    validation: Validation = Validation()
    monitor: Monitor = "val_loss"
    seed: Seed = 0
    threads: Annotated[int, Meta(ge=1, le=256)] = 1
    device: Annotated[str, Meta(pattern=r"^(auto|cpu|cuda(:[0-9]{1,2})?)\Z")] = "auto"
    checkpoint_every: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 30.0  # seconds; 0: every epoch
    report_every: Annotated[int, Meta(ge=1, le=1_000_000)] = 5  # steps
    max_seconds: Annotated[float, Meta(gt=0.0, le=31_536_000.0)] | None = None  # of running, over all attempts
    max_attempts: Annotated[int, Meta(ge=1, le=100)] = 3  # worker deaths that are tried again, plus one
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0  # higher first
    trainer: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")] = "tabular"
    options: dict[str, Any] = {}  # checked by the named trainer's own struct
    name: Name | None = None
    tags: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...], Meta(max_length=50)] = ()


class DatasetFile(Struct, frozen=True):
    """One version of a registered data set, as the catalogue placed it."""

    name: str
    digest: str  # sha256 of the bytes as uploaded, hex
    path: str  # absolute in a worker; in a job, relative to the root
    format: str  # csv, csv.gz, tsv, tsv.gz, jsonl, jsonl.gz, parquet
    size_bytes: int


class Place(Struct, frozen=True, kw_only=True):
    """Where one attempt reads and writes. A worker writes below `attempt_dir` and `cache_dir` only."""

    job_id: str
    attempt: int
    attempt_dir: str  # absolute, exists
    earlier_dirs: tuple[str, ...] = ()  # attempt folders with checkpoints to go on from, newest first
    dataset: DatasetFile | None = None
    cache_dir: str | None = None  # where encoded tables are kept; None: not kept
    trainer: str = "traind.trainer.tabular.train:train"  # module:function
    keep_checkpoints: int = 2  # beside the best one and those that the trainer pinned
    ran_s: float = 0.0  # seconds earlier attempts were running, for max_seconds
    finish: bool = False  # take no step: make the model from the newest checkpoint


class Assignment(Struct, frozen=True):
    """What a worker is handed: a file in the attempt's folder, since big arguments stick in a pool's pipes."""

    spec: TrainSpec
    place: Place
