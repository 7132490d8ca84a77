"""The page and its assets, from the package; nothing that a client sends becomes a path.

All files are read once when the app is made. Each is sent with a strict content security policy: no content of other
sites, nothing inline, no framing.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

POLICY = (
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'"
)
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
    ".gz": "application/gzip",
}
SAMPLE = "house_prices.csv.gz"  # shipped with traind, for users without a table


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the page."""

    body: bytes
    content_type: str
    etag: str

    @classmethod
    def make(cls, body: bytes, suffix: str) -> "Asset":
        """Return an asset with the content type of the suffix."""
        return cls(body, TYPES[suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    def respond(self, request: web.Request) -> web.Response:
        """Return the file, or 304 if the browser has it."""
        headers = {
            hdrs.ETAG: self.etag,
            hdrs.CACHE_CONTROL: "no-cache",
            hdrs.CONTENT_SECURITY_POLICY: POLICY,
            "Cross-Origin-Opener-Policy": "same-origin",  # a site whose link opened the page cannot control it
        }
        if self.etag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.body, headers={**headers, hdrs.CONTENT_TYPE: self.content_type})


def load_assets() -> dict[str, Asset]:
    """Return every file of the page by its path below the page's folder."""
    found: dict[str, Asset] = {}
    layer: list[tuple[str, Traversable]] = [("", resources.files("traind.service") / "dashboard")]
    while layer:
        prefix, entry = layer.pop()
        for inner in entry.iterdir():
            suffix = PurePosixPath(inner.name).suffix
            if inner.is_dir():
                layer.append((f"{prefix}{inner.name}/", inner))
            elif suffix in TYPES:
                found[f"{prefix}{inner.name}"] = Asset.make(inner.read_bytes(), suffix)
    return found


def load_sample() -> Asset:
    """Return the shipped table, which the page registers as a user would."""
    return Asset.make((resources.files("traind.data") / "samples" / SAMPLE).read_bytes(), ".gz")


def show(asset: Asset) -> Handler:
    """Return the handler that answers one file."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return asset.respond(request)

    return handle


async def add_slash(request: web.Request) -> web.Response:
    """Redirect to the path with a slash after the prefix, since the page's addresses are relative."""
    raise web.HTTPPermanentRedirect(f"{request.path.rsplit('/', 1)[-1]}/")
