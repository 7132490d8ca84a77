"""Flags that several commands share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

if TYPE_CHECKING:
    from traind.service.client.blocking import BlockingConnection
    from traind.service.client.synchronous import SyncClient

SERVER = "http://127.0.0.1:3001"


@Parameter(name="*")
@dataclass(frozen=True)
class Remote:
    """The server to use."""

    server: Annotated[
        str, Parameter(env_var="TRAIND_SERVER", help="address of the server; the token is taken from TRAIND_TOKEN")
    ] = SERVER

    def client(self) -> "SyncClient":
        """Return a client of that server."""
        from traind.service.client.synchronous import SyncClient

        return SyncClient(self.server)

    def connection(self) -> "BlockingConnection":
        """Return a connection for one or two requests; it loads faster than a client."""
        from traind.service.client.blocking import BlockingConnection

        return BlockingConnection(self.server)


def with_default(text: str, default: Any) -> str:
    """Return a flag's help followed by its default, if it has one."""
    if default is None or default in ({}, [], ()):
        return text
    shown = default if isinstance(default, str) else msgspec.json.encode(default).decode()
    return f"{text} [default: {shown}]"


Json = Annotated[bool, Parameter(name="--json", negative="", help="print JSON, for programs")]
JobId = Annotated[str, Parameter(help="the job's id")]
