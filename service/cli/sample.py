"""`traind sample`: a table to try things with, from the house sales that ship with traind."""

import csv
import gzip
import io
import itertools
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from traind.service.cli.entry import Failed

COLUMNS = ("sqft_living", "bedrooms", "zipcode", "price")


def sample(
    file: Annotated[Path, Parameter(help="where to write it")] = Path("houses.csv"),
    *,
    rows: Annotated[int, Parameter(help="how many sales, of 21,613")] = 2_000,
    all_columns: Annotated[bool, Parameter(negative="", help="all 21 columns, not the four of the examples")] = False,
) -> None:
    """Write a table of real house sales: living area, bedrooms, zip code and price."""
    packed = files("traind.data").joinpath("samples/house_prices.csv.gz").read_bytes()
    sales = csv.DictReader(io.StringIO(gzip.decompress(packed).decode(), newline=""))
    columns = list(sales.fieldnames or ()) if all_columns else list(COLUMNS)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(itertools.islice(sales, max(0, rows)))
    try:
        with file.open("x", encoding="utf-8", newline="") as out:
            out.write(text.getvalue())
    except FileExistsError:
        raise Failed(f"{file} is there already, and is left as it is.") from None
    print(f"{file}  {', '.join(columns)}")
