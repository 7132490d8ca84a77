"""What a person sees whose browser is turned away at the door: which setting lets it in. Programs get JSON."""

import re
from html import escape

from aiohttp import hdrs, web

from traind.service.http.errors import HostNotAllowed, OriginNotAllowed, response_of

_ALLOWED_BEHIND = "The manual (docs/deployment.md) and examples/deploy have nginx and Caddy as they need to be."


def answer_person(request: web.Request, error: HostNotAllowed | OriginNotAllowed) -> web.Response:
    """Return a refusal as a page where a browser asked for one, else as JSON."""
    if request.method != hdrs.METH_GET or "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
        return response_of(error)
    sentences = [error.message, error.hint or "", _ALLOWED_BEHIND]
    lines = "".join(f"<p>{_with_code(sentence)}</p>" for sentence in sentences if sentence)
    body = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>traind: not let in</title><h1>traind does not let this in</h1>{lines}</html>"
    )
    return web.Response(status=403, text=body, content_type="text/html")


def _with_code(sentence: str) -> str:
    """Return a sentence as HTML, what stands between backticks as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(sentence))
