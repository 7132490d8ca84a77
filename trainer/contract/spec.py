"""What a job is asked to do (`TrainSpec`) and where it is done (`Place`).

The border between service and worker: frozen msgspec structs, JSON on the wire, no torch. Validation is by
`msgspec.convert`, never by constructing: constructors do not check.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from traind.data.reading.formats import Options
from traind.trainer.contract.change import (
    CheckpointEvery,
    Epochs,
    Patience,
    Rate,
    ReportEvery,
    RequestedChange,
)

Auto = Literal["auto"]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
ColumnName = Annotated[str, Meta(min_length=1, max_length=1_000)]
ColumnKind = Literal["numeric", "categorical", "boolean", "datetime", "text", "ignore", "duration"]
DatasetName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z", max_length=64)]
JOB_ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}\Z"
JobId = Annotated[str, Meta(pattern=JOB_ID_PATTERN, max_length=64)]
Fraction = Annotated[float, Meta(ge=0.0, lt=1.0)]
_MONITORS = "val_loss, a metric of the task, or of a trainer of your own any name of 64 characters at most"
Monitor = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_.@/-]{0,63}\Z", description=_MONITORS)]
Priority = Annotated[int, Meta(ge=-100, le=100)]
Tags = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...], Meta(max_length=50)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Synthetic(Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of standard normal numbers with a smooth nonlinear target and noise, fixed by the spec's seed."""

    rows: Annotated[int, Meta(ge=10, le=10_000_000)] = 20_000
    """Rows to make, validation rows included."""
    columns: Annotated[int, Meta(ge=1, le=1_000)] = 8
    """Columns of numbers to make, beside the target."""


class Validation(Struct, frozen=True, forbid_unknown_fields=True):
    """Which rows are kept from training. `column` orders a `time` split and names the groups of a `group` split."""

    fraction: Annotated[float, Meta(ge=0.01, le=0.9)] = 0.2
    """Share of the rows that is kept from training to choose the best epoch."""
    test_fraction: Fraction = 0.0
    """Share of the rows that is measured once, at the end; 0: none."""
    kind: Literal["auto", "random", "stratified", "time", "group"] = "auto"
    """How rows are chosen: at random, stratified by class, the latest by time, or whole groups."""
    column: ColumnName | None = None
    """The column that orders a time split or names the groups of a group split."""
    seed: Seed = 0
    """Seed of the choice of rows: the same seed on the same data keeps the same rows."""


Hidden = Annotated[tuple[Annotated[int, Meta(ge=1, le=8_192)], ...], Meta(min_length=1, max_length=16)]
Dropout = Annotated[float, Meta(ge=0.0, lt=1.0)]
Embedding = Literal["auto", "none", "piecewise_linear", "periodic"]


class AutoModel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="auto"):
    """The recipe that fits the data: see docs/models.md for how it was chosen."""


class FastModel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="fast"):
    """A smaller recipe: most of the quality in a fraction of the time."""


class BestModel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="best"):
    """Eight networks, seven of them trained on all rows: several times the time for the last percents."""


class TreesModel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="trees"):
    """Gradient-boosted decision trees by LightGBM (extra `trees`), kept as tensors."""

    leaves: Annotated[int, Meta(ge=2, le=256)] = 31
    """Most leaves of a tree; a model of more than 31 predicts several times as slowly."""
    shrinkage: Annotated[float, Meta(gt=0.0, le=1.0)] | Auto = "auto"
    """Factor on the values of each tree, where the spec gives no lr; auto: 0.05, or 0.1 from 10,000 training rows."""


class BlendModel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="blend"):
    """The networks of auto and trees, weighted by their loss on the validation rows (extra `trees`)."""


class LinearModel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="linear"):
    """A linear (or logistic) model on the encoded columns."""


Members = Annotated[int, Meta(ge=1, le=16)]


class MlpModel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="mlp"):
    """A multilayer perceptron: `hidden` widths, ReLU, dropout after each, optional numeric embeddings."""

    hidden: Hidden = (256, 256)
    """Width of each hidden layer, in units, first to last."""
    embedding: Embedding = "auto"
    """How numbers enter the network; auto chooses piecewise_linear."""
    dropout: Dropout = 0.1
    """Share of units that are zeroed in training, after each hidden layer; 0: none."""
    members: Members = 1
    """Networks: the first decides the epoch; the others, as in auto, are trained on all rows."""


