"""Files with typed cells: Parquet, and Excel workbooks, whose cells are read as text."""

import re
import zlib
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import polars as pl

from traind.data.errors import BadTable
from traind.data.limits import CELLS_A_BYTE, LEAST_CELLS
from traind.data.reading.dialect import check_names
from traind.data.reading.formats import Format
from traind.data.reading.text_bytes import FREE_BYTES, MAX_RATIO
from traind.data.table.cell_text import text_of

_INDEX = re.compile(r"__index_level_[0-9]+__\Z")  # as pandas calls it
_PLACED = r"""<(?:[A-Za-z]{1,10}:)?(?:c|row)\s[^<>]{0,200}?\br=["'][A-Z]{0,3}[0-9]{1,7}["']"""  # a cell or a row
_PLACE = r"""(?P<column>[A-Z]{0,3})(?P<row>[0-9]{1,7})["']$"""
_TAG_BYTES = 250  # of one such tag, at most
_CHUNK_BYTES = 1 << 20
_Columns = dict[str, pl.Series]


def read_parquet(path: Path) -> tuple[_Columns, frozenset[str], frozenset[str], int]:
    """Return the columns by name, which of them are nested, which pandas' index, and how many rows there are."""
    try:
        schema = pl.read_parquet_schema(path)
        nested = {name for name, dtype in schema.items() if _is_nested(dtype)}
        frame = pl.read_parquet(path, columns=[name for name in schema if name not in nested], glob=False)
        n_rows = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
        empty = pl.scan_parquet(path, glob=False).select(pl.col(name).is_null() for name in nested).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _not_whole(path, error) from None
    held = {
        name: empty[name].replace_strict({True: None, False: "nested"}, return_dtype=pl.String) for name in nested
    }
    columns = {name: held[name] if name in nested else _plain(frame[name]) for name in schema}
    return columns, frozenset(nested), frozenset(name for name in schema if _INDEX.match(name)), n_rows


def head_of(path: Path, form: Format, size: int) -> dict[str, list[Any]]:
    """Return the first cells of every column, as the file has them."""
    if form.kind == "xlsx":
        return {name: cells.head(size).to_list() for name, cells in read_workbook(path, form).items()}
    try:
        return pl.read_parquet(path, n_rows=size, glob=False).to_dict(as_series=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _not_whole(path, error) from None


def _not_whole(path: Path, error: Exception) -> BadTable:
    said = str(error).partition("\n")[0].replace(str(path), "")
    return BadTable(f"the file is not a whole Parquet file: {said}")


def _is_nested(dtype: Any) -> bool:
    return bool(dtype.is_nested() or dtype in {pl.Binary, pl.Object})


def _plain(cells: pl.Series) -> pl.Series:
    """Return a column as text, whole numbers, doubles, or times."""
    dtype = cells.dtype
    if dtype == pl.Boolean:
        return cells.replace_strict({True: "true", False: "false"}, return_dtype=pl.String)
    if dtype in {pl.Duration, pl.Time}:
        seconds = cells.dt.total_nanoseconds() if dtype == pl.Duration else cells.cast(pl.Int64)
        return seconds / 1e9
    if dtype.is_decimal() or dtype.is_float():
        return cells.cast(pl.Float64)
    if dtype.is_integer() or dtype.is_temporal() or dtype == pl.String:
        return cells
    return cells.cast(pl.String)


def _check_size(path: Path) -> None:
    """Raise `BadTable` where a sheet unpacks to too much, or reaches so far that nearly all its cells are empty.

    Whoever reads it makes room for every cell between the first and the last one.
    """
    size = path.stat().st_size
    most_bytes, most_cells = FREE_BYTES + MAX_RATIO * size, max(LEAST_CELLS, CELLS_A_BYTE * size)
    try:
        with ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > most_bytes:
                raise BadTable(f"the workbook unpacks to more than {most_bytes:,} bytes", hint="save it as CSV")
            for part in archive.namelist():
                with archive.open(part) as file:
                    rows, columns = _extent(file)
                if rows * columns > most_cells:
                    message = f"a sheet reaches over {rows:,} rows and {columns:,} columns, nearly all of it empty"
                    raise BadTable(message, hint="delete what stands far from the table, or save it as CSV")
    except (BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError, zlib.error):
        return  # what reads it says what is wrong with it


def _extent(part: IO[bytes]) -> tuple[int, int]:
    """Return over how many rows and columns the cells reach whose places a part of a workbook names."""
    rows, columns, rest = set[int](), set[int](), b""
    while chunk := part.read(_CHUNK_BYTES):
        tags = pl.Series([(rest + chunk).decode(errors="replace")]).str.extract_all(_PLACED).explode().drop_nulls()
        places = tags.str.extract_groups(_PLACE).struct.unnest()
        rows = _ends(rows | set(map(int, places["row"].unique())))
        columns = _ends(columns | {_number_of(column) for column in places["column"].unique() if column})
        rest = chunk[-_TAG_BYTES:]
    return max(rows, default=0) - min(rows, default=1) + 1, max(columns, default=0) - min(columns, default=1) + 1


def _ends(numbers: set[int]) -> set[int]:
    return {min(numbers), max(numbers)} if numbers else numbers


def _number_of(column: str) -> int:
    """Return which column `A`, `B` ... `AA` is, from 1."""
    number = 0
    for letter in column:
        number = number * 26 + ord(letter) - 64
    return number


def read_workbook(path: Path, form: Format) -> _Columns:
    """Return the columns of an Excel sheet by name, numbers exact; the first row holds the names."""
    import fastexcel

    options = form.options
    _check_size(path)
    try:
        workbook = fastexcel.read_excel(path)
        if options.sheet is not None and options.sheet not in workbook.sheet_names:
            hint = f"its sheets are {', '.join(workbook.sheet_names[:20])}"
            raise BadTable(f"the file has no sheet {options.sheet!r}", hint=hint)
        header = {"header_row": options.skip} if options.header else {"header_row": None, "skip_rows": options.skip}
        sheet = workbook.load_sheet(options.sheet or 0, schema_sample_rows=None, **header)
        frame = sheet.to_polars()
    except fastexcel.FastExcelError as error:
        said = str(error).partition("\n")[0]
        raise BadTable(f"the file is not an Excel workbook that can be read: {said}") from None
    frame = frame.filter(~pl.all_horizontal(pl.all().is_null())) if frame.width else frame
    if not len(frame):
        hint = "are they formulas that were never calculated? save it in a spreadsheet program, or export it as CSV"
        raise BadTable(f"the sheet {sheet.name!r} holds no values", hint=hint)
    unnamed = not options.header
    names = [
        f"column_{place}" if unnamed or name.startswith("__UNNAMED__") else text_of(name) or f"column_{place}"
        for place, name in enumerate(frame.columns, 1)
    ]
    check_names(names, 1)
    return dict(zip(names, map(_plain, frame.get_columns()), strict=True))
