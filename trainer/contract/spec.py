"""What a job is asked to do (`TrainSpec`), where it is done (`Place`) and what it says (the events).

The border between service and worker: frozen msgspec structs, JSON on the wire, no torch. Validation is by
`msgspec.convert`, never by constructing: constructors do not check.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Auto = Literal["auto"]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
ColumnName = Annotated[str, Meta(min_length=1, max_length=1_000)]
ColumnKind = Literal["numeric", "categorical", "boolean", "datetime", "text", "ignore"]
DatasetName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z", max_length=64)]
JOB_ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}\Z"
JobId = Annotated[str, Meta(pattern=JOB_ID_PATTERN, max_length=64)]
Fraction = Annotated[float, Meta(ge=0.0, lt=1.0)]
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


class Status(StrEnum):
    """The states of a job."""

    QUEUED = "QUEUED"  # accepted, durable, waiting for a slot
    STARTING = "STARTING"  # a worker has it
    LOADING = "LOADING"  # reading and encoding the data
    RUNNING = "RUNNING"  # gradient steps
    PAUSED = "PAUSED"  # checkpoint written, slot free
    COMPLETED = "COMPLETED"  # ran to its end; model saved
    STOPPED = "STOPPED"  # a user stopped it; the best model so far is saved
    CANCELLED = "CANCELLED"  # a user discarded it; nothing kept but the record
    FAILED = "FAILED"  # with error; the last good model, if any, kept


class Failure(Struct, frozen=True, omit_defaults=True):
    """Why a job failed: a stable code, a sentence, what to do about it, and its own last lines of output."""

    code: str
    message: str
    hint: str | None = None
    details: list[dict[str, Any]] = []  # bad cells: line, column, value, message
    output: str | None = None  # the last lines of the job's own traceback or output


class Result(Struct, frozen=True, omit_defaults=True):
    """What a finished attempt leaves behind. `model_path` is below the attempt's folder until it is published."""

    model_path: str | None = None
    weights_digest: str | None = None  # sha256 of the final weights
    metrics: dict[str, Any] = {}  # {"train": {...}, "validation": {...}, "baseline": {...}, "test": {...}}
    best_epoch: int | None = None
    report: dict[str, Any] = {}  # schema with evidence, warnings, importance, confusion or residuals, recipe


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What every event has. The worker leaves `seq` and `job_id` out; the engine gives them."""

    seq: int = 0
    job_id: str = ""
    ts: float = 0.0  # seconds since 1970


class State(Event, frozen=True, kw_only=True, omit_defaults=True, tag="state"):
    """The job entered `status`."""

    status: Status
    message: str = ""
    reason: str | None = None  # of PAUSED: user, disk_full; of QUEUED: resumed, server_restart, worker_died, ...
    attempt: int | None = None
    pid: int | None = None
    total_steps: int | None = None
    resumed_from_step: int | None = None
    bit_exact: bool | None = None  # False: resumed under other versions, device or threads
    epochs: int | None = None  # as chosen, where the spec said auto, or as extended
    error: Failure | None = None
    result: Result | None = None
    timings: dict[str, float] = {}


class Progress(Event, frozen=True, kw_only=True, omit_defaults=True, tag="progress"):
    """Where training is. `loss` is the mean over the rows since the last progress event; null if not finite."""

    attempt: int
    epoch: int  # from 1
    step: int  # gradient steps so far, over the whole job
    total_steps: int | None
    progress: float  # 0 to 100
    loss: float | None
    diverged: bool = False
    lr: float | None = None
    samples_per_s: float | None = None  # rows over time in steps, reports and stop checks
    wall_samples_per_s: float | None = None  # with everything
    metrics: dict[str, float | None] = {}  # what a trainer reports beside the loss


class Epoch(Event, frozen=True, kw_only=True, omit_defaults=True, tag="epoch"):
    """An epoch ended: `metrics` on the validation rows, `is_best` when the model of this epoch is kept."""

    attempt: int
    epoch: int
    epochs: int | None
    step: int
    train_loss: float | None
    metrics: dict[str, float | None] = {}
    is_best: bool = False
    lr: float | None = None
    samples_per_s: float | None = None


class Checkpoint(Event, frozen=True, kw_only=True, omit_defaults=True, tag="checkpoint"):
    """A checkpoint is whole on disk. `path` is its file, absolute in the worker, relative to the root outside."""

    attempt: int
    step: int
    path: str
    epoch: int | None = None
    seconds: float | None = None  # what writing it took


class Log(Event, frozen=True, kw_only=True, omit_defaults=True, tag="log"):
    """Something a person should read: a warning about a column, a rollback, a changed default."""

    message: str
    level: Literal["info", "warning", "error"] = "info"
    attempt: int | None = None


class Metric(Event, frozen=True, kw_only=True, omit_defaults=True, tag="metric"):
    """Custom numbers of a trainer, outside progress and epochs."""

    attempt: int
    step: int
    values: dict[str, float | None]


class ControlAsked(Event, frozen=True, kw_only=True, omit_defaults=True, tag="control"):
    """A verb was recorded: what the user (or the server) asked of the job."""

    verb: Literal["stop", "pause", "resume", "cancel"]
    epochs: int | None = None


AnyEvent = State | Progress | Epoch | Checkpoint | Log | Metric | ControlAsked

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEvent)


def encode_event(event: AnyEvent) -> bytes:
    """Return the event as one JSON object; NaN and infinities become null."""
    return _encoder.encode(event)


def decode_event(data: bytes | str) -> AnyEvent:
    """Return the event in one JSON object, or raise `msgspec.ValidationError`."""
    event: AnyEvent = _decoder.decode(data)
    return event
