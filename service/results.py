"""The results of calls, other than jobs and events. The service, HTTP and the clients share these."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from traind.service.jobs.job import Job
from traind.trainer.contract.events import Status
from traind.trainer.contract.spec import DatasetName

Metric = Annotated[str, Meta(pattern=r"^(rmse|mae|r2|accuracy|f1|auc|log_loss)\Z")]


class JobPage(Struct, frozen=True):
    """Jobs, newest first; `next` is the `after` of the next page, None on the last one."""

    jobs: list[Job]
    """The jobs, newest first unless sorted otherwise."""
    next: str | int | None = None
    """The `after` of the next page; null on the last one."""


class Controlled(Struct, frozen=True, kw_only=True):
    """A change of a running job's settings, as it stands."""

    job_id: str
    """Id of the job."""
    status: Status
    """State that the job is in."""
    number: int
    """Number of the change in the job, from 1."""
    step: int | None = None
    """Gradient steps taken before it was applied; null: it waits, and a `control` event will say the step."""


class EventPage(Struct, frozen=True):
    """Events of a job as JSON objects, in order; `last_seq` is the job's newest, shown or not."""

    events: list[bytes]
    """The events in order, each as JSON."""
    last_seq: int
    """Number of the job's newest event, shown or not."""


class LogPage(Struct, frozen=True):
    """A piece of what a job printed."""

    logs: str
    """What it printed, attempts in order."""
    next: str
    """The `after` of the next piece, which may not be written yet."""


class JobFile(Struct, frozen=True):
    """A file that a job's trainer wrote."""

    name: str
    """Path below the job's folder: files/... is kept with the job, attempt-N/... with that attempt."""
    size_bytes: int
    """Size in bytes."""
    modified_at: float
    """When it was last written, in seconds since 1970 (UTC)."""


class FilePage(Struct, frozen=True):
    """Files by name; `next` is the `after` of the next page, None on the last one."""

    files: list[JobFile]
    """The files, by name."""
    next: str | None = None
    """The `after` of the next page; null on the last one."""


class Figures(Struct, frozen=True):
    """Counters for `/metrics`, beside the service's health."""

    jobs: dict[str, int]
    """Jobs on record by state."""
    samples_per_s: float
    """Training rows a second of all running jobs together."""
    thinned: int
    """Progress events that those who watch all jobs were not sent, since the start."""
    dropped: int
    """Watchers that were too slow and were cut off, since the start."""
    lost_workers: dict[str, int]
    """Workers that died before they had a job, by what they were doing, since the start."""


class DatasetPage(Struct, frozen=True):
    """Data sets by name, their summaries in short; `next` is the `after` of the next page, None on the last one."""

    datasets: list["Dataset"]
    """The data sets, by name."""
    next: str | None = None
    """The `after` of the next page; null on the last one."""


class Prediction(Struct, frozen=True, omit_defaults=True):
    """One prediction a row, labels in the type they had; `probabilities` by label, for classes only."""

    predictions: list[Any]
    """One prediction a row, labels in the type they had."""
    probabilities: list[dict[str, float]] | None = None
    """For classes, the probability of each label a row, 0 to 1; null for numbers."""
    intervals: list[list[float]] | None = None
    """Lower and upper end of the interval around each predicted number, in its own unit; null where not asked for."""
    labels: list[str] | None = None
    """Predicted classes as texts, where they are numbers or booleans."""
    notes: list[list[str]] | None = None
    """Why a prediction is less certain, by row: clamped, unseen, outside of the training rows, missing."""
    noted: dict[str, int] | None = None
    """Rows with a note, by its kind."""
    job_id: str | None = None
    """Job whose model predicted them; for an alias the job it pointed at."""


class LeftOut(Struct, frozen=True):
    """Rows of a table that could not be evaluated."""

    reason: str
    """Why, in words."""
    rows: int
    """How many."""


class Score(Struct, frozen=True, omit_defaults=True):
    """How good a model is on a labelled table."""

    job_id: str
    """Job whose model it is; for an alias the job it pointed at."""
    task: str
    """Task of the model: regression, binary or multiclass."""
    target: str
    """Column that was predicted."""
    rows: int
    """Rows that were evaluated."""
    left_out: list[LeftOut]
    """Rows that were not, by reason."""
    metrics: dict[str, float | None]
    """Metrics by name; null: not defined on these rows."""
    baseline: dict[str, float | None]
    """Metrics of predicting the mean of this table's target, or its class shares, for every row."""
    confusion: dict[str, Any] | None = None
    """For classes: `labels`, and `counts[actual][predicted]`."""
    residuals: dict[str, float] | None = None
    """For numbers: quantiles of prediction minus target."""


class IfBetter(Struct, frozen=True, forbid_unknown_fields=True):
    """The condition of a promotion: the new model is better than the alias's on the same table."""

    dataset: DatasetName
    """Registered data set with the target, preferably of rows that neither model was trained on."""
    metric: Metric
    """Metric of the task: rmse, mae, r2, or accuracy, f1, auc, log_loss; the better direction is known."""
    by: Annotated[float, Meta(ge=0.0, le=1e12)] = 0.0
    """How much better it must be, in the metric's unit, 0 to 1e12; 0: by any amount."""


class Comparison(Struct, frozen=True):
    """Two models evaluated on one table."""

    dataset: str
    """Name of the data set."""
    digest: str
    """Its version: sha256 of its bytes, hex."""
    metric: str
    """Metric that was compared."""
    job_id: str
    """Job of the new model, the challenger."""
    score: float | None
    """The metric of its model; null: not defined on these rows."""
    before_job_id: str | None = None
    """Job that the alias pointed at before, the champion; null: none with a model."""
    before: float | None = None
    """The metric of that job's model."""


class AliasMove(Struct, frozen=True, omit_defaults=True):
    """One move of an alias."""

    job_id: str | None
    """Job that it pointed at from then on; null: nothing."""
    at: float
    """When, in seconds since 1970 (UTC)."""
    comparison: Comparison | None = None
    """The scores that decided it; null: moved without a condition."""


class Alias(Struct, frozen=True):
    """An alias and where it has pointed."""

    name: str
    """The alias."""
    job_id: str | None
    """Job that it points at now; null: nothing."""
    history: list[AliasMove]
    """Its moves, oldest first."""


class AliasSet(Struct, frozen=True, omit_defaults=True):
    """The result of setting an alias."""

    name: str
    """The alias."""
    job_id: str
    """Job that it points at now."""
    is_moved: bool = True
    """False: it pointed at that job before."""
    comparison: Comparison | None = None
    """The scores that decided it; null: without a condition."""


class Dataset(Struct, frozen=True):
    """The newest version of a registered data set."""

    name: str
    """Name of the data set."""
    digest: str
    """Sha256 of the bytes as uploaded, 64 hex digits."""
    format: str
    """Format of the file: csv, tsv, jsonl (each also with .gz), parquet and others, with how it is read."""
    size_bytes: int
    """Size of the file in bytes."""
    created_at: float | None = None
    """When it was uploaded, in seconds since 1970 (UTC)."""
    versions: list[str] = []
    """Digests of all its versions, newest first."""
    summary: dict[str, Any] = {}
    """Rows, columns with kind and evidence, and warnings."""
