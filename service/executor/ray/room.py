"""Whether the cluster has room for a job, and if not, what it lacks: pure functions of what Ray tells."""

from traind.service.executor.base import Need, Wait
from traind.service.executor.ray.protocol import Cluster, SeatNeed

GIGABYTE = 1024**3


def seat_need(need: Need) -> SeatNeed:
    """Return the seat that a job needs: a core a thread, a GPU where the spec names one."""
    return SeatNeed(cpus=need.threads, gpus=int(need.device.startswith("cuda")))


def lacking(cluster: Cluster, need: SeatNeed, slots: int | None = None) -> Wait | None:
    """Return what no node of the cluster could ever offer of a need; None where one could, once it is free.

    `slots` bounds what all seats may hold together.
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
    if not any(node.cpus >= need.cpus and node.gpus >= need.gpus for node in cluster.nodes):
        both = f"{_count(need.cpus, 'core')} and {_count(need.gpus, 'GPU')}"
        return Wait(f"The cluster has no node with {both}.", is_hopeless=True)
    if slots is not None and need.cpus > slots:
        return Wait(f"It takes {need.cpus} slots, and the server may use {slots}.", is_hopeless=True)
    return None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
