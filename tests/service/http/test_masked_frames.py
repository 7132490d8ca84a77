"""Frames that are not masked end the connection, however they are cut into pieces; others pass as they are."""

import asyncio
import base64
import struct

from hypothesis import given
from hypothesis import strategies as st

from traind.service.http.masked_frames import MaskedFrames

KEY = base64.b64encode(bytes(16)).decode()


class Reader:
    def __init__(self):
        self.fed = b""

    def feed_data(self, data):
        self.fed += data
        return False, b""

    def feed_eof(self):
        self.fed += b"<end>"


def frame(payload, *, is_masked=True):
    mask = 0x80 if is_masked else 0
    if len(payload) < 126:
        head = bytes([0x81, mask | len(payload)])
    elif len(payload) < 65_536:
        head = bytes([0x81, mask | 126]) + struct.pack(">H", len(payload))
    else:
        head = bytes([0x81, mask | 127]) + struct.pack(">Q", len(payload))
    return head + (bytes(4) + payload if is_masked else payload)


frames = st.lists(st.tuples(st.integers(0, 70_000), st.booleans()), max_size=6)


@given(frames, st.lists(st.integers(1, 5_000), max_size=40))
def test_what_is_masked_passes_and_the_first_that_is_not_ends_it(kinds, cuts):
    sent, passed, is_refused = b"", b"", False
    for length, is_masked in kinds:
        sent += frame(b"x" * length, is_masked=is_masked)
        is_refused |= not is_masked
        if not is_refused:
            passed = sent
    reader = Reader()
    frames_seen = MaskedFrames(reader)
    for cut in [*cuts, len(sent)]:
        frames_seen.feed_data(sent[:cut])
        sent = sent[cut:]
    if is_refused:
        assert reader.fed.startswith(passed)
        assert reader.fed[len(passed) :].removeprefix(b"\x81\x00").startswith(b"\xf0\x80")
    else:
        assert reader.fed == passed


async def raw_socket(call, frames):
    """Send a handshake with frames right behind it; return what comes back until the end."""
    host, port = call.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "GET /api/train/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    head += f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    writer.write(head.encode() + frames)
    received = b""
    async with asyncio.timeout(30):
        while part := await reader.read(65_536):
            received += part
    writer.close()
    return received


async def test_a_real_socket_closes_with_1002_at_a_frame_that_is_not_masked(call):
    ping = b'{"ping": "canary"}'
    answered = await raw_socket(call, frame(ping, is_masked=False))
    assert b"101 Switching" in answered
    assert b"canary" not in answered
    assert b"\x88" in answered
    assert struct.pack(">H", 1002) in answered
    both = await raw_socket(call, frame(ping) + frame(ping, is_masked=False))
    assert struct.pack(">H", 1002) in both
