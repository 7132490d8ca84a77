"""How the processes of a job of several workers meet: torch's process group, and what its end looks like."""

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch import distributed

from traind.trainer.contract.events import State, Status
from traind.trainer.contract.spec import Meeting, Place
from traind.trainer.run.device import CUDA
from traind.trainer.run.outcome import EmitFailed
from traind.trainer.run.run import Run
from traind.trainer.run.world import World

RENDEZVOUS = ".ranks"  # the file in the attempt's folder by which processes of one machine find each other
PATIENCE = timedelta(days=30)  # whoever waits for another is watched from outside: a hang is not decided here
Train = Callable[[Run[Any]], None]
SIOCGIFADDR = 0x8915  # asks Linux for the address of a network interface


class RankDied(Exception):
    """One of the job's processes died; the attempt is over, and is tried again as any that died."""


@contextlib.contextmanager
def joined(place: Place, world: World) -> Iterator[None]:
    """Have torch's process group for what is done within: gloo, and nccl too where there are GPUs."""
    where, interface = f"file://{Path(place.attempt_dir) / RENDEZVOUS}", "lo"  # nobody else shall reach them
    if (meeting := place.meeting) is not None:
        where, interface = f"tcp://{meeting.host}:{meeting.port}", _interface_towards(meeting)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
    os.environ.setdefault("NCCL_SOCKET_IFNAME", interface)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if place.device == CUDA else "gloo",
        init_method=where,
        rank=world.rank,
        world_size=world.size,
        timeout=PATIENCE,
    )
    yield
    distributed.destroy_process_group()  # not where it has broken: others may be gone


def trained(this: Run[Any], place: Place, world: World, train: Train) -> BaseException | None:
    """Train with the other processes; return what the trainer raised, if anything. Raises `EmitFailed`."""
    this.emit(State(status=Status.LOADING, attempt=place.attempt))
    try:
        with joined(place, world):
            train(this)
    except EmitFailed:
        raise
    except BaseException as error:  # noqa: BLE001 - as `attempt.run`
        return error
    return None


def is_cut_off(error: BaseException) -> bool:
    """Whether an error is what a process sees of another one's end."""
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in ("gloo", "nccl"))


def _interface_towards(meeting: Meeting) -> str:
    """Return the network interface by which this machine reaches rank 0's; raises `OSError` where none does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((meeting.host, meeting.port))  # sends nothing
        own = probe.getsockname()[0]
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # it has no address
                answer = fcntl.ioctl(probe, SIOCGIFADDR, struct.pack("256s", name.encode()))
                if socket.inet_ntoa(answer[20:24]) == own:
                    return name
    raise OSError(f"no network interface of this machine has the address {own}")
