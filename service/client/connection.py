"""The connection of `Client`: one aiohttp session; repeats requests where that is safe; streams bodies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import aiohttp
from yarl import URL

from traind.service.client.calls import Call
from traind.service.client.errors import Away, is_away, refusal
from traind.service.client.patience import Patience
from traind.service.client.transfers import CHUNK_BYTES, Upload, partial_path
from traind.service.errors import JobNotFound, NotRunning
from traind.service.sources import OnProgress

T = TypeVar("T")


class Connection:
    """The connection to one server. Opened and closed by its client."""

    def __init__(self, base_url: str, token: str | None, timeout_s: float, patience_s: float) -> None:
        self.base_url = base_url.rstrip("/")
        self.patience = Patience(self.base_url, patience_s)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._answers: set[aiohttp.ClientResponse] = (
            set()
        )  # answers being read, such as those of watches that were left early

    async def open(self) -> None:
        """Make the session; nothing is sent yet."""
        connector = aiohttp.TCPConnector(limit=0)  # every watch holds one connection
        self._session = aiohttp.ClientSession(headers=self._headers, connector=connector)

    async def close(self) -> None:
        """Close every connection."""
        for answer in self._answers:
            answer.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, call: Call[T]) -> T:
        """Send one request until it is answered; return the decoded answer."""
        absence = self.patience.begin()
        while True:
            try:
                async with self.response(call, call.body) as response:
                    answer = await response.read()
                absence.answered()
                return call.read(answer)
            except Away as away:
                await asyncio.sleep(absence.delay(away, is_repeatable=call.is_repeatable))
            except JobNotFound:
                if call.method == "DELETE" and absence.is_retry:  # the last try removed it
                    return call.read(b"{}")
                raise

    async def upload(self, call: Call[T], upload: Upload, on_progress: OnProgress | None) -> T:
        """Send one request with a streamed body; calls `on_progress` as it goes on."""
        absence = self.patience.begin()
        while True:
            body = _Body(upload, on_progress)
            try:
                async with self.response(call, body.chunks(), size_bytes=upload.size_bytes) as response:
                    answer = await response.read()
                absence.answered()
                return call.read(answer)
            except Away as away:
                if body.error is not None:  # the source failed, not the server
                    raise body.error from None
                await asyncio.sleep(absence.delay(away, is_repeatable=upload.is_repeatable))

    async def download(self, call: Call[None], path: Path) -> Path:
        """Write an answer to a file, by rename once it is complete."""
        absence = self.patience.begin()
        while True:
            part = partial_path(path)
            try:
                async with self.response(call) as response:
                    await _write(response, part)
                await asyncio.to_thread(part.replace, path)
                absence.answered()
                return path
            except Away as away:
                await asyncio.sleep(absence.delay(away, is_repeatable=True))
            finally:
                part.unlink(missing_ok=True)

    @asynccontextmanager
    async def response(
        self,
        call: Call[T],
        body: bytes | AsyncIterator[bytes] | None = None,
        *,
        size_bytes: int | None = None,
        silence_s: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield one good answer; raises the error of another, and `Away` if the connection fails."""
        if self._session is None:
            raise NotRunning("The client is not open.", hint="Use it as `async with Client(...) as client:`.")
        url = URL(self.base_url + call.target, encoded=True)
        headers = call.headers | ({"Content-Length": str(size_bytes)} if size_bytes is not None else {})
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=silence_s or self._timeout_s)
        try:
            async with self._session.request(
                call.method,
                url,
                data=body,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                if response.status >= 300:
                    raise await self._refused(call, response)
                self._answers.add(response)
                try:
                    yield response
                finally:
                    self._answers.discard(response)
        except aiohttp.ClientConnectorError as error:
            raise Away(str(error.os_error), may_have_arrived=False) from error
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise Away(str(error) or type(error).__name__, may_have_arrived=True) from error

    async def _refused(self, call: Call[T], response: aiohttp.ClientResponse) -> Exception:
        """Return the error of an error answer."""
        answer = await response.read()
        if is_away(response.status, answer):
            return Away(f"it answered {response.status}", may_have_arrived=False)
        return refusal(response.status, answer, self.base_url + call.path)


class _Body:
    """One try of an upload. `error` is the source's error, which aiohttp reports as a lost connection."""

    def __init__(self, upload: Upload, on_progress: OnProgress | None) -> None:
        self._upload = upload
        self._on_progress = on_progress
        self.error: Exception | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes to send."""
        sent = 0
        try:
            async for chunk in self._upload.chunks():
                yield chunk
                sent += len(chunk)
                if self._on_progress is not None:
                    self._on_progress(sent, self._upload.size_bytes)
        except Exception as error:
            self.error = error
            raise


async def _write(response: aiohttp.ClientResponse, path: Path) -> None:
    """Write an answer as it comes."""
    with await asyncio.to_thread(path.open, "xb") as file:
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            await asyncio.to_thread(file.write, chunk)
