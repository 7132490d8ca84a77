"""The events of one seat's job on their way to the server: read by cursor, and only after the files that they name.

One task takes, so that the heartbeat is known whatever else goes on; one passes on, in order. Runs in the gateway.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from traind.service.executor.ray.protocol import GAP_S, MODEL, Heard, Held, Message, Over, SeatLost, Take, Taken, Told
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

ANSWERS = 100.0  # a second, with events, of all seats together: beyond that gaps grow
GAP_MOST_S = 0.5
RETRY_S = 0.5
AHEAD = 8  # answers taken while the files of the first are still under way
TRIES = 5  # for a file that does not arrive whole
Send = Callable[[Message], Awaitable[None]]


class Relay:
    """One attempt on one seat, from a cursor on until its end or the seat's."""

    def __init__(self, seat: SeatHandle, job: tuple[str, int], attempt_dir: Path, after: int, send: Send) -> None:
        self.committed = after  # the server will not ask for these again
        self.gap_s = GAP_S
        self._seat = seat
        self.job = job
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
            if not taken.events:
                await self._send(Heard(self._seat.name, taken.beat, taken.phase))
            self._after = taken.events[-1][0] if taken.events else self._after
            if taken.events or taken.output or taken.ended is not None:
                await self._taken.put(taken)
            if taken.end is not None:
                return

    async def _next(self) -> Taken:
        """Return the seat's next answer. One that was lost may have had with it what the job printed."""
        while True:
            wish = Take(self._after, self.committed, gap_s=self.gap_s, is_anew=self._is_anew)
            try:
                answer = await self._seat.call("take", *self.job, msgspec.msgpack.encode(wish))
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
            await self._tell(taken)
            if taken.end is not None:
                await self._persistently(self._bring_rest, taken)
                await self._send(Over(self._seat.name, *self.job, taken.ended_at, taken.end))
                return

    async def _tell(self, taken: Taken) -> None:
        """Send the events of an answer, each after its files."""
        here: list[tuple[int, bytes]] = []
        has_brought = False
        for cursor, body in taken.events:
            event = decode_event(body)
            if here and _names_files(event):  # which may take a while
                await self._send(Told(self._seat.name, *self.job, here, taken.beat, taken.phase))
                here = []
            if isinstance(event, Checkpoint) and not has_brought:
                await self._persistently(self._bring_checkpoints, taken.held)
                has_brought = True
            here.append((cursor, encode_event(await self._persistently(self._brought, event, taken))))
        if here:
            await self._send(Told(self._seat.name, *self.job, here, taken.beat, taken.phase))

    async def _bring_checkpoints(self, left: list[Held] | None) -> None:
        """Have the seat's checkpoints here; `left` are those of a job that is over."""
        if left is not None:
            await mirror_checkpoints(self._read, left, self._folder)
            return
        known = await in_thread(manifests_in, self._folder)
        held = msgspec.msgpack.decode(await self._patiently("hold", known), type=list[Held])
        await mirror_checkpoints(self._read, held, self._folder)
        if any(one.manifest and not one.content for one in held):
            await self._patiently("release")

    async def _bring_rest(self, taken: Taken) -> None:
        """Copy the files that the job left, and its last checkpoints, which may not have been reported."""
        left = [name for name, _ in taken.files if Path(name).match(MANIFESTS)]
        if left != await in_thread(manifests_in, self._folder):
            await self._bring_checkpoints(taken.held)
        files_dir = self._folder.with_name("files")
        for name, size_bytes in taken.files:
            if not name.startswith("checkpoint-") and name != MODEL:
                await in_thread(files_dir.mkdir, 0o777, False, True)
                await pull(self._read, name, size_bytes, files_dir / name)

    async def _brought(self, event: AnyEvent, taken: Taken) -> AnyEvent:
        """Return the event with paths of this machine, what it is about being here."""
        if isinstance(event, Checkpoint):
            return msgspec.structs.replace(event, path=str(self._folder / Path(event.path).name))
        if isinstance(event, State) and event.result is not None and event.result.model_path is not None:
            name = Path(event.result.model_path).name
            model = taken.model if name == MODEL else None
            size_bytes, digest, content = model or await self._patiently("look", name)
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
                return await self._seat.call(method, *self.job, *args)
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


def gap_s(relays: int) -> float:
    """Return the seconds between two answers of each of so many seats, so that all together cost what few do."""
    return min(max(GAP_S, relays / ANSWERS), GAP_MOST_S)


def _names_files(event: AnyEvent) -> bool:
    return isinstance(event, Checkpoint) or (isinstance(event, State) and event.result is not None)
