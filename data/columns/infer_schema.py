"""Infers the schema from a raw table and a request: kinds and roles of columns, the task, warnings."""

from collections.abc import Callable

from msgspec.structs import replace

from traind.data.columns.column_kind import decide, is_counter, is_free_text
from traind.data.columns.profile import Profile
from traind.data.columns.reading_of import Marks
from traind.data.columns.request import Request
from traind.data.columns.warnings import remarks_on, remarks_on_target
from traind.data.errors import BadTable
from traind.data.reading.formats import Options
from traind.data.table.cell_text import boolean_of, number_of
from traind.data.table.schema import Column, Goal, Kind, Override, Remark, Schema, Task

_FEW_NUMBERS = 10  # distinct whole numbers up to which a target is taken as classes
_MANY_LABELS = 1_000
WEIGHS = "says how much rows count"


def infer_schema(profiles: dict[str, Profile], request: Request, options: Options) -> Schema:
    """Return the schema, or raise `BadTable` where the table cannot serve the request."""
    names = list(profiles)
    _check_names(names, request)
    _check_nested(profiles, request)
    usable = (name for name in reversed(names) if profiles[name].present and not profiles[name].is_index)
    target = request.target or next(usable, names[-1])
    columns = _with_marks(options, lambda marks: [_column(profiles[name], request, target, marks) for name in names])
    counter = _use_counter(columns, profiles)
    facts = profiles[target]
    column = next(column for column in columns if column.name == target)
    task, reason, labels = _task(facts, column, request)
    kind: Kind = "numeric" if task == "regression" else "categorical"
    columns = [replace(c, kind=kind) if c.name == target else c for c in columns]
    if not any(c.role == "feature" or c.undecided == "counter" for c in columns):
        raise BadTable("no column is left to predict from", hint="every other column is constant, text or ignored")
    remarks = [*remarks_on_target(facts, column, task, labels), *remarks_on(columns, profiles)]
    if counter is not None:
        remarks.append(counter)
    if request.target is None:
        remarks.insert(0, Remark("no_target", f"no target was named: it is {target!r}, the last column", target))
    return Schema(
        n_rows=facts.present,
        target=target,
        task=task,
        task_reason=reason,
        labels=labels,
        columns=tuple(columns),
        warnings=tuple(remarks),
    )


def decided(profiles: dict[str, Profile], options: Options) -> list[Column]:
    """Return the columns decided without a target."""
    return _with_marks(options, lambda marks: [decide(facts, marks=marks) for facts in profiles.values()])


def as_targets(profiles: dict[str, Profile], options: Options) -> dict[str, Goal | None]:
    """Return what a job that is told only its target would predict of each column; None: nothing."""
    found = _with_marks(
        options, lambda marks: [decide(facts, is_target=True, marks=marks) for facts in profiles.values()]
    )
    return {column.name: _as_target(profiles[column.name], column) for column in found}


def _as_target(facts: Profile, column: Column) -> Goal | None:
    if not facts.present or facts.is_index or facts.type == "nested" or facts.distinct == 1:
        return None
    try:
        return "regression" if _is_regression(facts, column) else "classes"
    except BadTable:
        return None


def _with_marks(options: Options, decide_all: Callable[[Marks], list[Column]]) -> list[Column]:
    """Decide all columns, a second time if some settle the decimal mark of the others."""
    columns = decide_all(Marks(options.decimal, options.thousands))
    styles = [column.style for column in columns if column.style is not None and "assumed" not in column.evidence]
    has_comma = any(style.decimal == "," and not (style.clock or style.has_spans) for style in styles)
    if options.decimal is None and has_comma:
        columns = list(map(_of_both, columns, decide_all(Marks(",", options.thousands))))
    return [replace(column, missing_words=options.missing) for column in columns] if options.missing else columns


def _of_both(alone: Column, beside: Column) -> Column:
    """Return the column as read with the comma that others have, or by its cells alone where only that reads them."""
    is_lost = beside.kind != alone.kind or len(beside.words) > len(alone.words)
    return alone if alone.kind == "numeric" and is_lost else beside


def _check_names(names: list[str], request: Request) -> None:
    requested = {
        "target": [request.target] if request.target else [],
        "features": list(request.features or ()),
        "ignore": list(request.ignore),
        "columns": list(request.columns),
        "validation.column": [request.validation.column] if request.validation.column else [],
        "weight": [request.weight] if request.weight else [],
    }
    for field, wanted in requested.items():
        absent = [name for name in wanted if name not in names]
        if absent:
            raise BadTable(
                f"{field} names {', '.join(map(repr, absent[:5]))}, which the table does not have",
                hint=f"its columns are {', '.join(names[:50])}",
            )


def _check_nested(profiles: dict[str, Profile], request: Request) -> None:
    """Raise `BadTable` where a column is requested by name that only holds what cannot be learned from."""
    requested = {
        "features": request.features or (),
        "columns": [name for name, kind in request.columns.items() if kind not in {"ignore", "text"}],
    }
    for field, wanted in requested.items():
        for name in wanted:
            if profiles[name].type == "nested":
                raise BadTable(f"{field} names {name!r}, which holds lists, objects or bytes")


