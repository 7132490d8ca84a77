"""The request for a study, as it is sent. `space` interprets it."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from traind.trainer.contract.spec import Auto, Monitor, Name, Seed, TrainSpec

Number = int | float
Step = Annotated[int, Meta(gt=0)] | Annotated[float, Meta(gt=0.0)]
FieldPath = Annotated[str, Meta(min_length=1, max_length=200)]
StudyId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,48}\Z", max_length=48)]
Direction = Literal["minimize", "maximize"]
Sampler = Literal["tpe", "random"]
Pruner = Literal["median", "halving", "none"]


class Dimension(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The values of a field in trials: numbers from `low` to `high`, or one of `choices`."""

    low: Number | None = None
    """Smallest value, inclusive."""
    high: Number | None = None
    """Largest value, inclusive."""
    log: bool = False
    """Whether to search on a logarithmic scale, for ranges of several powers of ten."""
    step: Step | None = None
    """Distance between the values, from `low` on; null: any value."""
    choices: Annotated[list[Any], Meta(min_length=1, max_length=200)] | None = None
    """The values, each valid for the field."""


Space = Annotated[dict[FieldPath, Dimension], Meta(min_length=1, max_length=50)]


class StudyRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A study: its space, its metric and its limits."""

    name: Name | None = None
    """Name of the study; need not be unique."""
    spec: TrainSpec = TrainSpec()
    """Spec of every trial, except for the fields of the space."""
    space: Space | Auto = "auto"
    """Searched fields, such as lr, model.dropout or options.NAME, with ranges or choices; auto: the usual ones."""
    trials: Annotated[int, Meta(ge=1, le=10_000)] = 50
    """Most trials to make."""
    max_seconds: Annotated[float, Meta(gt=0.0, le=31_536_000.0)] | None = None
    """Seconds of running after which no trial is begun and running ones keep their best; null: no limit."""
    parallel: Annotated[int, Meta(ge=1, le=1_024)] | None = None
    """Trials at once; null: one for each slot, and one that waits, so that no slot is idle."""
    metric: Monitor = "val_loss"
    """Metric to compare trials by, on the validation rows: val_loss or another."""
    direction: Direction | None = None
    """Whether to minimise or maximise the metric; null: as usual for it; unknown ones are minimised."""
    sampler: Sampler = "tpe"
    """How trials are suggested: tpe (a tree-structured Parzen estimator on earlier trials) or random."""
    pruner: Pruner = "median"
    """Which trials are pruned: those worse than the median at the same epoch, by successive halving, or none."""
    seed: Seed = 0
    """Seed of the suggestions: with one trial at a time, the same seed makes the same study."""
    ensemble: bool | Auto = "auto"
    """Whether to make an ensemble of the trials' models at the end; auto: with the built-in trainer."""


class SubmitStudy(StudyRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A study, and optionally an id, with which repeating the request gives the same study."""

    study_id: StudyId | None = None
    """Your own id for the study: the same request again is then the same study."""
