"""Whether this machine has room for a job on its slots, and if not, what it lacks: pure functions."""

from traind.service.executor.base import Need, Wait

GIB = 1024**3


def lacking(need: Need, slots: int, limit_bytes: int | None) -> Wait | None:
    """Return what this server will never have of a need; None where it has all of it, or will.

    `limit_bytes` is what one job may allocate here; None: as much as there is.
    """
    if need.workers > max(slots, need.gpus if need.is_on_gpu else 0):
        return _never("workers", f"It has {need.workers} workers, which take a slot each; this server has {slots}.")
    if need.has_cpus and need.threads > slots and not need.is_on_gpu:
        return _never("cpus", f"It asks for {need.threads} cores; this server has {slots} slots of one core.")
    if need.memory_bytes is not None and limit_bytes is not None and need.memory_bytes > limit_bytes:
        asked, has = need.memory_bytes / GIB, limit_bytes / GIB
        return _never("memory", f"It asks for {asked:.1f} GiB of memory; one job may have {has:.1f} GiB here.")
    return None


def waiting(need: Need, slots: int, free: int, free_bytes: int) -> Wait | None:
    """Return why a job has to wait for slots, or for the memory that other jobs asked for; None: there is room."""
    wanted = min(need.threads, slots)
    if wanted > free:
        return Wait(f"It takes {wanted} of {slots} slots; {free} are free.")
    if need.memory_bytes is not None and need.memory_bytes > free_bytes:
        asked, left = need.memory_bytes / GIB, free_bytes / GIB
        return Wait(f"It asks for {asked:.1f} GiB of memory; other jobs have left {left:.1f} GiB.")
    return None


def _never(field: str, message: str) -> Wait:
    return Wait(message, is_hopeless=True, is_final=True, field=field)
