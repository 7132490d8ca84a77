"""Flags that several commands share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from traind.service.client.synchronous import SyncClient

SERVER = "http://127.0.0.1:3001"


@Parameter(name="*")
@dataclass(frozen=True)
class Remote:
    """Where the server is."""

    server: Annotated[str, Parameter(env_var="TRAIND_SERVER", help="address of the server; token: TRAIND_TOKEN")] = (
        SERVER
    )

    def client(self) -> "SyncClient":
        """Return a client of that server."""
        from traind.service.client.synchronous import SyncClient

        return SyncClient(self.server)


Json = Annotated[bool, Parameter(name="--json", negative="", help="print JSON, for programs")]
JobId = Annotated[str, Parameter(help="the job's id")]
