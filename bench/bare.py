"""The least that aiohttp can do: one handler that answers the bytes of a file. python -m bench.bare FILE PORT."""

import sys
from pathlib import Path

from aiohttp import web


def main() -> None:
    path, port = sys.argv[1:]
    body = Path(path).read_bytes()

    async def status(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/api/train/status", status)
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, print=None)


if __name__ == "__main__":
    main()
