"""Behind nginx and Caddy as examples/deploy has them all works; behind a stock one it is said what mends it."""

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from ruamel.yaml import YAML

NAME = "train.example.org"
LARGE = b"a,b,y\n" + b"".join(b"%d,%d,%d\n" % (row, row % 7, 3 * row) for row in range(150_000))  # above nginx's 1 MB
Behind = Callable[[str, int], Any]
STOCK = "server { listen 80; location / { proxy_pass http://127.0.0.1:3001; } }"


@pytest.fixture(scope="module")
def deploy(repository: Path) -> Path:
    return repository / "examples/deploy"


@contextlib.contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[int]:
    """Run a proxy until the end of the block; return its port once it listens."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    log = (folder / "proxy.log").open("w")
    with log, subprocess.Popen(command, stderr=log, env=environment) as process:
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                assert process.poll() is None, (folder / "proxy.log").read_text()
            yield port
        finally:
            process.terminate()


def nginx(site: str, server: int, port: int, folder: Path) -> contextlib.AbstractContextManager[int]:
    """Run nginx with a site of conf.d, on a port of ours, in a folder of its own."""
    site = site.replace("listen 80;", f"listen 127.0.0.1:{port};").replace(":3001", f":{server}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    text = f"daemon off; pid {folder}/pid; events {{}} http {{ access_log off; {paths} {site} }}"
    (folder / "nginx.conf").write_text(text)
    return running(["nginx", "-e", "stderr", "-c", str(folder / "nginx.conf")], port, folder)


def caddy(text: str, server: int, port: int, folder: Path) -> contextlib.AbstractContextManager[int]:
    """Run Caddy without certificates, on a port of ours."""
    text = text.replace(f"{NAME} {{", f"http://{NAME}:{port} {{").replace(":3001", f":{server}")
    (folder / "Caddyfile").write_text("{\n\tadmin off\n}\n" + text)
    return running(["caddy", "run", "--config", str(folder / "Caddyfile")], port, folder)


@contextlib.asynccontextmanager
async def caller(port: int) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Host": f"{NAME}:{port}", "Origin": f"http://{NAME}:{port}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
        yield session


def shipped(name: str, text: str, prefix: str) -> str:
    """Return a configuration as it is shipped, or, as its comment says, below a prefix."""
    if not prefix:
        return text
    if name == "nginx":
        return text.replace("location / {", f"location {prefix}/ {{").replace(
            "proxy_pass http://127.0.0.1:3001;", "proxy_pass http://127.0.0.1:3001/;"
        )
    inside = [line.removeprefix("\t# ") for line in text.splitlines() if line.startswith("\t# ")][1:]
    return f"{NAME} {{\n" + "\n".join(inside) + "\n}\n"


PROXIES = {"nginx": ("nginx.conf", nginx), "caddy": ("Caddyfile", caddy)}


@pytest.mark.parametrize("prefix", ["", "/training"])
@pytest.mark.parametrize("name", PROXIES)
async def test_all_that_traind_does_works_behind_it(
    name: str, prefix: str, serve: Any, deploy: Path, tmp_path: Path, free_port: int
) -> None:
    file, run = PROXIES[name]
    server = serve("--slots", "1", "--allow-host", NAME, root=tmp_path / "root")
    site = shipped(name, (deploy / file).read_text(), prefix)
    with run(site, server.port, free_port, tmp_path) as port:
        async with caller(port) as session:
            async with session.get(f"{prefix}/") as page:
                assert "<title>traind</title>" in await page.text()
            async with session.put(f"{prefix}/api/datasets/large", data=io.BytesIO(LARGE)) as put:
                assert put.status == 200, await put.text()
            spec = {"epochs": 2, "job_id": "one", "synthetic": {"rows": 300, "columns": 2}}
            async with session.post(f"{prefix}/api/train", json=spec) as accepted:
                assert accepted.status == 202, await accepted.text()
            async with session.ws_connect(f"{prefix}/api/train/ws?job_id=one") as live:
                seen = [message.json() async for message in live]
            assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
            assert seen[-1]["status"] == "COMPLETED"
            stream = {"Accept": "text/event-stream"}
            async with session.get(f"{prefix}/api/train/events?job_id=one", headers=stream) as sent:
                assert f"id: {len(seen)}\n" in await sent.text()


async def test_behind_a_stock_proxy_pass_the_page_comes_and_calls_say_which_setting_is_missing(
    serve: Any, tmp_path: Path, free_port: int
) -> None:
    server = serve("--slots", "1", root=tmp_path / "root")
    with nginx(STOCK, server.port, free_port, tmp_path) as port:
        async with caller(port) as session:
            for asset in ("/page/app.js", "/page/base.css"):
                async with session.get(asset) as answer:
                    assert answer.status == 200, asset
            async with session.post("/api/train", json={}) as refused:
                said = await refused.json()
    assert (refused.status, said["error"]["code"]) == (403, "origin_not_allowed")
    for setting in ("--allow-origin", "TRAIND_ALLOW_ORIGIN", "proxy_set_header Host $http_host;", "--allow-host"):
        assert setting in said["error"]["hint"]


def test_a_browser_under_a_name_that_is_not_ours_gets_a_page_that_names_the_setting(
    serve: Any, tmp_path: Path
) -> None:
    server = serve("--slots", "1", root=tmp_path / "root")
    for accept, is_page in (("text/html,application/xhtml+xml", True), ("*/*", False)):
        for host in (NAME, "<b>", f"{NAME}:8080"):
            request = urllib.request.Request(server.url, headers={"Host": host, "Accept": accept})
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request)
            text = refused.value.read().decode()
            assert refused.value.code == 403
            assert ("<h1>" in text) == is_page
            assert "<b>" not in text or not is_page
            assert f"--allow-host {NAME if NAME in host else 'NAME'}" in text
            assert is_page or json.loads(text)["error"]["code"] == "host_not_allowed"


def test_the_composition_gives_the_container_what_the_image_says_it_needs(deploy: Path) -> None:
    composed = YAML(typ="safe").load(deploy / "compose.yaml")["services"]["traind"]
    said = (deploy / "Dockerfile").read_text()
    assert (
        deploy / composed["build"]["context"] / composed["build"]["dockerfile"]
    ).resolve() == deploy / "Dockerfile"
    assert all(name in said for name in composed["environment"])
    assert composed["read_only"] is composed["init"] is True
