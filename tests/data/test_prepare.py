import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from traind.data.encoding.cache import load, save
from traind.data.encoding.encoder import Encoder
from traind.data.encoding.synthetic import NOISE, synthesise
from traind.data.errors import BadTable
from traind.data.predict_input import table_from
from traind.data.prepare import Prepared, Request, Source, Split, Synthetic, prepare

PARTS = ("train", "validation", "test")
ARRAYS = ("numeric", "categorical", "target")
REAL = Path(__file__).parents[2].parent / "shared/data"


def same(one: Prepared, other: Prepared) -> bool:
    return all(
        np.array_equal(getattr(getattr(one, part), name), getattr(getattr(other, part), name), equal_nan=True)
        for part in PARTS
        for name in ARRAYS
    )


@pytest.fixture(scope="module")
def prices(houses: Path) -> Prepared:
    return prepare((houses, "csv.gz"), Request(target="price", validation=Split(test_fraction=0.1)))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of three columns and a hundred rows."""
    path = tmp_path_factory.mktemp("small") / "small.csv"
    path.write_text("x,c,y\n" + "".join(f"{i % 7 / 3},{'uv'[i % 2]},{i / 3}\n" for i in range(100)))
    return path


def test_a_table_becomes_arrays(prices: Prepared) -> None:
    assert [len(getattr(prices, part)) for part in PARTS] == [15_130, 4_322, 2_161]
    for part in PARTS:
        encoded = getattr(prices, part)
        assert (encoded.numeric.dtype, encoded.categorical.dtype, encoded.target.dtype) == (
            np.float32,
            np.int64,
            np.float64,
        )
        assert encoded.numeric.shape == (len(encoded), len(prices.encoder.features))
        assert encoded.categorical.shape == (len(encoded), len(prices.cardinalities))
        assert (encoded.categorical < prices.cardinalities).all()
        assert np.isfinite(encoded.numeric).all()
        assert encoded.numeric.flags.c_contiguous
    assert prices.schema.n_rows == 21_613


def test_nothing_is_fitted_on_rows_that_are_kept_back(tmp_path: Path) -> None:
    def encoder(unit: float, level: str) -> Encoder:
        path = tmp_path / f"{level}.csv"
        rows = [f"{t},{t % 37 / 7},{'uv'[t % 2]},{t / 3}" for t in range(800)]
        rows += [f"{t},{t % 37 * unit},{level},{t * unit}" for t in range(800, 1_000)]
        path.write_text("\n".join(["t,x,c,y", *rows]) + "\n")
        return prepare((path, "csv"), Request(validation=Split(kind="time", column="t"), features=("x", "c"))).encoder

    one, other = encoder(0.5, "u"), encoder(1e6, "new")
    assert one.features == other.features
    assert one.vocabularies == other.vocabularies


def test_samples_are_rows_as_a_caller_would_give_them(prices: Prepared) -> None:
    encoded = prices.encoder.encode(table_from(prices.samples, prices.encoder))
    for name in ARRAYS:
        assert np.array_equal(getattr(encoded, name), getattr(prices.validation, name)[: len(prices.samples)])
    json.dumps(prices.samples, allow_nan=False)


def test_the_schema_and_the_encoder_are_plain_values(prices: Prepared) -> None:
    json.dumps(msgspec.to_builtins(prices.schema), allow_nan=False)
    json.dumps(prices.encoder.state(), allow_nan=False)


def test_the_same_request_finds_its_arrays_again(small: Path, tmp_path: Path) -> None:
    source = Source(small, "csv", "digest")
    request = Request(target="y")
    first = prepare(source, request, tmp_path)
    again = prepare(source, request, tmp_path)
    assert (first.is_cached, again.is_cached) == (False, True)
    assert same(first, again)
    assert (again.schema, again.encoder, again.samples) == (first.schema, first.encoder, first.samples)
    assert isinstance(again.train.numeric, np.memmap)
    for other in (
        Request(target="y", ignore=("c",)),
        Request(target="y", validation=Split(seed=1)),
        Request(target="x"),
    ):
        assert not prepare(source, other, tmp_path).is_cached
    assert not prepare(Source(small, "csv", "other"), request, tmp_path).is_cached
    assert len(list(tmp_path.iterdir())) == 5


def test_a_warm_cache_loads_no_polars_and_no_file(small: Path, tmp_path: Path) -> None:
    table = tmp_path / "gone.csv"
    table.write_bytes(small.read_bytes())
    prepare(Source(table, "csv", "d"), Request(target="y"), tmp_path / "cache")
    table.unlink()
    code = f"""if True:
        import sys
        from pathlib import Path
        from traind.data.prepare import Request, Source, prepare
        source = Source(Path({str(table)!r}), "csv", "d")
        found = prepare(source, Request(target="y"), {str(tmp_path / "cache")!r})
        print(found.is_cached, "polars" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "False"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", ["train_numeric.npy", "meta.json", "files.json"])
def test_a_damaged_cache_entry_is_not_used_and_made_again(
    small: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    source, request = Source(small, "csv", "digest"), Request(target="y")
    first = prepare(source, request, tmp_path)
    (entry,) = tmp_path.iterdir()
    damage(entry / name)
    again = prepare(source, request, tmp_path)
    assert not again.is_cached
    assert same(first, again)
    assert prepare(source, request, tmp_path).is_cached


def test_a_registered_file_that_has_changed_is_refused(small: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    content = small.read_bytes()
    table.write_bytes(content)
    source = Source(table, "csv", hashlib.sha256(content).hexdigest(), len(content))
    for cache_dir in (None, tmp_path / "cache"):
        table.write_bytes(content)
        prepare(source, Request(target="y"), cache_dir)
        table.write_bytes(content.replace(b"1", b"2", 1))
        with pytest.raises(BadTable, match="has changed since it was registered: it has other bytes"):
            prepare(source, Request(target="y"), cache_dir)
        table.write_bytes(content)
        prepare(source, Request(target="y"), cache_dir)
    table.write_bytes(content + b"\n")
    with pytest.raises(BadTable, match=r"has changed since it was registered: it has [0-9,]+ bytes"):
        prepare(source, Request(target="y"), tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    save(tmp_path / "entry", b"one", {"x": np.arange(3)})
    save(tmp_path / "entry", b"two", {"x": np.arange(4)})
    found = load(tmp_path / "entry")
    assert found is not None
    assert (found[0], found[1]["x"].tolist()) == (b"one", [0, 1, 2])
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]
    blocked = tmp_path / "file"
    blocked.write_text("")
    save(blocked / "entry", b"one", {})
    assert load(blocked / "entry") is None


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match="no file"):
        prepare((tmp_path / "absent.csv", "csv"))


def test_a_counter_is_used_where_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{i},{i * 37 % 101 / 7}\n" for i in range(300)))
    found = prepare((path, "csv"), Request(target="y"))
    assert [(column.name, column.kind) for column in found.schema.features()] == [("x", "numeric")]
    assert [(remark.code, remark.column) for remark in found.schema.warnings] == [("counter", "x")]
    path.write_text("x,z,y\n" + "".join(f"{i},{i % 9 / 7},{i * 37 % 101 / 7}\n" for i in range(300)))
    assert [column.name for column in prepare((path, "csv"), Request(target="y")).schema.features()] == ["z"]
    path.write_text("id,y\n" + "".join(f"{i},{i * 37 % 101 / 7}\n" for i in range(300)))
    with pytest.raises(BadTable, match="no column is left"):
        prepare((path, "csv"), Request(target="y"))


def test_synthetic_data_is_fixed_by_its_seed() -> None:
    one, same_, other = (prepare(Synthetic(rows=500, seed=seed)) for seed in (3, 3, 4))
    assert same(one, same_)
    assert not same(one, other)
    assert one.train.numeric.shape == (400, 8)
    assert one.schema.task == "regression"


def test_synthetic_targets_are_of_one_size_and_mostly_signal() -> None:
    for columns in (1, 8, 100):
        table = synthesise(Synthetic(rows=20_000, columns=columns, seed=5))
        target = np.asarray(table.columns["target"])
        assert 0.5 < target.std() < 2.0
        assert target.std() > 4 * NOISE


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data sets are not here")
def test_a_table_with_spaces_and_question_marks_is_understood() -> None:
    found = prepare((REAL / "adult.csv.gz", "csv.gz"), Request(target="income"))
    assert (found.schema.task, found.schema.labels) == ("binary", ("<=50K", ">50K"))
    assert {c.name: c.missing for c in found.schema.columns if c.missing} == {
        "workclass": 1_836,
        "occupation": 1_843,
        "native-country": 583,
    }
    assert all(column.role != "ignored" for column in found.schema.columns)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data sets are not here")
def test_a_large_table_is_understood() -> None:
    found = prepare((REAL / "flights.parquet", "parquet"), Request(target="arr_delay", ignore=("arr_time",)))
    assert found.schema.n_rows == 435_352 - 12_534
    assert {remark.code: remark.column for remark in found.schema.warnings} == {
        "missing_target": "arr_delay",
        "constant": "year",
        "high_cardinality": "tailnum",
        "leak": "dep_delay",
    }
