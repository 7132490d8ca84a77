"""Variables of other programs are left alone, and said."""

import pytest

from traind.service.cli.entry import Failed
from traind.service.cli.surroundings import host_of, port_of


@pytest.mark.parametrize(
    ("environment", "host", "is_told"),
    [
        ({}, None, False),
        ({"HOST": "0.0.0.0"}, "0.0.0.0", False),
        ({"HOST": "::1"}, "::1", False),
        ({"HOST": "localhost"}, "localhost", False),
        ({"HOST": "x86_64-conda-linux-gnu"}, None, True),
        ({"HOST": "x86_64-conda-linux-gnu", "TRAIND_HOST": "10.0.0.1"}, "10.0.0.1", False),
    ],
)
def test_a_host_that_is_no_address_is_not_ours(environment: dict[str, str], host: str | None, is_told: bool) -> None:
    ignored: list[str] = []
    assert host_of(environment, ignored) == host
    assert bool(ignored) is is_told


@pytest.mark.parametrize(
    ("environment", "port", "is_told"),
    [
        ({}, None, False),
        ({"PORT": "8080"}, 8080, False),
        ({"PORT": "8080", "TRAIND_PORT": "0"}, 0, False),
        ({"TRAIND_PORT": "tcp://10.0.0.1:3001"}, None, True),
        ({"TRAIND_PORT": "tcp://10.0.0.1:3001", "PORT": "8080"}, 8080, True),
        ({"PORT": "http"}, None, True),
        ({"PORT": "99999"}, None, True),
    ],
)
def test_a_port_that_is_none_is_not_ours(environment: dict[str, str], port: int | None, is_told: bool) -> None:
    ignored: list[str] = []
    assert port_of(environment, ignored) == port
    assert bool(ignored) is is_told


def test_a_port_of_ours_that_is_wrong_is_refused() -> None:
    with pytest.raises(Failed, match="TRAIND_PORT=many"):
        port_of({"TRAIND_PORT": "many"}, [])
