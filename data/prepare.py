"""From a file to arrays: read, infer, split, encode. Called by the trainer before it builds a model.

A second job on the same data and request finds the arrays in the cache and reads nothing.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from traind.data.columns.request import Request, Split
from traind.data.encoding.cache import is_newer, key_of, load, save
from traind.data.encoding.encoder import Encoded, Encoder, class_indices, fit
from traind.data.encoding.leaks import find_leaks
from traind.data.encoding.roles import settle
from traind.data.encoding.split import split
from traind.data.encoding.synthetic import TARGET, Synthetic, synthesise
from traind.data.encoding.weights import weights_of
from traind.data.errors import BadTable
from traind.data.files import check_digest, check_size
from traind.data.reading.formats import parse_format
from traind.data.table.arrays import Cells, Codes, Mixed, Table
from traind.data.table.schema import Column, Schema

__all__ = ["Prepared", "Request", "Source", "Split", "Synthetic", "prepare"]

N_SAMPLES = 8  # validation rows kept as in the file
_PARTS = ("train", "validation", "test")
Sample = dict[str, str | float | None]


@dataclass(frozen=True, slots=True)
class Source:
    """A file. `digest` (of its bytes) lets its encoded form be found again; without it, path, size and time do.

    With `size_bytes` the file has to be the one that was registered, and is checked when it is read.
    """

    path: Path
    format: str
    digest: str | None = None
    size_bytes: int | None = None

    def key(self) -> str:
        """Return the identity of the file's content, for the cache."""
        if self.digest:
            return self.digest
        stat = self.path.stat()
        return f"{self.path.resolve()} {stat.st_size} {stat.st_mtime_ns}"

    def check(self) -> None:
        """Raise `BadTable` where a registered file has other bytes than it had."""
        if self.digest is not None and self.size_bytes is not None:
            check_digest(self.path, self.digest)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A table ready to train on. `samples` are some validation rows as in the file."""

    schema: Schema
    encoder: Encoder
    train: Encoded
    validation: Encoded
    test: Encoded
    samples: tuple[Sample, ...] = ()
    is_cached: bool = False

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Return the number of indices of each categorical column."""
        return self.encoder.cardinalities


class _Meta(msgspec.Struct, frozen=True):
    schema: Schema
    encoder: Encoder
    samples: tuple[Sample, ...]


def prepare(
    source: Source | tuple[str | Path, str] | Synthetic,
    request: Request | None = None,
    cache_dir: str | Path | None = None,
    threads: int = 1,
) -> Prepared:
    """Return the source as arrays, from the cache if it has them.

    Raises:
        BadTable: the file is no table, cannot serve the request, or is not the one that was registered.
    """
    request = request or Request()
    if isinstance(source, Synthetic):
        return _prepare_synthetic(source, request)
    if isinstance(source, tuple):
        source = Source(Path(source[0]), source[1])
    if source.size_bytes is not None:
        check_size(source.path, source.size_bytes)
    if cache_dir is None or not (source.digest or source.path.is_file()):
        return _prepare_file(source, request, threads)
    entry = Path(cache_dir) / key_of(source.key(), source.format, request)
    if found := load(entry):
        if source.size_bytes is not None and is_newer(source.path, entry):
            source.check()
        return _from_cache(*found)
    prepared = _prepare_file(source, request, threads)
    meta = msgspec.json.encode(_Meta(prepared.schema, prepared.encoder, prepared.samples))
    save(entry, meta, _arrays(prepared))
    return prepared


def _arrays(prepared: Prepared) -> dict[str, NDArray[Any]]:
    return {
        f"{part}_{name}": getattr(getattr(prepared, part), name)
        for part in _PARTS
        for name in ("numeric", "categorical", "target", "weight")
        if getattr(getattr(prepared, part), name) is not None
    }


def _from_cache(meta: bytes, arrays: dict[str, NDArray[Any]]) -> Prepared:
    known = msgspec.json.decode(meta, type=_Meta)
    train, validation, test = (
        Encoded(
            arrays[f"{part}_numeric"],
            arrays[f"{part}_categorical"],
            arrays[f"{part}_target"],
            arrays.get(f"{part}_weight"),
        )
        for part in _PARTS
    )
    return Prepared(known.schema, known.encoder, train, validation, test, known.samples, is_cached=True)


