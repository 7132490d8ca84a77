"""The examples run as people would run them."""

import asyncio
import importlib.util
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from traind import Client, Progress, Status, SyncClient
from traind.service.client.errors import ServerUnreachable

EXAMPLES = Path(__file__).parents[2] / "examples"
TRAINERS = '{"digits": "digits:train", "chars": "chars:train"}'


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def running(command: list[str], port: int, **environment: str) -> Iterator[str]:
    """A program that serves on a port, until the block is left."""
    with subprocess.Popen(command, cwd=EXAMPLES, env={**os.environ, **environment}) as process:
        try:
            until_listening(process, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(0.1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise AssertionError("the program ended before it listened")


@pytest.fixture(scope="module")
def with_trainers(tmp_path_factory: pytest.TempPathFactory, make_server: Callable[..., Any]) -> Iterator[Any]:
    """A server that knows the example trainers."""
    os.environ["PYTHONPATH"] = str(EXAMPLES)
    try:
        server = make_server(tmp_path_factory.mktemp("examples"), "--trainers", TRAINERS, "--slots", "2").start()
    finally:
        del os.environ["PYTHONPATH"]
    yield server
    assert server.stop() == 0
    server.check_nothing_is_left()


@pytest.mark.parametrize("name", ["digits", "chars"])
def test_a_trainer_runs_alone(name: str, tmp_path: Path) -> None:
    from traind import run_trainer

    options = {"digits": {"epochs": 2}, "chars": {"steps": 40}}[name]
    last = run_trainer(load(name).train, options, folder=tmp_path)
    assert last.status is Status.COMPLETED
    assert (tmp_path / "model.pt").exists()


@pytest.mark.parametrize(
    ("name", "options", "row"),
    [
        pytest.param(
            "digits",
            {"epochs": 3},
            {f"pixel_{line}_{place}": 0.0 for line in range(8) for place in range(8)},
            marks=pytest.mark.faults,
        ),
        ("chars", {"steps": 100, "width": 32, "context": 32}, {"text": "the "}),
    ],
)
async def test_a_trainer_of_ones_own_survives_a_kill_and_makes_the_same_model(
    with_trainers: Any, twice: Any, name: str, options: dict[str, Any], row: dict[str, Any]
) -> None:
    spec = {"trainer": name, "options": options, "checkpoint_every": 0.05, "report_every": 1}
    async with Client(with_trainers.url) as client:
        undisturbed, done = await twice(client, spec)
        assert done.metrics == undisturbed.metrics
        assert len((await client.predict(done.job_id, [row, row])).predictions) == 2


async def test_a_trainer_of_ones_own_is_paused_resumed_and_stopped(with_trainers: Any) -> None:
    async with Client(with_trainers.url) as client:
        job = await client.submit(
            trainer="chars", options={"steps": 1_000_000, "width": 32, "context": 32}, report_every=1
        )
        async for event in client.watch(job.job_id):
            if isinstance(event, Progress):
                await (client.pause if event.attempt == 1 else client.stop)(job.job_id)
            if getattr(event, "status", None) is Status.PAUSED:
                await client.resume(job.job_id)
        done = await client.status(job.job_id)
        assert (done.status, done.attempt) == (Status.STOPPED, 2)
        assert done.resumed_from_step is not None
        assert done.model is not None


async def test_wrong_options_are_refused_at_submit(with_trainers: Any) -> None:
    from traind import ServiceError

    async with Client(with_trainers.url) as client:
        with pytest.raises(Exception, match="wings") as refused:
            await client.submit(trainer="digits", options={"wings": 2})
        assert isinstance(refused.value, ServiceError) or refused.value.code == "invalid_spec"  # type: ignore[attr-defined]


async def ask(session: aiohttp.ClientSession, method: str, path: str, **options: Any) -> tuple[int, str]:
    """Return the status and the whole body of an answer."""
    async with session.request(method, path, **options) as answer:
        return answer.status, await answer.text()


async def test_the_aiohttp_host_decides_who_may_do_what(tmp_path: Path, free_port: int) -> None:
    runner = web.AppRunner(load("aiohttp_host").make_app(tmp_path))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", free_port).start()
    spec = {"epochs": 1, "synthetic": {"rows": 200}}
    train = {"json": spec, "headers": {"Host": "models.example.org"}}  # as a proxy may hand it on
    cookies = aiohttp.CookieJar(unsafe=True)  # those of an address, too
    try:
        async with aiohttp.ClientSession(base_url=f"http://127.0.0.1:{free_port}", cookie_jar=cookies) as session:
            assert (await ask(session, "POST", "/training/api/train", **train))[0] == 401
            await ask(session, "GET", "/login?user=bob")
            assert (await ask(session, "GET", "/training/api/train/jobs"))[0] == 200
            status, body = await ask(session, "POST", "/training/api/train", **train)
            assert (status, json.loads(body)["error"]["code"]) == (403, "forbidden")
            await ask(session, "GET", "/login?user=ada")
            assert await ask(session, "GET", "/") == (200, "The app itself, for ada.")
            status, body = await ask(session, "POST", "/training/api/train", **train)
            assert status == 202
            async with session.ws_connect(f"/training/api/train/ws?job_id={json.loads(body)['job_id']}") as live:
                events = [message.json() async for message in live]
            assert events[-1]["status"] == "COMPLETED"
            assert (await ask(session, "GET", "/training/"))[0] == 200
    finally:
        await runner.cleanup()


@pytest.mark.faults
async def test_the_fastapi_host_streams_in_its_own_words(tmp_path: Path, free_port: int) -> None:
    pytest.importorskip("fastapi")
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "fastapi_host:app",
        "--port",
        str(free_port),
        "--log-level",
        "warning",
    ]
    with running(command, free_port, TRAIND_ROOT=str(tmp_path)) as url:
        async with aiohttp.ClientSession(base_url=url) as session:
            status, body = await ask(session, "POST", "/fits", json={"epochs": 0})
            assert (status, json.loads(body)["detail"][0]["loc"]) == (422, "epochs")
            _, body = await ask(session, "POST", "/fits", json={"epochs": 1, "synthetic": {"rows": 500}})
            fit = json.loads(body)["fit"]
            async with session.ws_connect(f"/fits/{fit}/live") as live:
                told = [message.json() async for message in live]
            assert told[-1] == {"state": "COMPLETED"}
            assert any("loss" in one for one in told)
            found = json.loads((await ask(session, "GET", f"/fits/{fit}"))[1])
            assert (found["state"], found["done"]) == ("COMPLETED", 100.0)
            assert (await ask(session, "GET", "/fits/nobody"))[0] == 404


@pytest.mark.faults
def test_several_web_workers_speak_to_one_server(server: Any, free_port: int) -> None:
    pytest.importorskip("gunicorn")
    command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", f"127.0.0.1:{free_port}"]
    with running([*command, "--log-level", "error", "gunicorn_host:app"], free_port, TRAIND_SERVER=server.url) as url:
        asked = asyncio.run(_ask_many(url))
    assert {words.split(" (")[0] for words in asked} == {"COMPLETED 100 %"}


async def _ask_many(url: str) -> list[str]:
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/?epochs=1") as accepted:
            job_id = (await accepted.text()).strip()
        async with session.get(f"{url}/?job=nobody") as refused:
            assert refused.status == 400
        while True:
            answers = []
            for _ in range(10):
                async with session.get(f"{url}/?job={job_id}") as answer:
                    answers.append(await answer.text())
            if all("COMPLETED" in words for words in answers):
                return answers


async def test_the_script_trains_and_predicts(tmp_path: Path) -> None:
    price = await load("script").main(str(tmp_path), epochs=2)
    assert 200_000 < price < 2_000_000


def test_the_notebook_runs_from_top_to_bottom(server: Any, tmp_path: Path) -> None:
    environment = {**os.environ, "TRAIND_SERVER": server.url, "OUT": str(tmp_path)}
    command = [sys.executable, str(EXAMPLES / "notebook.py")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=110)
    assert "epoch 3: rmse" in done.stdout
    assert (tmp_path / "houses.pt").exists()


async def test_rows_of_a_database_are_trained_on(tmp_path: Path) -> None:
    database = tmp_path / "orders.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE orders (amount REAL, country TEXT, days REAL)")
        orders = [(n % 50, ("nl", "de")[n % 2], n % 50 / 5 + n % 2) for n in range(400)]
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", orders)
    connection.close()
    assert await load("database_rows").main(str(database), str(tmp_path / "var")) < 2.0


def test_a_notebook_without_a_server_is_told_so(free_port: int) -> None:
    with pytest.raises(ServerUnreachable):
        SyncClient(f"http://127.0.0.1:{free_port}").health()