def _column(facts: Profile, request: Request, target: str, marks: Marks) -> Column:
    override: Override | None = request.columns.get(facts.name)
    if facts.name == target:
        return decide(facts, override, is_target=True, marks=marks)
    chosen = request.features is not None and facts.name in request.features
    if facts.name == request.weight:
        column = decide(facts, "numeric", marks=marks)
        return replace(column, role="ignored", role_reason=WEIGHS, words=())
    column = decide(facts, override, marks=marks)
    if facts.name in request.ignore or override == "ignore":
        return replace(column, role="ignored", role_reason="as set by the request")
    if request.features is not None and not chosen:
        return replace(column, role="ignored", role_reason="not among the requested features")
    if request.validation.kind == "group" and facts.name == request.validation.column and not chosen:
        return replace(column, role="ignored", role_reason="names the groups of the split")
    if chosen and override is None and column.role == "ignored":
        is_text = column.kind == "text" and facts.numbers < facts.present and is_free_text(facts)
        kind: Kind = "text" if is_text else "numeric" if facts.numbers == facts.present else "categorical"
        return replace(
            column, kind=kind, role="feature", role_reason="", undecided="", evidence="requested as a feature"
        )
    return column


def _use_counter(columns: list[Column], profiles: dict[str, Profile]) -> Remark | None:
    """Make a column that counts the rows a feature where no other is left: in a table of x and y it may be the x."""
    if any(column.role == "feature" for column in columns):
        return None
    for place, column in enumerate(columns):
        if column.role_reason == "identifier" and is_counter(profiles[column.name]):
            columns[place] = replace(column, kind="numeric", role="feature", role_reason="", undecided="")
            message = f"{column.name!r} counts the rows, and is used as no other column can be"
            return Remark("counter", message, column.name)
    return None


def _task(facts: Profile, column: Column, request: Request) -> tuple[Task, str, tuple[str, ...]]:
    """Return the task, the reason for it, and the labels of its classes."""
    if facts.type == "nested":
        raise BadTable(f"the target {facts.name!r} holds lists, objects or bytes")
    if not facts.present:
        raise BadTable(f"the target {facts.name!r} is missing in every row")
    if facts.distinct == 1:
        shown = facts.levels[0][0] if facts.levels else facts.smallest
        raise BadTable(f"the target {facts.name!r} is {shown!r} in every row: nothing can be learned")
    override = request.columns.get(facts.name)
    if request.task == "regression" or (request.task == "auto" and override in {"numeric", "duration"}):
        return "regression", "as set by the request", ()
    if request.task == "auto" and override is None and (reason := _is_regression(facts, column)):
        return "regression", reason, ()
    labels = _in_order(_labels(facts), facts, request.positive)
    task: Task = "binary" if len(labels) == 2 else "multiclass"
    if request.task == "auto":
        what = "whole numbers" if column.kind == "numeric" else "texts"
        if len(labels) <= 3:
            what = ", ".join(repr(label[:40]) for label in labels)
        return task, f"the target has {len(labels)} distinct values: {what}", labels
    if request.task == "binary" and task != "binary":
        raise BadTable(f"the target {facts.name!r} has {len(labels)} classes, not two", hint="use task multiclass")
    return request.task, "as set by the request", labels


def _in_order(labels: tuple[str, ...], facts: Profile, positive: str | None) -> tuple[str, ...]:
    """Return two classes with the positive one last: the one that was requested, else true, else the rarer."""
    if positive is not None and (len(labels) != 2 or positive not in labels):
        shown = ", ".join(map(repr, labels[:5]))
        raise BadTable(f"positive: {positive!r} is not one of two classes of {facts.name!r}: {shown}")
    if len(labels) != 2 or (positive is None and all(boolean_of(label) is not None for label in labels)):
        return labels
    counts = dict(facts.levels)
    rarer = positive or (labels[0] if counts[labels[0]] < counts[labels[1]] else labels[1])
    return tuple(sorted(labels, key=lambda label: label == rarer))


def _is_regression(facts: Profile, column: Column) -> str | None:
    """Return why the target is a number to predict, None if it is a class."""
    if column.kind == "datetime":
        raise BadTable(f"the target {facts.name!r} holds dates", hint="predict a number or a class")
    if column.kind != "numeric":
        return None
    if facts.integers == facts.numbers and facts.distinct <= _FEW_NUMBERS and facts.present >= 10 * facts.distinct:
        return None
    if facts.distinct == 2:
        return None
    return f"the target has {facts.distinct:,} distinct numbers"


def _labels(facts: Profile) -> tuple[str, ...]:
    """Return the classes in order: false before true, numbers by size, text by the alphabet."""
    if not facts.is_counted or facts.distinct > _MANY_LABELS:
        raise BadTable(f"the target {facts.name!r} has {facts.distinct:,} distinct values: too many for classes")
    texts = [text for text, _ in facts.levels]
    if sum(n == 1 for _, n in facts.levels) > len(texts) / 2 and len(texts) > 20:
        raise BadTable(f"most values of the target {facts.name!r} occur only once: too few rows for classes")
    numbers = [number_of(text) for text in texts]
    if len(texts) == 2 and all(boolean_of(text) is not None for text in texts):
        return tuple(sorted(texts, key=lambda text: bool(boolean_of(text))))
    if all(number is not None for number in numbers):
        return tuple(text for _, text in sorted(zip(numbers, texts, strict=True)))
    return tuple(sorted(texts))