def _prepare_file(source: Source, request: Request, threads: int) -> Prepared:
    if not source.path.exists():
        raise BadTable(f"there is no file {str(source.path)!r}")
    source.check()
    from traind.data.columns.infer_schema import infer_schema
    from traind.data.columns.loading import load_columns
    from traind.data.columns.profile import profile
    from traind.data.reading.raw_table import read_table

    form = parse_format(source.format)
    raw = read_table(source.path, form, threads)
    as_text = _as_text(request)
    profiles = profile(raw, as_text.__contains__, threads)
    schema = infer_schema(profiles, request, form.options)
    by = request.validation.column
    columns = load_columns(
        raw, [c for c in schema.columns if _is_loaded(c) or c.name in {by, request.weight}], profiles
    )
    del profiles
    whole = Table(columns, raw.n_rows)
    target = columns[schema.target]
    assert not isinstance(target, Mixed)
    present = target.codes >= 0 if isinstance(target, Codes) else ~np.isnan(target)
    return _finish(schema, whole if present.all() else whole.take(present), request, threads=threads)


def _is_loaded(column: Column) -> bool:
    return column.role != "ignored" or bool(column.undecided)


def _as_text(request: Request) -> set[str]:
    """Return the columns whose cells are kept as text even if they are numbers."""
    named = {name for name, kind in request.columns.items() if kind not in {"numeric", "duration"}}
    return named | ({request.target} if request.target and request.task in {"binary", "multiclass"} else set())


def _prepare_synthetic(request: Synthetic, wanted: Request) -> Prepared:
    table = synthesise(request)
    columns = [
        Column(name=name, kind="numeric", evidence="synthetic", role="target" if name == TARGET else "feature")
        for name in table.columns
    ]
    schema = Schema(
        n_rows=request.rows, target=TARGET, task="regression", task_reason="synthetic", columns=tuple(columns)
    )
    return _finish(schema, table, wanted, may_leak=False)


def _finish(schema: Schema, table: Table, request: Request, *, threads: int = 1, may_leak: bool = True) -> Prepared:
    """Split the table, fit the encoder on the training rows and encode every part."""
    how = request.validation
    labels = class_indices(table.columns[schema.target], schema.labels) if schema.labels else None
    parts = split(how, table.n_rows, labels, table.columns.get(how.column) if how.column else None)
    if may_leak:
        schema, table = settle(schema, table, parts.train)
        if not schema.features():
            raise BadTable(
                "no column is left to predict from", hint="every other column is constant, text or ignored"
            )
        schema = replace(schema, warnings=(*schema.warnings, *find_leaks(schema, table, parts.train)))
    encoder = fit(schema, table, parts.train, threads, is_linear=request.is_linear)
    weights = weights_of(request, table, labels, parts.train)
    train, validation, test = (
        dataclasses.replace(encoder.encode(table, rows, threads), weight=None if weights is None else weights[rows])
        for rows in (parts.train, parts.validation, parts.test)
    )
    return Prepared(
        schema,
        encoder,
        train,
        validation,
        test,
        samples=_samples(table.take(parts.validation[:N_SAMPLES]), schema),
    )


def _samples(table: Table, schema: Schema) -> tuple[Sample, ...]:
    """Return the rows as for a call of predict, with the target, times as text."""
    columns: dict[str, list[str | float | None]] = {}
    for column in schema.columns:
        cells = table.columns.get(column.name)
        if cells is None:
            continue
        if isinstance(cells, Mixed):
            numbers, words = _shown(cells.numbers, column), cells.words.texts()
            columns[column.name] = [
                number if word is None else word for number, word in zip(numbers, words, strict=True)
            ]
        else:
            columns[column.name] = list(cells.texts()) if isinstance(cells, Codes) else _shown(cells, column)
    return tuple(dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def _shown(cells: Cells, column: Column) -> list[str | float | None]:
    """Return numbers as they are, times as text."""
    assert isinstance(cells, np.ndarray)
    if column.kind != "datetime":
        return [None if np.isnan(cell) else cell for cell in cells.tolist()]
    stamps = np.where(np.isnan(cells), np.nan, cells * 1e6).astype("datetime64[us]")
    return [None if np.isnat(stamp) else str(stamp) for stamp in stamps]
