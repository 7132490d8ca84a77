"""A web app with several worker processes. A root has one server, so they all speak to one `traind serve`.

traind serve --root var &
gunicorn --workers 2 --chdir examples gunicorn_host:app
curl -X POST '127.0.0.1:8000/?epochs=3'        the job's id
curl '127.0.0.1:8000/?job=JOB'                 how it is, whichever worker answers
"""

import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from traind import ServiceError, SyncClient

client = SyncClient(os.environ.get("TRAIND_SERVER", "http://127.0.0.1:3001"))


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    try:
        if environ["REQUEST_METHOD"] == "POST":
            words = client.submit(epochs=int(query.get("epochs", 3))).job_id
        else:
            job = client.status(query.get("job", ""))
            words = f"{job.status} {job.progress:.0f} % (worker {os.getpid()})"
    except (ServiceError, ValueError) as error:
        start_response("400 Bad Request", [("Content-Type", "text/plain")])
        return [f"{error}\n".encode()]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{words}\n".encode()]
