"""Client frames must be masked (RFC 6455, 5.1): a websocket that closes with 1002 at one that is not.

aiohttp's reader takes both kinds. The mask is there so that what a page's script sends through a proxy never looks
like a request there. `MaskedFrames` stands before the reader and sees where frames begin; it copies nothing.
"""

from typing import Any

from aiohttp import web
from aiohttp.web_request import BaseRequest

_REFUSED = b"\xf0\x80"  # a head with reserved bits: the reader closes with 1002, as the RFC wants it here too
_EMPTY = b"\x00"  # ends a head whose first byte the reader has: a frame that holds nothing
_MASKED, _LENGTH = 0x80, 0x7F
_MASK_BYTES = 4
_LENGTH_BYTES = {126: 2, 127: 8}  # where the length stands behind the head


class MaskedFrames:
    """A parser of frames before another one, which gets what is masked."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._head = b""  # of a frame, as far as it has arrived
        self._left = 0  # bytes of the current frame still to come
        self._is_refused = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Hand the bytes on, up to a frame that is not masked."""
        place = self._refused_at(data)
        if place is None:
            answer: tuple[bool, bytes] = self._reader.feed_data(data)
            return answer
        self._is_refused = True
        self._reader.feed_data(data[:place] if place >= 0 else _EMPTY)
        refused: tuple[bool, bytes] = self._reader.feed_data(_REFUSED)
        return refused

    def feed_eof(self) -> None:
        """Tell the reader that nothing more comes."""
        self._reader.feed_eof()

    def _refused_at(self, data: bytes) -> int | None:
        """Return where a frame that is not masked begins, None where there is none.

        It is -1 where the reader has its first byte already.
        """
        if self._is_refused:
            return 0
        place = 0
        while place < len(data):
            if self._left:
                taken = min(self._left, len(data) - place)
                self._left -= taken
                place += taken
                continue
            self._head += data[place : place + 1]
            place += 1
            if len(self._head) < 2:
                continue
            if not self._head[1] & _MASKED:
                return place - len(self._head)
            wanted = 2 + _LENGTH_BYTES.get(self._head[1] & _LENGTH, 0)
            if len(self._head) == wanted:
                short = self._head[1] & _LENGTH
                length = short if wanted == 2 else int.from_bytes(self._head[2:], "big")
                self._left, self._head = _MASK_BYTES + length, b""
        return None


class MaskedWebSocket(web.WebSocketResponse):
    """A websocket that takes masked frames only."""

    def _post_start(self, request: BaseRequest, protocol: str | None, writer: Any) -> None:
        line = request.protocol
        early, line._message_tail = line._message_tail, b""  # noqa: SLF001 - sent with the handshake
        super()._post_start(request, protocol, writer)
        line._payload_parser = MaskedFrames(line._payload_parser)  # noqa: SLF001 - aiohttp has no hook for this
        if early:
            line._payload_parser.feed_data(early)  # noqa: SLF001
