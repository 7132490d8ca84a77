"""`traind mcp`: a server's calls as tools for agents."""

from traind.service.cli.entry import Failed
from traind.service.cli.flags import Remote

ANYWHERE = Remote()


def mcp(*, remote: Remote = ANYWHERE) -> None:
    """Speak the Model Context Protocol on standard input and output, for one traind server."""
    try:
        from traind.service.mcp.server import make_server
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in {"mcp", "pydantic"}:
            raise
        raise Failed("Tools for agents need the package mcp.", hint="pip install 'traind[mcp]'") from error
    from traind.service.client.asynchronous import Client

    make_server(Client(remote.server)).run("stdio")
