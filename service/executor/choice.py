"""The choice of a service's executor by its settings."""

from pathlib import Path

from traind.service.executor.base import Executor
from traind.service.executor.devices import CPU, find_devices
from traind.service.executor.local import LocalExecutor
from traind.service.executor.ray.executor import RaySlots
from traind.service.processes.fork_server import ForkServer
from traind.service.settings import Settings


def executor_of(settings: Settings, root: Path, server: ForkServer, given: Executor | None = None) -> Executor:
    """Return who runs the jobs of a root: who was given, processes of the fork server, or seats on a Ray cluster."""
    if given is not None:
        if isinstance(given, RaySlots):
            given.serve_root(root)
        return given
    if settings.executor == "local":
        return LocalExecutor(
            server,
            count=settings.slot_count,
            memory_bytes=settings.worker_limit_bytes,
            find_devices=lambda: find_devices(settings.devices),
            hides_gpus=settings.devices == CPU,
        )
    slots = RaySlots(
        settings.ray_address or "",
        slots=settings.slots,
        is_insecure=settings.ray_insecure,
        node_dir=settings.ray_node_dir,
        worker_memory_bytes=settings.worker_memory_bytes or None,
        lease_s=settings.ray_lease_s,
    )
    slots.serve_root(root)
    return slots
