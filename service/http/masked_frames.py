"""A websocket that closes with 1002 at an unmasked client frame, as RFC 6455 (5.1) requires.

aiohttp's reader accepts both kinds. Masking prevents that data sent by a page's script looks like a request to a
proxy. `MaskedFrames` is put before the reader and finds where frames begin; it copies nothing.
"""

from typing import Any

from aiohttp import web
from aiohttp.web_request import BaseRequest

_REFUSED = b"\xf0\x80"  # a head with reserved bits, for which the reader closes with 1002
_EMPTY = b"\x00"  # completes a head whose first byte the reader has, as an empty frame
_MASKED, _LENGTH = 0x80, 0x7F
_MASK_BYTES = 4
_LENGTH_BYTES = {126: 2, 127: 8}  # bytes of an extended length


class MaskedFrames:
    """A parser of frames before another one, which receives masked frames only."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._head = b""  # the part of a frame's head that has arrived
        self._left = 0  # bytes of the current frame still to come
        self._is_refused = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Pass bytes on, up to a frame that is not masked."""
        place = self._refused_at(data)
        if place is None:
            answer: tuple[bool, bytes] = self._reader.feed_data(data)
            return answer
        self._is_refused = True
        self._reader.feed_data(data[:place] if place >= 0 else _EMPTY)
        refused: tuple[bool, bytes] = self._reader.feed_data(_REFUSED)
        return refused

    def feed_eof(self) -> None:
        """Tell the reader that the stream has ended."""
        self._reader.feed_eof()

    def _refused_at(self, data: bytes) -> int | None:
        """Return where a frame that is not masked begins, or None.

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
    """A websocket that accepts masked frames only."""

    def _post_start(self, request: BaseRequest, protocol: str | None, writer: Any) -> None:
        line = request.protocol
        early, line._message_tail = line._message_tail, b""  # noqa: SLF001 - sent with the handshake
        super()._post_start(request, protocol, writer)
        line._payload_parser = MaskedFrames(line._payload_parser)  # noqa: SLF001 - aiohttp has no hook for this
        if early:
            line._payload_parser.feed_data(early)  # noqa: SLF001
