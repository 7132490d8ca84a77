"""Reading one job's server-sent events: the position, and whether the job is over. No input or output."""

from traind.service.client.calls import Call
from traind.service.client.errors import Away
from traind.service.jobs.job import TERMINAL
from traind.trainer.contract.events import AnyEvent, State, decode_event

STREAM_SILENCE_S = 45.0  # the server sends a comment every 15 s


class Cursor:
    """One watcher's position in a job's events, over any number of connections."""

    def __init__(self, job_id: str, after: int) -> None:
        self.job_id = job_id
        self.after = after
        self.is_over = False
        self._rest = b""
        self._ended = False  # the newest event read was the job's end

    def call(self) -> Call[None]:
        """Return the request for the events after those read."""
        query = {"job_id": self.job_id, "after": self.after}
        return Call("GET", "/api/train/events", _nothing, query=query, accept="text/event-stream")

    def opened(self, status: int) -> None:
        """Begin a connection; status 204 means that nothing is left to read."""
        self._rest = b""
        self.is_over = status == 204

    def feed(self, chunk: bytes) -> list[AnyEvent]:
        """Take bytes as they come; return the events that they completed, each `seq` once."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                event = decode_event(line[5:].strip())
                if event.seq > self.after:
                    self.after = event.seq
                    self._ended = isinstance(event, State) and event.status in TERMINAL
                    events.append(event)
        return events

    def closed(self) -> None:
        """Handle a connection closed by the server; raises `Away` unless the job's last event has come."""
        self.is_over = self.is_over or self._ended
        if not self.is_over:
            raise Away("it ended the stream before the job was over", may_have_arrived=True)


def _nothing(_body: bytes) -> None:
    """Ignore the body: `feed` reads it."""
