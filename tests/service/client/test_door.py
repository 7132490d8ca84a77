"""A server that asks for a token and takes only small uploads."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from traind import Client, ServiceError, SyncClient
from traind.data.errors import DatasetTooLarge
from traind.service.cli.entry import run

LIMIT_BYTES = 100_000


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, make_server: Callable[..., Any]) -> Iterator[Any]:
    place = tmp_path_factory.mktemp("door")
    (place / "tokens").write_text("ada:open-sesame\n")
    flags = ("--token-file", str(place / "tokens"), "--max-upload-bytes", str(LIMIT_BYTES), "--slots", "1")
    server = make_server(place, *flags).start()
    yield server
    assert server.stop() == 0
    server.check_nothing_is_left()


async def test_without_the_token_nothing_is_told(door: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for token in (None, "guess"):
        async with Client(door.url, token) as client:
            with pytest.raises(ServiceError) as refused:
                await client.jobs()
        assert refused.value.code == "unauthorized"
        with pytest.raises(ServiceError) as refused:
            SyncClient(door.url, token).jobs()
        assert refused.value.code == "unauthorized"


async def test_the_token_is_given_or_taken_from_the_environment(
    door: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Client(door.url, "open-sesame") as client:
        assert (await client.jobs()).jobs == []
    monkeypatch.setenv("TRAIND_TOKEN", "open-sesame")
    assert SyncClient(door.url).jobs().jobs == []
    assert run(["jobs", "--server", door.url]) == 0
    assert "open-sesame" not in capsys.readouterr().out


@pytest.mark.parametrize("size_bytes", [LIMIT_BYTES + 1, 300 * LIMIT_BYTES])
async def test_an_upload_that_is_too_large_is_refused_in_words(door: Any, size_bytes: int, tmp_path: Path) -> None:
    """Also where the server has answered before all of it was sent."""
    path = tmp_path / "large.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * (size_bytes // 4))
    async with Client(door.url, "open-sesame") as client:
        with pytest.raises(DatasetTooLarge, match=str(LIMIT_BYTES)):
            await client.put_dataset("large", path)
    with pytest.raises(DatasetTooLarge, match=str(LIMIT_BYTES)):
        SyncClient(door.url, "open-sesame").put_dataset("large", path)
