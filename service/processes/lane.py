"""A short queue of calls for a few processes, fair between clients.

Each client may hold all but one of the lane's places, so that one who asks for what takes long leaves one to all
others; clients that wait take turns. Who finds too many waiting is refused at once. Knows no process; used by `side`.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from traind.service.errors import SideWorkerBusy

CLIENT: ContextVar[str] = ContextVar("traind_client", default="")  # the calling client, set by the HTTP handlers
WAITING = 32  # calls that may wait for one lane
WAITING_EACH = 8  # of one client


class Lane:
    """The places of one lane and the queue for them."""

    def __init__(self, width: int) -> None:
        """Make it with `width` places (1 or more)."""
        self._width = width
        self._share = max(1, width - 1)
        self._running: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def running(self) -> int:
        """Number of calls that hold a place."""
        return self._running.total()

    @property
    def waiting(self) -> int:
        """Number of calls that wait for a place."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def place(self, client: str, abandoned: "asyncio.Future[None]") -> AsyncIterator[None]:
        """Hold a place, after waiting for this client's turn. Raises `SideWorkerBusy`.

        Raises `CancelledError` where `abandoned` is done before that: nobody waits for it any more.
        """
        await self._take(client, abandoned)
        try:
            yield
        finally:
            self._give_back(client)

    def check(self, client: str) -> None:
        """Raise `SideWorkerBusy` where a call of this client could not even wait."""
        if self._has_room(client):
            return
        mine = len(self._waiting.get(client, ()))
        if mine >= WAITING_EACH or self.waiting >= WAITING:
            whose = f"{mine} calls of yours wait" if mine >= WAITING_EACH else f"{self.waiting} calls wait"
            raise SideWorkerBusy(f"{whose} for this already.", hint="Send it again when they are answered.")

    async def _take(self, client: str, abandoned: "asyncio.Future[None]") -> None:
        self.check(client)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        self._grant()
        is_kept = False
        try:
            await asyncio.wait({turn, abandoned}, return_when=asyncio.FIRST_COMPLETED)
            is_kept = not abandoned.done()
        finally:
            if not is_kept and turn.done():
                self._give_back(client)
            elif not is_kept:
                self._forget(client, turn)
        if not is_kept:
            raise asyncio.CancelledError

    def _has_room(self, client: str) -> bool:
        return self.running < self._width and self._running[client] < self._share

    def _give_back(self, client: str) -> None:
        self._running[client] -= 1
        if not self._running[client]:
            del self._running[client]
        self._grant()

    def _grant(self) -> None:
        """Give free places to waiting calls, one client after the other."""
        for client in list(self._waiting):
            if client in self._waiting and self._has_room(client):
                turn = self._waiting[client].popleft()
                self._waiting.move_to_end(client)
                if not self._waiting[client]:
                    del self._waiting[client]
                self._running[client] += 1
                turn.set_result(None)

    def _forget(self, client: str, turn: "asyncio.Future[None]") -> None:
        self._waiting[client].remove(turn)
        if not self._waiting[client]:
            del self._waiting[client]