class TabmModel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="tabm"):
    """TabM: one network that acts as `k` (Gorishniy et al., ICLR 2025)."""

    hidden: Hidden = (256, 256)
    """Width of each hidden layer, in units, first to last."""
    k: Annotated[int, Meta(ge=1, le=64)] = 8
    """Networks that the model acts as; predictions are their mean."""
    embedding: Embedding = "auto"
    """How numbers enter the network; auto chooses piecewise_linear."""
    dropout: Dropout = 0.1
    """Share of units that are zeroed in training, after each hidden layer; 0: none."""
    members: Members = 1
    """Networks: the first decides the epoch; the others, as in auto, are trained on all rows."""


JobIds = Annotated[tuple[JobId, ...], Meta(min_length=1, max_length=100)]


class EnsembleModel(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="ensemble"):
    """The weighted mean of finished jobs' models, chosen by their loss on the validation rows; trains nothing."""

    jobs: JobIds
    """Jobs whose models are the candidates: on the same rows, all with the same validation rows."""


Networks = AutoModel | FastModel | BestModel | LinearModel | MlpModel | TabmModel
Model = Networks | BlendModel | TreesModel | EnsembleModel


class StartFrom(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The checkpoint of another job that a new job begins at."""

    job_id: JobId
    """Job whose checkpoint it is, of the same trainer; running, paused or over."""
    checkpoint: Literal["best", "last"] | Annotated[int, Meta(ge=0, le=2**53)] = "last"
    """The newest one, that of its best epoch, or the one at this gradient step."""
    keep: Literal["all", "weights"] = "all"
    """Go on with optimizer, averages and counted epochs; or begin anew with its best weights alone."""


class TrainSpec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to train, on what, and how. `"auto"` leaves the choice to the recipe, which says what it chose."""

    dataset: DatasetName | None = None
    """Name of a registered data set; without one the job trains on synthetic data."""
    target: ColumnName | None = None
    """Column to predict; without one it is the last column, and a warning says so."""
    task: Literal["auto", "regression", "binary", "multiclass"] = "auto"
    """What is predicted; auto tells it from the target."""
    features: Annotated[tuple[ColumnName, ...], Meta(min_length=1, max_length=10_000)] | None = None
    """Columns to train on; without them all but the target and those left out."""
    ignore: Annotated[tuple[ColumnName, ...], Meta(max_length=10_000)] = ()
    """Columns to leave out."""
    columns: Annotated[dict[ColumnName, ColumnKind], Meta(max_length=10_000)] = {}
    """Kinds of columns where the inferred ones are wrong, as {"zip": "categorical"}."""
    read: Options | None = None
    """How the data set's file is written, where that cannot be found out and was not given when it was put."""
    positive: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    """Class that f1 and auc are of, of two; by default true, else the rarer one."""
    weight: ColumnName | None = None
    """Column of numbers, 0 or more, that say how much each row counts in training; no feature then."""
    class_weights: Literal["balanced"] | None = None
    """Whether all classes count the same in training, however many rows they have."""
    clamp: bool | Auto = "auto"
    """Whether predicted numbers stay within the range of the training rows; auto: unless the model is linear."""
    synthetic: Synthetic | None = None
    """Size of the synthetic data, where there is no dataset."""
    model: Model = AutoModel()
    """The network; auto, fast and best leave its size to the recipe."""
    epochs: Epochs | Auto = "auto"
    """Passes over the training rows, at most: training may stop early."""
    batch_size: Annotated[int, Meta(ge=1, le=1_048_576)] | Auto = "auto"
    """Rows of one gradient step."""
    lr: Rate | Auto = "auto"
    """Learning rate at its highest, before the schedule lowers it."""
    optimizer: Literal["auto", "adam", "adamw", "sgd"] = "auto"
    """Optimizer of the weights."""
    schedule: Literal["auto", "constant", "cosine", "linear"] = "auto"
    """Course of the learning rate over all epochs."""
    weight_decay: Annotated[float, Meta(ge=0.0, le=10.0)] | Auto = "auto"
    """Weight decay of the optimizer: decoupled in adamw, added to the gradient in adam and sgd."""
    grad_clip: Annotated[float, Meta(gt=0.0, le=1e6)] | None = None
    """Largest norm of the gradient, beyond which it is scaled down; null: not clipped."""
    patience: Patience | Auto | None = "auto"
    """Epochs without a better monitor after which training stops early; null: never."""
    validation: Validation = Validation()
    """Which rows are kept from training."""
    monitor: Monitor = "val_loss"
    """What decides which epoch is best and when to stop early: the validation loss, or a metric on the same rows."""
    seed: Seed = 0
    """Seed of everything random: the same spec on the same data gives the same model."""
    threads: Annotated[int, Meta(ge=1, le=256)] = 1
    """Threads that compute; the job takes that many slots, each of its workers."""
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    """Processes that train the job together, each on its share of every batch."""
    cpus: Annotated[int, Meta(ge=1, le=1_024)] | None = None
    """Cores that the job holds, a slot each; null: one for each thread of each worker."""
    gpus: Annotated[int, Meta(ge=0, le=64)] | None = None
    """GPUs that the job holds; null: one for each worker where device is cuda, or auto takes a GPU."""
    memory: Annotated[int, Meta(ge=16 * 2**20, le=2**50)] | None = None
    """Bytes that the job may allocate, all workers together, and that are set aside for it; null: nothing is."""
    device: Annotated[str, Meta(pattern=r"^(auto|cpu|cuda(:[0-9]{1,2})?)\Z")] = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    checkpoint_every: CheckpointEvery = 30.0
    """Seconds between checkpoints; 0: after each epoch."""
    report_every: ReportEvery = 5
    """Gradient steps between progress events; fewer are sent where they would come too fast."""
    max_seconds: Annotated[float, Meta(gt=0.0, le=31_536_000.0)] | None = None
    """Seconds of running, over all attempts, after which the job fails with timed_out; null: no limit."""
    max_attempts: Annotated[int, Meta(ge=1, le=100)] = 3
    """Deaths of the worker process at which the job fails; 1: none is survived."""
    priority: Priority = 0
    """Place in the queue: higher goes first, equals in order of submission."""
    trainer: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")] = "tabular"
    """Who trains: tabular, or a registered trainer of your own."""
    options: dict[str, Any] = {}
    """Options of a trainer of your own, checked by its own struct."""
    start_from: StartFrom | None = None
    """Begin at a checkpoint of another job; fields left at their defaults are then that job's."""
    name: Name | None = None
    """What people call the job; need not be unique."""
    tags: Tags = ()
    """Words to find the job by."""


class DatasetFile(Struct, frozen=True):
    """One version of a registered data set, as the catalogue placed it."""

    name: str
    """Name of the data set."""
    digest: str
    """Sha256 of the bytes as uploaded, 64 hex digits."""
    path: str
    """Path of the file: absolute in a worker, relative to the root in a job."""
    format: str
    """Format of the file: csv, tsv, jsonl (each also with .gz) or parquet."""
    size_bytes: int
    """Size of the file in bytes."""


class Meeting(Struct, frozen=True):
    """How one process of a job that several machines share finds the others."""

    rank: int
    """Number of this process, from 0."""
    host: str
    """Address of rank 0's machine."""
    port: int
    """Port there on which rank 0 waits for the others."""


class Place(Struct, frozen=True, kw_only=True):
    """Where one attempt reads and writes. A worker writes below these folders only."""

    job_id: str
    """Id of the job."""
    attempt: int
    """Number of the attempt, from 1."""
    attempt_dir: str
    """Folder that the attempt writes to: absolute, exists."""
    files_dir: str | None = None
    """Folder for files that outlive the attempt; null: one below `attempt_dir`."""
    earlier_dirs: tuple[str, ...] = ()
    """Folders of earlier attempts with checkpoints to go on from, newest first."""
    dataset: DatasetFile | None = None
    """File to train on; null: data are made from the spec."""
    cache_dir: str | None = None
    """Folder that keeps encoded tables; null: they are not kept."""
    trainer: str = "traind.trainer.tabular.train:train"
    """The trainer's code, as module:function."""
    members: tuple[tuple[str, str], ...] = ()
    """Of an ensemble: the jobs whose models are its candidates, each with the model's file."""
    keep_checkpoints: int = 2
    """Checkpoints kept beside the best one and those that the trainer pinned."""
    ran_s: float = 0.0
    """Seconds that earlier attempts were running; counts towards max_seconds."""
    changes: tuple[RequestedChange, ...] = ()
    """Changes of settings that were requested so far, in order; those taken up are taken up again at their step."""
    finish: bool = False
    """Whether to take no step and make the model from the newest checkpoint."""
    device: str | None = None
    """Device that the job was given, as torch names it: cpu or cuda; null: the job looks for itself."""
    device_name: str | None = None
    """The GPU by its maker's name; null on a CPU."""
    visible_devices: str | None = None
    """What CUDA_VISIBLE_DEVICES is set to before torch looks: the job's own GPU, or nothing; null: as it was."""
    meeting: Meeting | None = None
    """Of a job that several machines share: which of its processes this is; null: the others are its children."""


class Assignment(Struct, frozen=True):
    """What a worker is handed: a file in the attempt's folder, since big arguments stick in a pool's pipes."""

    spec: TrainSpec
    """What to do."""
    place: Place
    """Where to do it."""
