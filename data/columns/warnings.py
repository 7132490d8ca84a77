"""Warnings about a table's columns."""

from collections.abc import Iterable

from traind.data.columns.profile import Profile
from traind.data.table.schema import Column, Remark, Task

NEARLY = 0.999  # share of one value from which a column is nearly constant
MANY = 1_000  # distinct values of a category from which there is a warning
MANY_CLASSES = 20  # distinct integers of a target from which they are unlikely classes
ONE_WORD = 0.9  # share of one-word cells from which text is called codes
_IMBALANCE = 0.05  # share of the rarest class below which there is a warning

_ASKED_FOR = {"as set by the request", "not among the requested features", "names the groups of the split"}
_ASKED_FOR |= {"says how much rows count"}
_CODES = {"constant": "constant", "identifier": "identifier", "every cell is missing": "empty", "index": "index"}


def remarks_on(columns: Iterable[Column], profiles: dict[str, Profile]) -> list[Remark]:
    """Return the warnings about these columns."""
    found: list[Remark] = []
    for column in columns:
        facts = profiles[column.name]
        if column.role_reason not in _ASKED_FOR and facts.missing_words:
            words = ", ".join(f"{text!r} ({n:,})" for text, n in facts.missing_words)
            found.append(Remark("missing_words", f"{column.name!r}: taken as missing: {words}", column.name))
        found += _remarks(column, facts)
    return found


def _remarks(column: Column, facts: Profile) -> list[Remark]:
    name, left_out = column.name, f"{column.name!r} is left out: {column.evidence}"
    if column.role == "target" or column.role_reason in _ASKED_FOR:
        return []
    if column.role == "ignored":
        code = "mixed" if is_mixed(column) else _CODES.get(column.role_reason, column.kind)
        return [] if column.undecided else [Remark(code, left_out, name)]
    if column.words or column.kind == "text" or is_mixed(column):
        return _of_words(column, facts)
    if column.kind == "categorical" and column.distinct > MANY:
        return [Remark("high_cardinality", f"{name!r} has {column.distinct:,} distinct values", name)]
    if column.kind == "numeric" and facts.infinite:
        return [Remark("infinite", f"{name!r} is infinite in {facts.infinite:,} row(s): read as very large", name)]
    if facts.is_counted and facts.levels and facts.levels[0][1] >= NEARLY * facts.n_rows:
        text, n = facts.levels[0]
        return [Remark("nearly_constant", f"{name!r} is {text!r} in {n / facts.n_rows:.2%} of the rows", name)]
    return _open(column)


def _of_words(column: Column, facts: Profile) -> list[Remark]:
    name = column.name
    if column.words:
        return [Remark("words", f"{name!r}: {column.evidence}: each word is a feature of its own", name)]
    if is_mixed(column):
        what = "dates" if "of them dates" in column.evidence else "numbers"
        return [Remark("mixed", f"{name!r} mixes {what} and text, and is read as text: {column.evidence}", name)]
    texts = [text for text, _ in facts.levels]
    if sum(" " not in text for text in texts) > ONE_WORD * len(texts):
        what = "its cells are one word each: read as codes, by their prefix, length and letters"
        return [Remark("text", f"{name!r}: {what}", name)]
    return []


def _open(column: Column) -> list[Remark]:
    """Return the warning about ambiguous cells."""
    if "assumed to be the decimal mark" in column.evidence:
        hint = "say which it is: decimal or thousands, as the file is put"
        return [Remark("decimal_mark", f"{column.name!r}: {column.evidence}; {hint}", column.name)]
    if "taken as missing" in column.evidence:
        return [Remark("zero_dates", f"{column.name!r}: {column.evidence}", column.name)]
    if "assumed" in column.evidence:
        return [Remark("day_order", f"{column.name!r}: {column.evidence}", column.name)]
    if "several currencies" in column.evidence:
        return [Remark("currencies", f"{column.name!r}: {column.evidence}: they are not converted", column.name)]
    return []


def is_mixed(column: Column) -> bool:
    """Return whether a column is read as text although most cells look like numbers or dates."""
    is_like = "of them numbers" in column.evidence or "of them dates" in column.evidence
    return column.kind in {"categorical", "text"} and is_like


def remarks_on_target(facts: Profile, column: Column, task: Task, labels: tuple[str, ...]) -> list[Remark]:
    """Return the warnings about the target's cells."""
    found = []
    if facts.missing:
        message = f"{facts.missing:,} rows without {facts.name!r}, the target, are left out"
        found.append(Remark("missing_target", message, facts.name))
    found += _open(column)
    if task == "regression":
        return [*found, *_may_be_classes(facts)]
    if is_mixed(column):
        message = f"the target {facts.name!r} is read as {len(labels):,} classes: {column.evidence}"
        found.append(Remark("mixed", message, facts.name))
    once = [text for text, n in facts.levels if n == 1]
    if once:
        named = ", ".join(map(repr, once[:5])) + (f" and {len(once) - 5} more" if len(once) > 5 else "")
        message = f"only one row is of class {named}: it is trained on and cannot be validated"
        return [*found, Remark("rare_class", message, facts.name)]
    text, least = min(facts.levels, key=lambda level: level[1])
    if least < _IMBALANCE * facts.present:
        found.append(Remark("imbalance", f"only {least / facts.present:.1%} of the rows are {text!r}", facts.name))
    return found


def _may_be_classes(facts: Profile) -> list[Remark]:
    """Return the warning about a target of few integers, which could be classes."""
    is_whole = facts.integers == facts.numbers == facts.present
    if not is_whole or facts.distinct > 2 * MANY_CLASSES or facts.present < 10 * facts.distinct:
        return []
    message = (
        f"the target {facts.name!r} has {facts.distinct} distinct whole numbers and is predicted as a quantity; "
        'if they are names of classes, say "task": "multiclass"'
    )
    return [Remark("whole_numbers", message, facts.name)]
