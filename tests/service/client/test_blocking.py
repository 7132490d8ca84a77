"""Requests over `http.client`: sent again where that is safe, errors as those of `Client`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from traind.service.client import calls
from traind.service.client.blocking import BlockingConnection
from traind.service.client.errors import ServerUnreachable
from traind.service.errors import JobNotFound

GONE = b'{"ok": false, "error": {"code": "job_not_found", "message": "There is no job."}}'
GOOD = (200, b'{"ok": true}')


@contextmanager
def scripted(*answers: tuple[int, bytes] | None) -> Iterator[tuple[str, list[str]]]:
    """Serve the answers in turn, None: a connection that is cut; yields the address and the requests that came."""
    left, seen = list(answers), list[str]()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            seen.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if (answer := left.pop(0)) is not None:
                self.send_response(answer[0])
                self.send_header("Content-Length", str(len(answer[1])))
                self.end_headers()
                self.wfile.write(answer[1])

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/below", seen
        finally:
            server.shutdown()
            thread.join()


def test_a_request_is_sent_again_where_the_server_was_away_for_a_moment() -> None:
    with scripted(GOOD, None, (503, b"proxy"), GOOD) as (url, seen):
        connection = BlockingConnection(url)
        assert connection.send(calls.health()) == {}
        assert connection.send(calls.health()) == {}
    assert seen == ["GET /below/api/health"] * 4


def test_a_delete_whose_answer_was_lost_has_been_done() -> None:
    with scripted(GOOD, None, (404, GONE), (404, GONE)) as (url, _seen):
        connection = BlockingConnection(url)
        connection.send(calls.health())
        assert connection.send(calls.delete("j")) is None  # type: ignore[func-returns-value]
        with pytest.raises(JobNotFound):
            connection.send(calls.delete("j"))


def test_what_may_not_be_sent_twice_is_not() -> None:
    with scripted(GOOD, None) as (url, seen):
        connection = BlockingConnection(url)
        connection.send(calls.health())
        with pytest.raises(ServerUnreachable, match="may or may not have been carried out"):
            connection.send(calls.control("j", {"lr": 0.1}))
    assert len(seen) == 2


@pytest.mark.parametrize("url", ["nowhere", "ftp://127.0.0.1", "http://", "http://127.0.0.1:99999", "http://a b"])
def test_an_address_that_cannot_be_is_named(url: str) -> None:
    with pytest.raises(ServerUnreachable, match="No traind answers at"):
        BlockingConnection(url).send(calls.health())
