"""Requests to a running server over `http.client`, for commands that send one or two and end.

`Client` needs aiohttp, whose import takes longer than all that such a command does. What is sent, how an answer is
read and which request is sent again is the same here and there: `calls`, `errors`, `patience`.
"""

import os
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final, TypeVar
from urllib.parse import urlsplit

from traind.service.client.calls import Call
from traind.service.client.errors import Away, is_away, refusal
from traind.service.client.patience import Patience
from traind.service.errors import JobNotFound

T = TypeVar("T")
CONNECT_S: Final = 10.0
SILENCE_S: Final = 120.0  # the longest silence within an answer
PATIENCE_S: Final = 90.0  # how long a server that has answered may be away


class BlockingConnection:
    """One server; each request is a connection of its own. The token is taken from TRAIND_TOKEN."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._patience = Patience(self._base_url, PATIENCE_S)
        token = os.environ.get("TRAIND_TOKEN")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def send(self, call: Call[T]) -> T:
        """Send one request until it is answered and return what it asked for; errors as those of `Client`."""
        absence = self._patience.begin()
        while True:
            try:
                answer = self._answer(call)
                absence.answered()
                return call.read(answer)
            except Away as away:
                time.sleep(absence.delay(away, is_repeatable=call.is_repeatable))
            except JobNotFound:
                if call.method == "DELETE" and absence.is_retry:  # the try before did it
                    return call.read(b"{}")
                raise

    def _answer(self, call: Call[T]) -> bytes:
        """Return the body of a good answer. A connection that fails, or a server that is closing, is `Away`."""
        address = urlsplit(self._base_url)
        kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise Away("it is no address like http://127.0.0.1:3001", may_have_arrived=False)
        try:
            connection = kind(address.hostname, address.port, timeout=CONNECT_S)
            connection.connect()
        except (OSError, ValueError, HTTPException) as error:  # the last two: no such host or port can be
            raise Away(str(error), may_have_arrived=False) from error
        try:
            connection.sock.settimeout(SILENCE_S)
            connection.request(call.method, address.path + call.target, call.body, self._headers | call.headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, HTTPException) as error:
            raise Away(str(error) or type(error).__name__, may_have_arrived=True) from error
        finally:
            connection.close()
        if is_away(response.status, body):
            raise Away(f"it answered {response.status}", may_have_arrived=False)
        if response.status >= 300:
            raise refusal(response.status, body, self._base_url + call.path)
        return body
