"""The server that bad inputs and crowds are sent to: `traind serve` as its users run it, watched from outside."""

import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

TOKEN = "canary-token-7f3a"


class Target:
    """A running server: its address, its process, and what it wrote."""

    def __init__(
        self, url: str, process: asyncio.subprocess.Process, log: Path, session: aiohttp.ClientSession
    ) -> None:
        self.url = url
        self.process = process
        self.log = log
        self.session = session
        self.host, port = url.removeprefix("http://").split(":")
        self.port = int(port)

    def resident_bytes(self) -> int:
        """Return the memory that the server holds."""
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    async def request(self, method: str, path: str, **options: object) -> int:
        """Send a request that is HTTP, return its status; an error has to have the one shape."""
        async with self.session.request(method, self.url + path, **options) as response:
            body = await response.read()
            if response.status >= 400:
                said = json.loads(body)
                assert said["ok"] is False, (method, path, body)
                assert set(said["error"]) == {"code", "message", "hint", "details"}, (method, path, body)
                assert b"Traceback" not in body, (method, path, body)
            return response.status

    async def lateness(self) -> dict[float, int]:
        """Return how many of the event loop's timers came at most so late, by seconds; infinity: all."""
        async with self.session.get(self.url + "/metrics") as response:
            found = re.findall(r'traind_event_loop_lag_seconds_bucket\{le="(\S+)"\} (\S+)', await response.text())
        return {float(bound): int(float(count)) for bound, count in found}

    async def raw(self, data: bytes) -> int | None:
        """Send bytes, return the status of the first answer; None where the server closes or waits for more."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(data)
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(0.3):
                    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", await reader.readline())
                    return int(found[1]) if found else None
            return None
        finally:
            writer.close()


@asynccontextmanager
async def running(root: Path) -> AsyncIterator[Target]:
    """Run `traind serve` on a root, with a token, until the block is left."""
    tokens = root / "tokens"
    tokens.write_text(f"tester:{TOKEN}\n")
    log = root / "log"
    command = [sys.executable, "-m", "traind", "serve", "--root", str(root / "root"), "--port", "0", "--slots", "1"]
    command += ["--token-file", str(tokens), "--log", "json", "--log-level", "info"]
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=errors)
    try:
        assert process.stdout is not None
        found = re.search(r"http://[\w.]+:\d+", (await process.stdout.readline()).decode())
        assert found, log.read_text()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        timeout = aiohttp.ClientTimeout(60)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            yield Target(found[0], process, log, session)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
