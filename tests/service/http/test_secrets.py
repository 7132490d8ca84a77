"""A token that the server knows is in nothing that others can look at: processes, files, log lines, answers."""

import asyncio
import base64
from pathlib import Path

import aiohttp
import pytest

from traind.service.http.server import Door
from traind.service.http.tokens import parse_tokens
from traind.service.overview import for_everybody

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


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        ("no worker process could be started: it left\nTraceback:\n  File x", None),
        ("the fork server started no process: No module at /home/me/.venv/lib", None),
        ("No worker starts: PermissionError(13, '/var/root').", None),
        ("Status files cannot be written: No space left on device.", "as it is"),
    ],
)
def test_what_health_says_of_a_problem_is_a_sentence_without_paths(problem, told):
    said = for_everybody(problem)
    assert said == (problem if told else f"{problem[:1].upper()}{problem[1:].partition(':')[0]}; the log says why.")
    assert "/" not in said


async def test_health_without_a_token_says_no_path(calling_on, tmp_path, caplog):
    """The folder of status files is gone, and another file stands in its place."""
    door = Door(port=0, tokens=parse_tokens(f"me:{CANARY}", "test"))
    async with calling_on(tmp_path / "secret-place", door, slots=1) as call:
        folder = call.service.layout.jobs_dir
        folder.rename(f"{folder}-away")
        folder.write_text("in the way")
        await call.service.submit(epochs=1, synthetic={"rows": 100})
        async with asyncio.timeout(60):
            while not (said := (await call.get("/api/health")).json)["problems"]:  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.02)
        assert "secret-place" not in str(said)
        assert "log says why" in said["problems"][0]
        folder.unlink()
    assert "secret-place" in caplog.text
