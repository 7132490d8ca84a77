"""The GPUs of this machine, and those that jobs may use. Loads no torch and initialises no CUDA.

They are found by the driver's own `nvidia-smi`, so that the server stays small and the fork server clean. A worker
sees only the one that its job was given, by CUDA_VISIBLE_DEVICES, set before torch first looks.
"""

import os
import subprocess
from collections.abc import Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace

from traind.service.errors import NoSuchDevice
from traind.service.executor.base import Need, Wait
from traind.trainer.contract.spec import Place

QUERY = ("nvidia-smi", "--query-gpu=uuid,memory.total,name", "--format=csv,noheader,nounits")
QUERY_S = 20.0  # a driver that was not used yet takes seconds to answer
CPU = "cpu"


class Device(Struct, frozen=True):
    """One GPU that jobs may have."""

    index: int
    """Its number here: `cuda:1` in a spec is the one with index 1."""
    uuid: str
    """What CUDA_VISIBLE_DEVICES calls it."""
    name: str
    """The maker's name for it."""
    memory_bytes: int
    """Its memory, in bytes."""


def find_devices(wanted: str = "auto") -> tuple[Device, ...]:
    """Return the GPUs for jobs: all that this process may see (`auto`), none (`cpu`), or a list as `cuda:0,cuda:1`.

    Raises `NoSuchDevice` where one that is named is not there.
    """
    return () if wanted == CPU else choose(wanted, visible(_query(), os.environ.get("CUDA_VISIBLE_DEVICES")))


def choose(wanted: str, found: Sequence[Device]) -> tuple[Device, ...]:
    """Return those of the GPUs that a setting names."""
    if wanted == "auto":
        return tuple(found)
    by_name = {f"cuda:{device.index}": device for device in found}
    names = [name.strip() for name in wanted.split(",")]
    if absent := [name for name in names if name not in by_name]:
        there = ", ".join(by_name) or "none"
        raise NoSuchDevice(
            f"There is no device {absent[0]!r} for jobs; there are: {there}.",
            hint='`devices` is "auto", "cpu", or a list such as "cuda:0,cuda:1".',
        )
    return tuple(by_name[name] for name in dict.fromkeys(names))


def visible(found: Sequence[Device], variable: str | None) -> tuple[Device, ...]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES leaves, numbered as a program under it would number them.

    As CUDA reads it: numbers or the beginnings of uuids, up to the first that names nothing.
    """
    if variable is None:
        return tuple(found)
    left: list[Device] = []
    for entry in variable.split(","):
        named = [device for device in found if _is_named(device, entry.strip())]
        if len(named) != 1:
            break
        left.append(Device(len(left), named[0].uuid, named[0].name, named[0].memory_bytes))
    return tuple(left)


def read_query(text: str) -> tuple[Device, ...]:
    """Return the GPUs in what `nvidia-smi` printed; memory is in MiB there."""
    devices: list[Device] = []
    for line in text.splitlines():
        uuid, _, rest = line.partition(",")
        memory, _, name = rest.partition(",")
        if uuid.startswith("GPU-") and memory.strip().isdecimal():
            devices.append(Device(len(devices), uuid, name.strip(), int(memory) * 1024**2))
    return tuple(devices)


def why(need: Need, found: Sequence[Device], taken: Collection[Device]) -> Wait | None:
    """Return why a need of GPUs has to wait; None: those that fit are free. One job at a time has a GPU."""
    fit = [device for device in found if _fits(device, need)]
    if len(fit) < need.gpus:
        there = ", ".join(f"cuda:{device.index} ({device.name})" for device in found) or "none"
        asked = need.device if need.gpus == 1 else f"{need.gpus} GPUs ({need.device})"
        return Wait(f"It asks for {asked}; the GPUs for jobs are: {there}.", is_hopeless=True, is_final=True)
    in_use = sum(device in taken for device in fit)
    if len(fit) - in_use < need.gpus:
        asked = "a GPU" if need.gpus == 1 else f"{need.gpus} GPUs"
        return Wait(f"It waits for {asked}: {in_use} of {len(fit)} that would do are in use.")
    return None


def pick(need: Need, found: Sequence[Device], taken: Collection[Device]) -> tuple[Device, ...]:
    """Return free GPUs that fit, as many as are needed; none where there are fewer, or the CPU is asked for."""
    free = [device for device in found if _fits(device, need) and device not in taken]
    return tuple(free[: need.gpus]) if len(free) >= need.gpus else ()


def placed(place: Place, given: Sequence[Device]) -> Place:
    """Return a job's place with the GPUs it was given; without one it sees none."""
    if not given:
        return replace(place, device=CPU, visible_devices="")
    visible_devices = ",".join(device.uuid for device in given)
    return replace(place, device="cuda", device_name=given[0].name, visible_devices=visible_devices)


def _fits(device: Device, need: Need) -> bool:
    return need.device in ("auto", "cuda", f"cuda:{device.index}")


def _is_named(device: Device, entry: str) -> bool:
    return entry == str(device.index) or (len(entry) > 4 and device.uuid.startswith(entry))


def _query() -> tuple[Device, ...]:
    try:
        asked = subprocess.run(QUERY, capture_output=True, text=True, timeout=QUERY_S, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):  # no driver, or one that does not work: no GPU
        return ()
    return read_query(asked.stdout)
