"""The events of one seat's job on their way to the server: read by cursor, and only after the files that they name.

One task takes, so that the heartbeat is known whatever else goes on; one passes on, in order. Runs in the gateway.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from traind.service.executor.ray.protocol import Heard, Held, Message, Over, SeatLost, Taken, Told
from traind.service.executor.ray.seat_handle import SeatGone, SeatHandle, SeatRefused, SeatSilent
from traind.service.executor.ray.transfer import (
    MANIFESTS,
    NotWhole,
    append_output,
    bring,
    manifests_in,
    mirror_checkpoints,
    pull,
)
from traind.service.threads import in_thread
from traind.trainer.contract.events import AnyEvent, Checkpoint, State, decode_event, encode_event

WAIT_S = 1.0  # a seat answers at least this often, with its heartbeat
RETRY_S = 0.5
AHEAD = 8  # answers taken while the files of the first are still under way
TRIES = 5  # for a file that does not arrive whole
Send = Callable[[Message], Awaitable[None]]


class Relay:
    """One attempt on one seat, from a cursor on until its end or the seat's."""

    def __init__(self, seat: SeatHandle, job: tuple[str, int], attempt_dir: Path, after: int, send: Send) -> None:
        self.committed = after  # the server will not ask for these again
        self._seat = seat
        self._job = job
        self._folder = attempt_dir
        self._after = after
        self._send = send
        self._is_anew = True  # another gateway may have heard it before: what it printed is wanted from the beginning
        self._taken: asyncio.Queue[Taken] = asyncio.Queue(AHEAD)

    async def run(self) -> None:
        """Pass on all events in order, and the end; or that the seat is lost."""
        taking = asyncio.create_task(self._take(), name=f"traind-take {self._seat.name}")
        passing = asyncio.create_task(self._pass_on(), name=f"traind-pass {self._seat.name}")
        try:
            await asyncio.wait({taking, passing}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (taking, passing):
                if task.done() and (error := task.exception()) is not None:
                    raise error
        except SeatGone as gone:
            await self._send(SeatLost(self._seat.name, str(gone), gone.is_out_of_memory))
        except (SeatRefused, NotWhole) as error:
            await self._send(SeatLost(self._seat.name, str(error)))
        finally:
            for task in (taking, passing):
                task.cancel()

    async def _take(self) -> None:
        while True:
            if self._taken.full():
                await self._send(Heard(self._seat.name, *await self._patiently("beat")))
                await asyncio.sleep(RETRY_S)
                continue
            taken = await self._next()
            await self._send(Heard(self._seat.name, taken.beat, taken.phase))
            self._after = taken.events[-1][0] if taken.events else self._after
            if taken.events or taken.output or taken.ended is not None:
                await self._taken.put(taken)
            if taken.end is not None:
                return

    async def _next(self) -> Taken:
        """Return the seat's next answer. One that was lost may have had with it what the job printed."""
        while True:
            try:
                answer = await self._seat.call(
                    "take", *self._job, self._after, self.committed, WAIT_S, is_anew=self._is_anew
                )
            except SeatSilent:
                self._is_anew = True
                await asyncio.sleep(RETRY_S)
            else:
                self._is_anew = False
                return msgspec.msgpack.decode(answer, type=Taken)

    async def _pass_on(self) -> None:
        while True:
            taken = await self._taken.get()
            if taken.output:
                await self._persistently(
                    in_thread, append_output, self._folder / "output.log", taken.output_from, taken.output
                )
            events = [(cursor, decode_event(body)) for cursor, body in taken.events]
            if any(isinstance(event, Checkpoint) for _, event in events):
                await self._persistently(self._bring_checkpoints)
            for cursor, event in events:
                here = await self._persistently(self._brought, event)
                await self._send(Told(self._seat.name, *self._job, cursor, encode_event(here)))
            if taken.end is not None:
                await self._persistently(self._bring_rest, taken)
                await self._send(Over(self._seat.name, *self._job, taken.ended_at, taken.end))
                return

    async def _bring_checkpoints(self) -> None:
        known = await in_thread(manifests_in, self._folder)
        held = msgspec.msgpack.decode(await self._patiently("hold", known), type=list[Held])
        await mirror_checkpoints(self._read, held, self._folder)
        if any(one.manifest and not one.content for one in held):
            await self._patiently("release")

    async def _bring_rest(self, taken: Taken) -> None:
        """Copy the files that the job left, and its last checkpoints, which may not have been reported."""
        left = [name for name, _ in taken.files if Path(name).match(MANIFESTS)]
        if left != await in_thread(manifests_in, self._folder):
            await self._bring_checkpoints()
        files_dir = self._folder.with_name("files")
        for name, size_bytes in taken.files:
            if not name.startswith("checkpoint-") and name != "model.pt":
                await in_thread(files_dir.mkdir, 0o777, False, True)
                await pull(self._read, name, size_bytes, files_dir / name)

    async def _brought(self, event: AnyEvent) -> AnyEvent:
        """Return the event with paths of this machine, what it is about being here."""
        if isinstance(event, Checkpoint):
            return msgspec.structs.replace(event, path=str(self._folder / Path(event.path).name))
        if isinstance(event, State) and event.result is not None and event.result.model_path is not None:
            name = Path(event.result.model_path).name
            size_bytes, digest, content = await self._patiently("look", name)
            await bring(self._read, name, size_bytes, self._folder / name, digest, content)
            result = msgspec.structs.replace(event.result, model_path=str(self._folder / name))
            return msgspec.structs.replace(event, result=result)
        return event

    async def _read(self, name: str, offset: int, size: int) -> bytes:
        data: bytes = await self._patiently("read", name, offset, size)
        return data

    async def _patiently(self, method: str, *args: object) -> Any:
        """Call a method about the job, again while the seat is silent: the server decides when it is lost."""
        while True:
            try:
                return await self._seat.call(method, *self._job, *args)
            except SeatSilent:
                await asyncio.sleep(RETRY_S)

    async def _persistently(self, work: Callable[..., Awaitable[Any]], *args: object) -> Any:
        """Do something with our own disk, again and again while that has no room or the like."""
        tries = 0
        while True:
            try:
                return await functools.partial(work, *args)()
            except OSError:
                await asyncio.sleep(RETRY_S)
            except NotWhole:
                tries += 1
                if tries == TRIES:
                    raise
