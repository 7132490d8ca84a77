"""What a table's columns are, and why: kinds, roles, the target's task. Plain values throughout, JSON as they are."""

from typing import Literal

from msgspec import Struct

from traind.data.table.cell_text import number_of
from traind.data.table.numbers import Style, legacy_style, read

Kind = Literal["numeric", "categorical", "boolean", "datetime", "text", "ignore"]
Override = Literal["numeric", "categorical", "boolean", "datetime", "text", "ignore", "duration"]
Role = Literal["feature", "target", "ignored"]
Task = Literal["regression", "binary", "multiclass"]


class Column(Struct, frozen=True, kw_only=True):
    """One column: its kind with the evidence for it, and what it is used for."""

    name: str
    kind: Kind
    evidence: str
    role: Role = "feature"
    role_reason: str = ""
    missing: int = 0  # cells
    distinct: int = 0  # values; an estimate where there are very many
    day_order: Literal["dmy", "mdy"] = "dmy"  # of datetimes written 01/02/2003
    has_decimal_comma: bool = False  # in models of 0.1.0; now a style says it
    mark: str | None = None  # the same: of numbers with a mark, "" where only thousands are set apart
    style: Style | None = None  # of numbers that are not plainly written
    words: tuple[str, ...] = ()  # that stand among numbers or times, each a feature of its own
    missing_words: tuple[str, ...] = ()  # that mean none in this table, as the options of reading say
    undecided: Literal["", "code", "counter"] = ""  # what its digits may be too: the target decides

    def number(self, text: str) -> float | None:
        """Return the number in a stripped cell, NaN where the text stands for a missing one, None if it is none."""
        style = self.number_style
        number = None if style is None else read(text, style)
        return number_of(text) if number is None else number

    @property
    def number_style(self) -> Style | None:
        """Return how its numbers are written; None where plainly."""
        if self.style is None and (self.mark is not None or self.has_decimal_comma):
            return legacy_style(self.mark or "", has_decimal_comma=self.has_decimal_comma)
        return self.style


class Remark(Struct, frozen=True):
    """Something about the table that a person should know."""

    code: str  # constant, identifier, leak, imbalance, high_cardinality, missing_target, mixed, infinite, ...
    message: str
    column: str | None = None


class Schema(Struct, frozen=True, kw_only=True):
    """The table as it will be used."""

    n_rows: int  # with a target
    target: str
    task: Task
    task_reason: str
    labels: tuple[str, ...] = ()  # classes in the order of their indices, as they stood in the file
    columns: tuple[Column, ...] = ()
    warnings: tuple[Remark, ...] = ()

    def features(self) -> tuple[Column, ...]:
        """Return the columns that the model sees."""
        return tuple(column for column in self.columns if column.role == "feature")
