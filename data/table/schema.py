"""The schema of a table: kinds and roles of columns with the reasons, and the task. Plain values, for JSON."""

from typing import Literal

from msgspec import Struct

from traind.data.table.cell_text import number_of
from traind.data.table.numbers import Style, legacy_style, read

Kind = Literal["numeric", "categorical", "boolean", "datetime", "text", "ignore"]
Override = Literal["numeric", "categorical", "boolean", "datetime", "text", "ignore", "duration"]
Role = Literal["feature", "target", "ignored"]
Task = Literal["regression", "binary", "multiclass"]
Goal = Literal["regression", "classes"]


class Column(Struct, frozen=True, kw_only=True):
    """One column: its kind with the evidence for it, and what it is used for."""

    name: str
    kind: Kind
    evidence: str
    role: Role = "feature"
    role_reason: str = ""
    missing: int = 0  # number of missing cells
    distinct: int = 0  # number of distinct values, an estimate for very many
    day_order: Literal["dmy", "mdy"] = "dmy"  # of datetimes written 01/02/2003
    has_decimal_comma: bool = False  # only in models of 0.1.0; now part of the style
    mark: str | None = None  # only in models of 0.1.0: the mark of numbers, "" for thousands separators only
    style: Style | None = None  # of numbers with marks or units
    words: tuple[str, ...] = ()  # words among numbers or times, each a feature
    missing_words: tuple[str, ...] = ()  # words for missing, from the reading options
    undecided: Literal["", "code", "counter"] = ""  # what else the column may be; the target decides

    def number(self, text: str) -> float | None:
        """Return the number in a stripped cell, NaN where the text stands for a missing one, None if it is none."""
        style = self.number_style
        number = None if style is None else read(text, style)
        return number_of(text) if number is None else number

    @property
    def number_style(self) -> Style | None:
        """Return the style of its numbers; None for plain ones."""
        if self.style is None and (self.mark is not None or self.has_decimal_comma):
            return legacy_style(self.mark or "", has_decimal_comma=self.has_decimal_comma)
        return self.style


class Remark(Struct, frozen=True):
    """A warning about the table."""

    code: str  # constant, identifier, leak, imbalance, high_cardinality, missing_target, mixed, infinite, ...
    message: str
    column: str | None = None


class Schema(Struct, frozen=True, kw_only=True):
    """The columns of a table and their use."""

    n_rows: int  # rows with a target
    target: str
    task: Task
    task_reason: str
    labels: tuple[str, ...] = ()  # classes in the order of their indices, as in the file
    columns: tuple[Column, ...] = ()
    warnings: tuple[Remark, ...] = ()

    def features(self) -> tuple[Column, ...]:
        """Return the features."""
        return tuple(column for column in self.columns if column.role == "feature")
