"""An existing aiohttp app with a login of its own; traind is a part of it, below a prefix.

The host decides who may do what: its middleware knows the user, `authorize` asks it. Viewers may look, trainers may
do everything. Behind a reverse proxy, under any Host: `hosts=None` leaves that to the host and its proxy.

    python examples/aiohttp_host.py      then http://127.0.0.1:8080/login?user=ada and /training/
"""

import secrets
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from traind import TrainingService

ROLES = {"ada": "trainer", "bob": "viewer"}  # who may do what, as an app's database would know
SESSIONS: dict[str, str] = {}  # cookie to user
USER = web.RequestKey("user", str)


@web.middleware
async def know_user(request: web.Request, handler: Handler) -> web.StreamResponse:
    user = SESSIONS.get(request.cookies.get("session", ""))
    if user is None and request.path != "/login":
        raise web.HTTPUnauthorized(text="Log in first: /login?user=ada")
    if user is not None:
        request[USER] = user
    return await handler(request)


async def login(request: web.Request) -> web.Response:
    """Stand in for a real login: no password is asked."""
    user = request.query.get("user", "")
    if user not in ROLES:
        raise web.HTTPForbidden(text="Nobody of that name.")
    session = secrets.token_urlsafe()
    SESSIONS[session] = user
    response = web.Response(text=f"Hello, {user}.")
    response.set_cookie("session", session, httponly=True, samesite="Strict")
    return response


async def home(request: web.Request) -> web.Response:
    return web.Response(text=f"The app itself, for {request[USER]}.")


async def authorize(request: web.Request) -> bool:
    """Let viewers look and trainers do everything. The host's middleware ran before this."""
    return ROLES[request[USER]] == "trainer" or request.method in {"GET", "HEAD"}


def make_app(root: Path) -> web.Application:
    app = web.Application(middlewares=[know_user])
    app.add_routes([web.get("/", home), web.get("/login", login)])
    app.add_subapp("/training/", TrainingService(root=root).web_app(hosts=None, authorize=authorize))
    return app


if __name__ == "__main__":
    web.run_app(make_app(Path("var")), host="127.0.0.1", port=8080)
