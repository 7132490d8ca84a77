"""Behind a proxy that is not set up for it the page says what is wrong, and which setting mends it."""

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.e2e
SITE = "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{server}; {more} }} }}"


@pytest.fixture
def behind(tmp_path, free_port) -> Iterator[Callable[[int, str], str]]:
    """Run nginx before a server, with further lines in its location; return its address."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    with ExitStack() as started:

        def run(server: int, more: str) -> str:
            paths = " ".join(
                f"{kind}_temp_path {tmp_path}/{kind};"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            site = SITE.format(port=free_port, server=server, more=more)
            text = f"daemon off; pid {tmp_path}/pid; events {{}} http {{ access_log off; {paths} {site} }}"
            (tmp_path / "nginx.conf").write_text(text)
            command = ["nginx", "-e", "stderr", "-c", str(tmp_path / "nginx.conf")]
            log = started.enter_context((tmp_path / "nginx.log").open("w"))
            process = started.enter_context(subprocess.Popen(command, stderr=log))
            started.callback(process.terminate)
            while process.poll() is None:
                with suppress(OSError), socket.create_connection(("127.0.0.1", free_port), 1):
                    break
            return f"http://127.0.0.1:{free_port}"

        yield run


@pytest.mark.parametrize(
    ("more", "settings"),
    [
        ("", ["--allow-origin", "TRAIND_ALLOW_ORIGIN", "proxy_set_header Host $http_host;", "--allow-host"]),
        ("proxy_set_header Host $http_host;", ["proxy_set_header Upgrade $http_upgrade;", "examples/deploy"]),
    ],
    ids=["a stock proxy_pass", "no upgrade"],
)
async def test_the_page_names_the_setting_that_is_missing(serve, visitor, behind, tmp_path, more, settings):
    visitor.tolerated = ["status of 403", "status of 405", "WebSocket connection to", "ERR_CONNECTION_REFUSED"]
    server = serve("--slots", "1", root=tmp_path / "root")
    page = await visitor.open(behind(server.port, more))
    for setting in settings:
        await expect(page.locator("#lost")).to_contain_text(setting)
    await expect(page.locator("#connection")).to_contain_text("Not connected")
    await page.close()
