"""Which GPUs there are and which jobs may have, on invented ones: no card is needed, and none is touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traind.service.engine.needs import is_worth_a_gpu
from traind.service.errors import NoSuchDevice
from traind.service.executor.devices import Device, choose, read_query, visible
from traind.trainer.contract.spec import Synthetic, TrainSpec

QUERIED = """GPU-aaaa1111-0000, 81559, NVIDIA H100 80GB HBM3
GPU-bbbb2222-0000, 143771, NVIDIA H200
GPU-cccc3333-0000, 24564, NVIDIA GeForce RTX 4090
"""
FOUND = read_query(QUERIED)


def names(devices: tuple[Device, ...]) -> list[str]:
    return [device.uuid[4:8] for device in devices]


def test_what_the_driver_prints_is_read() -> None:
    assert [(device.index, device.name) for device in FOUND] == [
        (0, "NVIDIA H100 80GB HBM3"),
        (1, "NVIDIA H200"),
        (2, "NVIDIA GeForce RTX 4090"),
    ]
    assert FOUND[1].memory_bytes == 143_771 * 1024**2


@pytest.mark.parametrize("text", ["", "No devices were found\n", "GPU-x, [N/A], name\n", "NVIDIA-SMI has failed\n"])
def test_what_is_no_list_of_gpus_is_none(text: str) -> None:
    assert read_query(text) == ()


@pytest.mark.parametrize(
    ("variable", "left"),
    [
        (None, ["aaaa", "bbbb", "cccc"]),
        ("", []),
        ("1", ["bbbb"]),
        ("2,0", ["cccc", "aaaa"]),
        ("GPU-bbbb,0", ["bbbb", "aaaa"]),
        ("0,7,1", ["aaaa"]),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_the_variable_hides_gpus_as_cuda_reads_it(variable: str | None, left: list[str]) -> None:
    seen = visible(FOUND, variable)
    assert names(seen) == left
    assert [device.index for device in seen] == list(range(len(left)))


def test_a_setting_names_gpus_by_their_visible_number() -> None:
    seen = visible(FOUND, "2,0")
    assert names(choose("cuda:0", seen)) == ["cccc"]
    assert names(choose("cuda:1, cuda:0,cuda:1", seen)) == ["aaaa", "cccc"]
    assert choose("auto", seen) == seen


@pytest.mark.parametrize("wanted", ["cuda:7", "cuda", "gpu0", "cuda:0,cuda:9"])
def test_a_gpu_that_is_not_there_is_named(wanted: str) -> None:
    with pytest.raises(NoSuchDevice, match=wanted.rsplit(",", maxsplit=1)[-1]):
        choose(wanted, FOUND)


@given(st.lists(st.integers(0, 2), unique=True))
def test_whatever_is_left_is_of_those_that_are_there_and_once(order: list[int]) -> None:
    seen = visible(FOUND, ",".join(map(str, order)))
    assert [device.uuid for device in seen] == [FOUND[index].uuid for index in order]


def test_small_tables_stay_on_the_cpu() -> None:
    assert not is_worth_a_gpu(TrainSpec(), None)
    assert not is_worth_a_gpu(TrainSpec(dataset="houses"), 800_000)
    assert is_worth_a_gpu(TrainSpec(dataset="flights"), 100 * 1024**2)
    assert is_worth_a_gpu(TrainSpec(synthetic=Synthetic(rows=1_000_000, columns=10)), None)
    assert is_worth_a_gpu(TrainSpec(trainer="mine"), None)
