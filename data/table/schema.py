"""What a table's columns are, and why: kinds, roles, the target's task. Plain values throughout, JSON as they are."""

from typing import Literal

from msgspec import Struct

from traind.data.table.cell_text import number_of
from traind.data.table.units import number_with_unit

Kind = Literal["numeric", "categorical", "boolean", "datetime", "text", "ignore"]
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
    has_decimal_comma: bool = False
    mark: str | None = None  # of numbers with one: "$", "%", "month"; "" where only thousands are set apart

    def number(self, text: str) -> float | None:
        """Return the number in a stripped cell, NaN where the text stands for a missing one, None if it is none."""
        if self.mark is not None:
            number = number_with_unit(text, self.mark, has_decimal_comma=self.has_decimal_comma)
            return number_of(text) if number is None else number
        return number_of(text.replace(",", ".") if self.has_decimal_comma else text)


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
