"""Addresses at which no cluster can be joined, each said in words and soon."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from traind import TrainingService
from traind.service.errors import ExecutorRefused
from traind.service.executor.ray.connect import KNOCK_S, CannotJoin, join, split_address
from traind.service.executor.ray.protocol import GatewayConfig, namespace_of

needs_ray = pytest.mark.cluster  # and with it Ray, which `make cluster` installs


@pytest.mark.parametrize("address", ["", "auto", "6379", "host", "host:", "host:0", "host:99999", "ray://host:10001"])
def test_what_is_no_address_is_refused_for_good(address: str) -> None:
    with pytest.raises(CannotJoin) as refused:
        split_address(address)
    assert refused.value.is_final
    assert "host:port" in str(refused.value)


def test_addresses_are_split() -> None:
    assert split_address("10.0.0.5:6379") == ("10.0.0.5", 6379)
    assert split_address("[::1]:6379") == ("::1", 6379)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@needs_ray
def test_where_nothing_listens_that_is_said(free_port: int) -> None:
    with pytest.raises(CannotJoin, match=f"Nothing answers at 127.0.0.1:{free_port}"):
        join(GatewayConfig(f"127.0.0.1:{free_port}", "x"))


@needs_ray
def test_who_never_answers_is_not_waited_for(listener: socket.socket) -> None:
    with pytest.raises(CannotJoin, match="Nothing answered"):
        join(GatewayConfig(f"127.0.0.1:{listener.getsockname()[1]}", "x"))


@needs_ray
def test_who_is_not_ray_is_told_from_it(listener: socket.socket) -> None:
    def be_a_web_server() -> None:
        with listener.accept()[0] as client:
            client.recv(100)
            client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    threading.Thread(target=be_a_web_server, daemon=True).start()
    with pytest.raises(CannotJoin, match="not the head of a Ray cluster"):
        join(GatewayConfig(f"127.0.0.1:{listener.getsockname()[1]}", "x"))


@needs_ray
async def test_a_service_starts_without_its_cluster_and_says_what_is_wrong(tmp_path: Path, free_port: int) -> None:
    began = time.monotonic()
    async with TrainingService(tmp_path, executor="ray", ray_address=f"127.0.0.1:{free_port}") as service:
        assert time.monotonic() - began < 60 * KNOCK_S  # Ray alone would wait for minutes
        job = await service.submit(epochs=1)
        while not any("Nothing answers" in problem for problem in service.health()["problems"]):
            await service.engine.executor.link.tried()  # type: ignore[attr-defined]
        assert not service.health()["is_ready"]
        assert (await service.status(job.job_id)).status == "QUEUED"


async def test_an_address_that_is_none_stops_the_start(tmp_path: Path) -> None:
    service = TrainingService(tmp_path, executor="ray", ray_address="auto")
    with pytest.raises(ExecutorRefused):
        await service.__aenter__()


def test_a_copy_of_a_root_has_seats_of_its_own(tmp_path: Path) -> None:
    assert namespace_of(tmp_path / "a") == namespace_of(tmp_path / "b/../a")
    assert namespace_of(tmp_path / "a") != namespace_of(tmp_path / "b")
