"""What a study is asked to do, as it is sent. What it means is in `space`."""

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
    """What a field of the spec may be in a trial: a number from `low` to `high`, or one of `choices`."""

    low: Number | None = None
    """Smallest value, itself included."""
    high: Number | None = None
    """Largest value, itself included."""
    log: bool = False
    """Whether the logarithm is searched evenly: for what spans several powers of ten."""
    step: Step | None = None
    """Distance between values that are tried, from `low`; null: any."""
    choices: Annotated[list[Any], Meta(min_length=1, max_length=200)] | None = None
    """Values that are tried, each as the field takes it."""


Space = Annotated[dict[FieldPath, Dimension], Meta(min_length=1, max_length=50)]


class StudyRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a study looks for, where, and for how long."""

    name: Name | None = None
    """What people call the study; need not be unique."""
    spec: TrainSpec = TrainSpec()
    """What every trial trains, but for the fields of the space."""
    space: Space | Auto = "auto"
    """Fields that are searched, such as lr, model.dropout or options.NAME, and what each may be; auto: usual ones."""
    trials: Annotated[int, Meta(ge=1, le=10_000)] = 50
    """Trials to make, at most."""
    max_seconds: Annotated[float, Meta(gt=0.0, le=31_536_000.0)] | None = None
    """Seconds of running after which no trial is begun and running ones keep their best; null: no limit."""
    parallel: Annotated[int, Meta(ge=1, le=1_024)] | None = None
    """Trials at once; null: as many as there are slots, and one that waits, so that no slot does."""
    metric: Monitor = "val_loss"
    """What trials are compared by: the validation loss, or a metric on the validation rows."""
    direction: Direction | None = None
    """Whether less or more of the metric is better; null: as is usual for it, and less of one that is not known."""
    sampler: Sampler = "tpe"
    """Who suggests: a tree-structured Parzen estimator, which learns from the trials before, or chance."""
    pruner: Pruner = "median"
    """Which trials end early: those worse than the median of others at that epoch, or by successive halving."""
    seed: Seed = 0
    """Seed of the suggestions: with one trial at a time, the same seed makes the same study."""
    ensemble: bool | Auto = "auto"
    """Whether the trials' models become one at the end; auto: where the built-in trainer made them."""


class SubmitStudy(StudyRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A study, and the id that the client wants for it: the same request again is then the same study."""

    study_id: StudyId | None = None
    """Id of your own for the study: the same request again is then the same study."""
