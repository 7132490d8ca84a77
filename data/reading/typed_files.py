"""Files that say what their cells are: Parquet, and Excel workbooks, whose cells are taken as text."""

import re
from pathlib import Path
from typing import Any

import polars as pl

from traind.data.errors import BadTable
from traind.data.reading.dialect import check_names
from traind.data.reading.formats import Format
from traind.data.table.cell_text import text_of

_INDEX = re.compile(r"__index_level_[0-9]+__\Z")  # as pandas calls it
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


def read_workbook(path: Path, form: Format) -> _Columns:
    """Return the columns of an Excel sheet by name, numbers exact; the first row holds the names."""
    import fastexcel

    options = form.options
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
