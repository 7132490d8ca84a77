"""How `SyncClient` talks: one plain connection a request, no thread, no event loop, nothing to close."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from traind.service.client.calls import Call
from traind.service.client.errors import Away, is_away, refusal
from traind.service.client.patience import Patience
from traind.service.client.transfers import CHUNK_BYTES, OnProgress, Upload, partial_path
from traind.service.errors import JobNotFound

T = TypeVar("T")


class BlockingConnection:
    """One server; as `Connection`, blocking."""

    def __init__(self, base_url: str, token: str | None, timeout_s: float, patience_s: float) -> None:
        self.base_url = base_url.rstrip("/")
        self.patience = Patience(self.base_url, patience_s)
        self._place = urlsplit(self.base_url)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_s = timeout_s

    def send(self, call: Call[T]) -> T:
        """Send one request until it is answered, and return what it asked for."""
        absence = self.patience.begin()
        while True:
            try:
                with self.response(call, call.body) as response:
                    answer = response.read()
                absence.answered()
                return call.read(answer)
            except Away as away:
                time.sleep(absence.delay(away, is_repeatable=call.is_repeatable))
            except JobNotFound:
                if call.method == "DELETE" and absence.is_retry:  # the try before did it
                    return call.read(b"{}")
                raise

    def upload(self, call: Call[T], upload: Upload, told: OnProgress | None) -> T:
        """Send one request with a body that streams, telling how far it is."""
        absence = self.patience.begin()
        while True:
            try:
                with self.response(call, _body(upload, told), size_bytes=upload.size_bytes) as response:
                    answer = response.read()
                absence.answered()
                return call.read(answer)
            except Away as away:
                time.sleep(absence.delay(away, is_repeatable=upload.is_repeatable))

    def download(self, call: Call[None], path: Path) -> Path:
        """Write an answer to a file, which is there only once it is whole."""
        absence = self.patience.begin()
        while True:
            part = partial_path(path)
            try:
                with self.response(call) as response, part.open("xb") as file:
                    shutil.copyfileobj(response, file, CHUNK_BYTES)
                    if not response.length:  # http.client takes a cut body for a whole one where it is read in pieces
                        absence.answered()
                        return part.replace(path)
                time.sleep(absence.delay(Away("the answer broke off", may_have_arrived=True), is_repeatable=True))
            except Away as away:
                time.sleep(absence.delay(away, is_repeatable=True))
            finally:
                part.unlink(missing_ok=True)

    @contextmanager
    def response(
        self,
        call: Call[T],
        body: bytes | Iterator[bytes] | None = None,
        *,
        size_bytes: int | None = None,
        silence_s: float | None = None,
    ) -> Iterator[HTTPResponse]:
        """Open one answer that is not a refusal. A connection that fails, now or while reading, is `Away`."""
        headers = self._headers | call.headers
        if size_bytes is not None:
            headers["Content-Length"] = str(size_bytes)
        connection = self._connect(silence_s or self._timeout_s)
        try:
            response = _exchange(connection, call.method, self._place.path + call.target, body, headers)
            if response.status >= 300:
                answer = response.read()
                if is_away(response.status, answer):
                    raise Away(f"it answered {response.status}", may_have_arrived=False)
                raise refusal(response.status, answer, self.base_url + call.path)
            yield response
        except (HTTPException, ConnectionError, TimeoutError) as error:
            raise Away(str(error) or type(error).__name__, may_have_arrived=True) from error
        finally:
            connection.close()

    def _connect(self, timeout_s: float) -> HTTPConnection:
        kind = HTTPSConnection if self._place.scheme == "https" else HTTPConnection
        connection = kind(self._place.hostname or "", self._place.port, timeout=timeout_s)
        try:
            connection.connect()
        except OSError as error:
            raise Away(error.strerror or str(error), may_have_arrived=False) from error
        return connection


def _exchange(
    connection: HTTPConnection,
    method: str,
    target: str,
    body: bytes | Iterator[bytes] | None,
    headers: dict[str, str],
) -> HTTPResponse:
    """Send a request and return its answer, which may have come before all of the body was taken."""
    try:
        connection.request(method, target, body, headers)
    except ConnectionError:
        if body is None or isinstance(body, bytes):
            raise
    return connection.getresponse()


def _body(upload: Upload, told: OnProgress | None) -> Iterator[bytes]:
    """Yield the bytes to send."""
    if upload.open is None:
        raise TypeError("An asynchronous source needs `Client`; `SyncClient` takes a path, bytes or rows.")
    sent = 0
    for chunk in upload.open():
        yield chunk
        sent += len(chunk)
        if told is not None:
            told(sent, upload.size_bytes)
