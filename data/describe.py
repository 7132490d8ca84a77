"""Describes a file: a summary of every column, warnings, the first rows. Runs in the side worker.

`describe_request` and `preview_request` take and return plain values, for a caller in another process.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.json import encode
from numpy.typing import NDArray

from traind.data.columns.infer_schema import as_targets, decided
from traind.data.columns.loading import cells_of, load_columns
from traind.data.columns.profile import Profile, profile
from traind.data.columns.warnings import remarks_on
from traind.data.errors import BadTable
from traind.data.limits import CELL_SHOWN, PAGE_BYTES, clipped, how_many_fit
from traind.data.predict_input import first_rows
from traind.data.reading.formats import Format, detect, parse_format
from traind.data.reading.raw_table import RawTable, read_table
from traind.data.table.arrays import Cells, Codes, Mixed, Numbers
from traind.data.table.schema import Column, Remark

BARS = 24  # bars of a histogram
LEVELS = 10  # most frequent values listed
_SAMPLE_ROWS = 20_000  # rows for quantiles and histograms
_QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
_RANKS, _INNER = np.array(_QUANTILES), np.arange(1, BARS)
_THREADS = 2


def describe_request(request: dict[str, Any]) -> dict[str, Any]:
    """Answer `{"path", "format": a format, a file's name or null}` with the summary."""
    path = Path(request["path"])
    return describe(path, detect(path, request.get("format")))


def goals_request(request: dict[str, Any]) -> dict[str, Any]:
    """Answer `{"path", "format"}` with what each column would be predicted as, as the summary's `as_target` says."""
    form = parse_format(request["format"])
    table = read_table(Path(request["path"]), form, _THREADS)
    return dict(as_targets(profile(table, lambda _: False, _THREADS), form.options))


def preview_request(request: dict[str, Any]) -> dict[str, Any]:
    """Answer `{"path", "format", "rows"}` with the first rows."""
    return preview(Path(request["path"]), parse_format(request["format"]), int(request.get("rows", 20)))


def describe(path: Path, form: Format) -> dict[str, Any]:
    """Return the file's format, number of rows, columns and warnings, as plain values.

    Raises:
        BadTable: the file is no table; what is wrong is named by line.
    """
    table = read_table(path, form, _THREADS)
    rows = _some_rows(table.n_rows)
    profiles = profile(table, lambda _: False, _THREADS)
    columns = decided(profiles, form.options)
    samples, bad = dict[str, Numbers](), list[Column]()
    for column in columns:
        if column.kind in {"numeric", "datetime"}:
            cells, wrong = cells_of(profiles[column.name], column)
            samples[column.name] = _finite(cells, rows)
            bad += [column] if wrong is not None and wrong.any() else []
    goals = as_targets(profiles, form.options)
    warnings = [*remarks_on(columns, profiles), *_bad_cells(table, bad, profiles)]
    return {
        "format": str(form),
        "n_rows": table.n_rows,
        "columns": [
            {**_summary(column, profiles[column.name], samples.get(column.name)), "as_target": goals[column.name]}
            for column in columns
        ],
        "warnings": [{"code": w.code, "message": w.message, "column": w.column} for w in warnings],
    }


def preview(path: Path, form: Format, rows: int) -> dict[str, Any]:
    """Return the names of the columns and the first rows, cells as in the file."""
    names, found = first_rows(path, form, rows)
    return fitting(names, found)


def fitting(names: list[str], rows: list[list[Any]]) -> dict[str, Any]:
    """Return a preview that fits into an answer: long cells are cut, columns and rows left out."""
    columns = [{"name": name} for name in names]
    width = how_many_fit((len(encode(column)) for column in columns), PAGE_BYTES // 4)
    cut = [[clipped(cell, CELL_SHOWN) if isinstance(cell, str) else cell for cell in row[:width]] for row in rows]
    height = how_many_fit((len(encode(row)) for row in cut), PAGE_BYTES)
    shown: dict[str, Any] = {"columns": columns[:width], "rows": cut[:height]}
    if width < len(names) or height < len(rows):
        shown |= {"columns_left_out": len(names) - width, "rows_left_out": len(rows) - height}
    return shown


def _summary(column: Column, facts: Profile, sample: Numbers | None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": column.name,
        "kind": column.kind,
        "evidence": column.evidence,
        "missing": facts.missing,
        "missing_share": facts.missing / facts.n_rows,
        "distinct": facts.distinct,
        "is_used": column.role == "feature" or bool(column.undecided),
    }
    if column.kind == "numeric":
        shown |= {"min": facts.smallest, "max": facts.largest}
        if (column.style or column.words) and sample is not None and len(sample):
            shown |= {"min": float(sample.min()), "max": float(sample.max())}
    if sample is not None:
        shown |= _spread(sample, float if column.kind == "numeric" else _iso)
    elif facts.is_counted and facts.levels:
        top = facts.levels[:LEVELS]
        shown["sketch"] = {
            "levels": [[text[:200], n] for text, n in top],
            "others": facts.present - sum(n for _, n in top),
        }
    elif facts.levels:
        shown["examples"] = [text[:200] for text, _ in facts.levels[:3]]
    return shown


def _spread(values: Numbers, written: Any) -> dict[str, Any]:
    """Return quantiles, and a histogram between the outer ones, whose end bars include values beyond."""
    if not len(values):
        return {}
    ordered = np.sort(values)
    found = ordered[np.rint(_RANKS * (len(values) - 1)).astype(np.int64)].tolist()
    low, high = found[0], found[-1]
    sketch: dict[str, Any] = {"counts": [len(values)], "low": written(low), "high": written(high)}
    if high > low:
        begins = np.searchsorted(ordered, low + _INNER * ((high - low) / BARS))
        sketch["counts"] = np.diff(begins, prepend=0, append=len(values)).tolist()
    return {"quantiles": {str(q): written(x) for q, x in zip(_QUANTILES, found, strict=True)}, "sketch": sketch}


def _some_rows(n_rows: int) -> NDArray[np.int64]:
    """Return at most `_SAMPLE_ROWS` rows, evenly from the whole table."""
    rng = np.random.Generator(np.random.PCG64(0))
    return np.sort(rng.choice(n_rows, min(n_rows, _SAMPLE_ROWS), replace=False))


def _finite(cells: Cells, rows: NDArray[np.int64]) -> Numbers:
    """Return some rows' finite numbers, and times as seconds."""
    assert not isinstance(cells, Codes)
    values = (cells.numbers if isinstance(cells, Mixed) else cells)[rows]
    return values[np.isfinite(values)]


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00").removesuffix("T00:00:00")


def _bad_cells(table: RawTable, columns: list[Column], profiles: dict[str, Profile]) -> list[Remark]:
    """Return the problems on which training on a column of numbers or dates would fail."""
    found = []
    for column in columns:
        try:
            load_columns(table, [column], profiles)
        except BadTable as error:
            found.append(Remark("bad_cells", error.message, column.name))
    return found
