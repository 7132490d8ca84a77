"""The queries and JSON bodies of all calls, checked by `validate.parse`. OpenAPI is made from these types."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from traind.service.jobs.listing import Listing, Named, OfDataset, OfStudy, OfTrainer, Sort, Tag
from traind.service.results import IfBetter
from traind.trainer.contract.change import Change
from traind.trainer.contract.events import Status
from traind.trainer.contract.spec import ColumnName, DatasetName, TrainSpec

AnyJobId = Annotated[str, Meta(min_length=1, max_length=200, description="id of a job")]
_STATE = "|".join(Status)
_STATES = f"one of {', '.join(Status)}, or several by commas"
States = Annotated[str, Meta(pattern=rf"^({_STATE})(,({_STATE}))*\Z", max_length=200, description=_STATES)]


class JobRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The job of a verb."""

    job_id: AnyJobId
    """Id of the job."""


class ResumeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The job to continue, if wanted with another number of epochs."""

    job_id: AnyJobId
    """Id of the job to continue."""
    epochs: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    """New number of all epochs; null: as before."""


class ControlRequest(Change, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A running job, and the settings to change from its next step on."""

    job_id: AnyJobId
    """Id of the job."""


Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Cell = str | Whole | float | bool | list[Any] | dict[str, Any] | None


Level = Annotated[float, Meta(gt=0, lt=1)]


class PredictRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Rows as objects by column, or columns as lists; one of the two. Columns unknown to the model are ignored."""

    rows: list[dict[ColumnName, Cell]] | UnsetType = UNSET
    """Rows as objects by column; this or columns."""
    columns: dict[ColumnName, list[Cell]] | UnsetType = UNSET
    """Columns as lists of cells, all of one length; this or rows."""
    interval: Level | UnsetType | None = UNSET
    """Share of the true values that the intervals around predictions are to contain, such as 0.9; null: none."""


class JobQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """One job."""

    job_id: AnyJobId
    """Id of the job."""


class TrainQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether to train, or only to answer what would be done."""

    dry_run: Annotated[bool, Meta(description="answer what would be done, and train nothing")] = False
    """Whether to answer what would be done, and train nothing."""


_AFTER = r"^(([-+.0-9e]{1,30}|none):)?[0-9]{1,16}\Z"
After = Annotated[str, Meta(pattern=_AFTER, max_length=48, description="`next` of the last page")]


class JobsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The page of jobs, its filters and its order."""

    status: States | UnsetType = UNSET
    """State, or several separated by commas."""
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    """Most jobs of a page."""
    after: After | UnsetType = UNSET
    """Where the page begins: `next` of the last page."""
    tag: Tag | UnsetType = UNSET
    """Only jobs with this tag."""
    dataset: OfDataset | UnsetType = UNSET
    """Only jobs on this data set."""
    name: Named | UnsetType = UNSET
    """Only jobs whose name has this text."""
    trainer: OfTrainer | UnsetType = UNSET
    """Only jobs of this trainer."""
    study: OfStudy | UnsetType = UNSET
    """Only jobs of this study."""
    sort: Sort | UnsetType = UNSET
    """Order of the jobs: by age, or by a metric with the best first."""

    @property
    def filters(self) -> dict[str, str]:
        """Which jobs, and in which order."""
        asked = {name: getattr(self, name) for name in Listing.__struct_fields__}
        return {name: value for name, value in asked.items() if value is not UNSET}


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events of a job."""

    job_id: AnyJobId
    """Id of the job."""
    after: Annotated[int, Meta(ge=0, le=2**53, description="the last seq that was seen")] = 0
    """Number of the last event that was seen; 0: from the first."""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    """Most events of a page."""


class SocketQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """One job's events, or without `job_id` the states of all."""

    job_id: AnyJobId | UnsetType = UNSET
    """Id of the job; without it, the states of all jobs."""
    after: Annotated[int, Meta(ge=0, le=2**53, description="the last seq that was seen")] = 0
    """Number of the last event that was seen; 0: from the first."""


class LogsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The part of a job's output: its end, or what follows the last answer."""

    job_id: AnyJobId
    """Id of the job."""
    limit_bytes: Annotated[int, Meta(ge=1, le=1_048_576)] = 65_536
    """Most bytes, from the end or from `after` on."""
    after: Annotated[str, Meta(pattern=r"^[0-9]{1,9}:[0-9]{1,15}\Z", max_length=25)] | UnsetType = UNSET
    """The `next` of the last answer, for what was printed since; without it, the end of the output."""


FileName = Annotated[str, Meta(min_length=1, max_length=4_096)]


class FilesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which page of a job's files."""

    job_id: AnyJobId
    """Id of the job."""
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 1_000
    """Most files of a page."""
    after: FileName | UnsetType = UNSET
    """Where the page begins: `next` of the last page."""


class FileQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a job."""

    job_id: AnyJobId
    """Id of the job."""
    name: FileName
    """Name of the file, as in the list of files."""


class ExportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The format of a model."""

    format: Literal["onnx", "safetensors"]
    """Format of the file."""


class DatasetsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which page of data sets."""

    limit: Annotated[int, Meta(ge=1, le=1_000, description="data sets in the answer, at most")] = 1_000
    """Most data sets of a page."""
    after: Annotated[DatasetName, Meta(description="`next` of the last page")] | UnsetType = UNSET
    """Where the page begins: `next` of the last page."""


class DatasetQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The part of a data set's columns."""

    columns_after: Annotated[int, Meta(ge=0, le=100_000, description="number of columns to leave out")] = 0
    """Number of columns to leave out before the first one shown."""


class PreviewQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How many rows to show."""

    rows: Annotated[int, Meta(ge=1, le=1_000)] = 20
    """Rows to show."""


class HealthQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """With `ready`, the answer is 503 unless submitted jobs would run."""

    ready: Annotated[str, Meta(description="any value, or none, asks for readiness")] | UnsetType = UNSET
    """Any value, or none: asks whether jobs are taken."""


class NoQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class SubmitRequest(TrainSpec, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A spec, and optionally an id, with which repeating the call gives the same job."""

    job_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z", max_length=64)] | None = None
    """Your own id for the job: the same submit again is then the same job."""


class CurveQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The job and the resolution of its curves."""

    job_id: AnyJobId
    """Id of the job."""
    points: Annotated[int, Meta(ge=10, le=5_000, description="about how many points a curve")] = 800
    """About how many points a curve has."""
    series: (
        Annotated[str, Meta(min_length=1, max_length=2_000, description="names by commas; none: all")] | UnsetType
    ) = UNSET
    """Names of the curves, separated by commas; without it, all."""
    status: Annotated[bool, Meta(description="answer the job's status too")] = False
    """Whether the job's status is answered beside its curves."""


class AliasPath(Struct, frozen=True):
    """An alias in a path."""

    name: DatasetName
    """The alias."""


class AliasRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The job to point an alias at."""

    job_id: AnyJobId
    """Job with a finished model, or another alias of one."""
    if_better: IfBetter | None = None
    """Move only if the job's model scores better than the alias's; null: in any case."""


class EvaluateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The registered table to evaluate a model on."""

    dataset: DatasetName
    """Name of a registered data set that has the target."""
