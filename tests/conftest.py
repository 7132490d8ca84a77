"""What tests of every room need: the repository, a free port, the house prices that ship."""

import socket
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that the tests stand in."""
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def houses(repository: Path) -> Path:
    """Real sales with a `price` column: the data set that ships."""
    return repository / "data/samples/house_prices.csv.gz"


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
