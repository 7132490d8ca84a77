"""The request for a table: the target, the features and their kinds, the split."""

from typing import Literal

from msgspec import Struct

from traind.data.table.schema import Override

SplitKind = Literal["auto", "random", "stratified", "time", "group"]


class Split(Struct, frozen=True):
    """How to split. `column` orders the rows of a `time` split and names the groups of a `group` split."""

    fraction: float = 0.2
    test_fraction: float = 0.0
    kind: SplitKind = "auto"
    column: str | None = None
    seed: int = 0


class Request(Struct, frozen=True, kw_only=True):
    """The choices of target, features and split. Without a target it is the last column."""

    target: str | None = None
    task: Literal["auto", "regression", "binary", "multiclass"] = "auto"
    features: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    columns: dict[str, Override] = {}
    validation: Split = Split()
    positive: str | None = None  # of two classes, the one with index 1
    weight: str | None = None  # column of row weights
    class_weights: str | None = None  # "balanced"
    is_linear: bool = False  # numbers are scaled but not clipped
