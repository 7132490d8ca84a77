"""A token that the server knows is in nothing that others can look at: processes, files, log lines, answers."""

import base64
from pathlib import Path

import aiohttp

CANARY = "canary-9d41c7e2-of-the-environment"


async def used(url):
    """Use the token in every way there is, rightly and wrongly; return all answers."""
    bearer, encoded = f"Bearer {CANARY}", base64.urlsafe_b64encode(CANARY.encode()).decode().rstrip("=")
    said = ""
    async with aiohttp.ClientSession(url, headers={"Authorization": bearer}) as session:
        spec = {"epochs": 1, "synthetic": {"rows": 200}, "name": "canary"}
        async with session.post("/api/train", json=spec) as response:
            job_id = (await response.json())["job_id"]
        async with session.ws_connect(f"/api/train/ws?job_id={job_id}") as ws:
            async for message in ws:
                said += message.data
        paths = ("status", "logs", "events", "curve")
        for path in (*(f"/api/train/{one}?job_id={job_id}" for one in paths), "/metrics", "/health", "/nope"):
            async with session.get(path) as response:
                said += str(response.headers) + await response.text()
    async with aiohttp.ClientSession(url) as session:
        protocols = ("traind", f"traind.token.{encoded}")
        async with session.ws_connect("/api/train/ws", protocols=protocols) as ws:
            said += (await ws.receive()).data
        for headers in ({"Authorization": f"{bearer}x"}, {"Authorization": f"Basic {CANARY}"}):
            async with session.get("/api/train/jobs", headers=headers) as response:
                said += await response.text()
    return said


async def test_a_token_of_the_environment_shows_in_no_process_file_line_or_answer(
    serve, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("TRAIND_TOKEN", f"alice:{CANARY}")
    server = serve("--slots", "1", "--log", "json", "--log-level", "debug", root=tmp_path / "root")
    said = await used(server.url)
    pids = server.left()
    shown = {
        f"{pid} {what}": Path(f"/proc/{pid}/{what}").read_bytes() for pid in pids for what in ("environ", "cmdline")
    }
    server.stop()
    kept = {str(path): path.read_bytes() for path in (tmp_path / "root").rglob("*") if path.is_file()}
    lines = capfd.readouterr().err
    assert len(pids) > 2
    assert len(kept) > 3
    assert "alice" in lines
    assert CANARY not in said + lines
    assert not [place for place, content in {**shown, **kept}.items() if CANARY.encode() in content]
