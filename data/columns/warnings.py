"""What a person should know about a table's columns before training on it."""

from collections.abc import Iterable

from traind.data.columns.profile import Profile
from traind.data.table.schema import Column, Remark, Task

NEARLY = 0.999  # share of one value from which a column is nearly constant
MANY = 1_000  # distinct values of a category from which it is remarked on

_ASKED_FOR = {"as set by the request", "not among the requested features", "names the groups of the split"}
_CODES = {"constant": "constant", "identifier": "identifier", "every cell is missing": "empty"}


def remarks_on(columns: Iterable[Column], profiles: dict[str, Profile]) -> list[Remark]:
    """Return the remarks on these columns."""
    found: list[Remark] = []
    for column in columns:
        found += _remarks(column, profiles[column.name])
    return found


def _remarks(column: Column, facts: Profile) -> list[Remark]:
    name, left_out = column.name, f"{column.name!r} is left out: {column.evidence}"
    if column.role == "target" or column.role_reason in _ASKED_FOR:
        return []
    if column.role == "ignored":
        is_mixed = column.kind == "text" and _is_mixed(facts)
        code = "mixed" if is_mixed else _CODES.get(column.role_reason, column.kind)
        return [Remark(code, left_out, name)]
    if column.kind == "categorical" and column.distinct > MANY:
        return [Remark("high_cardinality", f"{name!r} has {column.distinct:,} distinct values", name)]
    if column.kind == "numeric" and facts.infinite:
        return [Remark("infinite", f"{name!r} is infinite in {facts.infinite:,} row(s): read as very large", name)]
    if column.kind == "categorical" and _is_mixed(facts):
        return [Remark("mixed", f"{name!r} mixes numbers and text, and is read as text: {column.evidence}", name)]
    if facts.is_counted and facts.levels and facts.levels[0][1] >= NEARLY * facts.n_rows:
        text, n = facts.levels[0]
        return [Remark("nearly_constant", f"{name!r} is {text!r} in {n / facts.n_rows:.2%} of the rows", name)]
    if "assumed" in column.evidence:
        return [Remark("day_order", f"{name!r}: {column.evidence}", name)]
    return []


def _is_mixed(facts: Profile) -> bool:
    return facts.present < 2 * facts.numbers and facts.numbers < facts.present


def remarks_on_target(facts: Profile, task: Task) -> list[Remark]:
    """Return the remarks on the target's cells."""
    found = []
    if facts.missing:
        message = f"{facts.missing:,} rows without {facts.name!r}, the target, are left out"
        found.append(Remark("missing_target", message, facts.name))
    if task == "regression":
        return found
    once = [text for text, n in facts.levels if n == 1]
    if once:
        named = ", ".join(map(repr, once[:5])) + (f" and {len(once) - 5} more" if len(once) > 5 else "")
        message = f"only one row is of class {named}: it is trained on and cannot be validated"
        return [*found, Remark("rare_class", message, facts.name)]
    text, least = min(facts.levels, key=lambda level: level[1])
    if least * 20 < facts.present:
        found.append(Remark("imbalance", f"only {least / facts.present:.1%} of the rows are {text!r}", facts.name))
    return found
