"""What a list of jobs may be filtered by, and in which order it is. Knows no SQL; `record/index.py` does."""

from typing import Annotated, TypedDict

from msgspec import Meta, Struct

from traind.trainer.contract.spec import DatasetName, Name

Tag = Annotated[str, Meta(min_length=1, max_length=100, description="only jobs with this tag")]
OfDataset = Annotated[DatasetName, Meta(description="only jobs on this data set, any version")]
Named = Annotated[Name, Meta(description="only jobs whose name holds this text, large and small letters alike")]
OfTrainer = Annotated[str, Meta(min_length=1, max_length=64, description="only jobs of this trainer")]
OfStudy = Annotated[
    str, Meta(min_length=1, max_length=64, description="only this study's trials; else none are listed")
]
_SORT = "created: oldest first; -created: newest first; metric:NAME: the best first, then those without it"
Sort = Annotated[str, Meta(pattern=r"^(-?created|metric:[A-Za-z][A-Za-z0-9_.@/-]{0,63})\Z", description=_SORT)]
NEWEST_FIRST = "-created"


class Listing(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which jobs, and in which order."""

    tag: Tag | None = None
    dataset: OfDataset | None = None
    name: Named | None = None
    trainer: OfTrainer | None = None
    study: OfStudy | None = None
    sort: Sort = NEWEST_FIRST

    @property
    def metric(self) -> str | None:
        """The metric to sort by, if any."""
        return self.sort.removeprefix("metric:") if self.sort.startswith("metric:") else None


class Filters(TypedDict, total=False):
    """The fields of a `Listing` as keyword arguments."""

    tag: str | None
    dataset: str | None
    name: str | None
    trainer: str | None
    study: str | None
    sort: str
