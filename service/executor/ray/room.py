"""Whether the cluster has room for a job, and if not, what it lacks: pure functions of what Ray tells."""

import math
from collections.abc import Sequence

from traind.service.executor.base import Need, Wait
from traind.service.executor.ray.protocol import Cluster, Node, SeatNeed

GIGABYTE = 1024**3


def seat_need(need: Need) -> SeatNeed:
    """Return the seat that a job needs: all its cores, and GPUs where the spec asks for any."""
    return SeatNeed(need.threads, need.gpus if need.is_on_gpu else 0, need.memory_bytes)


def seats_of(cluster: Cluster, need: Need) -> tuple[SeatNeed, int]:
    """Return which seats a job needs, and how many.

    One, or one for each of its workers where no node could take them all, but the nodes together could.
    """
    whole = seat_need(need)
    if need.workers == 1 or any(could_take(node, whole) for node in cluster.nodes):
        return whole, 1
    share = SeatNeed(
        math.ceil(whole.cpus / need.workers),
        math.ceil(whole.gpus / need.workers),
        None if whole.memory_bytes is None else math.ceil(whole.memory_bytes / need.workers),
    )
    if sum(_capacity(node, share) for node in cluster.nodes) < need.workers:
        return whole, 1
    return share, need.workers


def lacking(cluster: Cluster, need: SeatNeed, slots: int | None = None, count: int = 1) -> Wait | None:
    """Return what no node of the cluster could ever offer of a need; None where one could, once it is free.

    `slots` bounds what all seats may hold together; `count` is how many such seats the job needs.
    """
    if not cluster.nodes:
        return Wait("The cluster has no node.")
    parts = [(need.cpus, "core", [int(node.cpus) for node in cluster.nodes])]
    if need.gpus:
        parts.append((need.gpus, "GPU", [int(node.gpus) for node in cluster.nodes]))
    for wanted, noun, has in parts:
        if max(has) < wanted:
            return Wait(
                f"The cluster has no node with {_count(wanted, noun)}; largest: {max(has)}.", is_hopeless=True
            )
    wanted_bytes, largest = need.memory_bytes or 0, max(node.memory_bytes for node in cluster.nodes)
    if wanted_bytes > largest:
        words = f"{_gib(wanted_bytes)} of memory; largest: {_gib(largest)}"
        return Wait(f"The cluster has no node with {words}.", is_hopeless=True)
    if not any(could_take(node, need) for node in cluster.nodes):
        every = [_count(need.cpus, "core")]
        every += [_count(need.gpus, "GPU")] if need.gpus else []
        every += [f"{_gib(wanted_bytes)} of memory"] if wanted_bytes else []
        words = " and ".join((", ".join(every[:-1]), every[-1]))
        return Wait(f"The cluster has no node with {words}.", is_hopeless=True)
    if slots is not None and need.cpus * count > slots:
        return Wait(f"It takes {need.cpus * count} slots, and the server may use {slots}.", is_hopeless=True)
    return None


def could_take(node: Node, need: SeatNeed) -> bool:
    """Whether a node has what a seat needs, once nobody else holds it."""
    return node.cpus >= need.cpus and node.gpus >= need.gpus and node.memory_bytes >= (need.memory_bytes or 0)


def _capacity(node: Node, need: SeatNeed) -> int:
    """Return how many such seats a node has room for, once nobody else holds it."""
    rooms = [node.cpus // need.cpus]
    rooms += [node.gpus // need.gpus] if need.gpus else []
    rooms += [node.memory_bytes // need.memory_bytes] if need.memory_bytes else []
    return int(min(rooms))


def to_give_back(node: Node, held: Sequence[SeatNeed], idle: Sequence[SeatNeed], wanted: SeatNeed) -> int | None:
    """Return how many of a node's idle seats are in the way of another one; None where it has no room without them.

    `held` are the seats with a job, `idle` those without, in the order in which they are given back.
    """
    for count in range(len(idle) + 1):
        kept = [*held, *idle[count:], wanted]
        all_of_it = SeatNeed(
            sum(need.cpus for need in kept),
            sum(need.gpus for need in kept),
            sum(need.memory_bytes or 0 for need in kept),
        )
        if could_take(node, all_of_it):
            return count
    return None


def _gib(size_bytes: float) -> str:
    return f"{size_bytes / GIGABYTE:.1f} GiB"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
