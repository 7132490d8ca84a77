"""Whether a cluster could ever take a job, and what it lacks, in words."""

import msgspec
import pytest

from traind.service.executor.base import Need
from traind.service.executor.ray.protocol import Cluster, Node, SeatNeed
from traind.service.executor.ray.room import lacking, seat_need, seats_of, to_give_back


def node(cpus: float = 4, gpus: float = 0) -> Node:
    return Node("id", "name", cpus, gpus, 1e9)


@pytest.mark.parametrize(
    ("nodes", "need", "words"),
    [
        ((), SeatNeed(), "no node"),
        ((node(),), SeatNeed(gpus=1), "no node with 1 GPU; largest: 0"),
        ((node(gpus=1), node()), SeatNeed(gpus=2), "no node with 2 GPUs; largest: 1"),
        ((node(), node(cpus=2)), SeatNeed(cpus=8), "no node with 8 cores; largest: 4"),
        ((node(cpus=8), node(cpus=1, gpus=1)), SeatNeed(cpus=4, gpus=1), "no node with 4 cores and 1 GPU"),
    ],
)
def test_what_is_lacking_is_said(nodes: tuple[Node, ...], need: SeatNeed, words: str) -> None:
    wait = lacking(Cluster(nodes), need)
    assert wait is not None
    assert words in wait.message
    assert wait.is_hopeless == bool(nodes)  # an empty cluster is one that still fills


def test_what_a_node_has_in_all_may_be_waited_for() -> None:
    assert lacking(Cluster((node(cpus=2),), free_cpus=0), SeatNeed(cpus=2)) is None


def test_a_seat_has_a_core_a_thread_and_a_gpu_where_the_spec_names_one() -> None:
    assert seat_need(Need(threads=3, device="cuda:1")) == SeatNeed(cpus=3, gpus=1)
    assert seat_need(Need(threads=1, device="auto")) == SeatNeed(cpus=1, gpus=0)


@pytest.mark.parametrize(
    ("need", "seats"),
    [
        (Need(threads=2), (SeatNeed(2), 1)),
        (Need(threads=2, workers=2), (SeatNeed(2), 1)),  # both on one node
        (Need(threads=3, workers=3), (SeatNeed(1), 3)),
        (Need(threads=5, workers=4), (SeatNeed(5), 1)),  # shares of two cores: two nodes have but two of them
        (Need(threads=9), (SeatNeed(9), 1)),  # one process is on one node
        (Need(threads=4, workers=4, device="cuda", gpus=2), (SeatNeed(4, 2), 1)),  # no four GPUs for four shares
        (Need(threads=4, workers=2, device="cuda", gpus=2), (SeatNeed(2, 1), 2)),
        (Need(threads=4, workers=4, memory_bytes=10), (SeatNeed(1, memory_bytes=3), 4)),
    ],
)
def test_workers_have_a_seat_each_where_no_node_takes_them_all(need: Need, seats: tuple[SeatNeed, int]) -> None:
    cluster = Cluster((node(cpus=2, gpus=1), node(cpus=2, gpus=1)))
    assert seats_of(cluster, need) == seats


def test_the_slots_bound_all_seats_of_a_job_together() -> None:
    wait = lacking(Cluster((node(), node())), SeatNeed(cpus=1), 2, count=3)
    assert wait is not None
    assert "It takes 3 slots, and the server may use 2." in wait.message


@pytest.mark.parametrize(
    ("held", "idle", "wanted", "count"),
    [
        ((), (), SeatNeed(4), 0),
        ((), (SeatNeed(1), SeatNeed(1)), SeatNeed(2), 0),
        ((), (SeatNeed(1), SeatNeed(1)), SeatNeed(3), 1),
        ((SeatNeed(2),), (SeatNeed(1), SeatNeed(1)), SeatNeed(2), 2),
        ((SeatNeed(2),), (SeatNeed(1), SeatNeed(1)), SeatNeed(3), None),
        ((), (SeatNeed(1, 1),), SeatNeed(1, 1), 1),
        ((), (SeatNeed(1, memory_bytes=6),), SeatNeed(1, memory_bytes=6), 1),
    ],
)
def test_idle_seats_make_room_where_they_are_in_the_way(
    held: tuple[SeatNeed, ...], idle: tuple[SeatNeed, ...], wanted: SeatNeed, count: int | None
) -> None:
    assert to_give_back(msgspec.structs.replace(node(gpus=1), memory_bytes=10), held, idle, wanted) == count
