"""Programs of other makes: clients that generators make of the OpenAPI document, and a receiver of webhooks."""

import base64
import importlib
import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from traind import SyncClient

TYPESCRIPT = Path(__file__).with_name("typescript")
LOCK = TYPESCRIPT / "package-lock.json"
INSTALLED = TYPESCRIPT / "node_modules/.package-lock.json"
SETTINGS = {"epochs": 1, "synthetic": {"rows": 200, "columns": 3}}


@pytest.fixture(scope="module")
def generated(server: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The package that openapi-python-client makes of the server's document."""
    folder = tmp_path_factory.mktemp("generated")
    with urllib.request.urlopen(f"{server.url}/api/openapi.json") as answer:
        (folder / "openapi.json").write_bytes(answer.read())
    program = str(Path(sys.executable).with_name("openapi-python-client"))
    made = subprocess.run(
        [program, "generate", "--path", "openapi.json", "--output-path", "traind_client", "--meta", "none"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Unable to process schema" not in made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    return "traind_client"


def test_every_call_is_made(generated: str, server: Any) -> None:
    with urllib.request.urlopen(f"{server.url}/api/openapi.json") as answer:
        document = json.load(answer)
    package = Path(importlib.import_module(generated).__file__).parent
    made = {path.stem for path in (package / "api").glob("*/*.py")}
    wanted = {call["operationId"] for calls in document["paths"].values() for call in calls.values()}
    assert wanted - made == set()


def test_submit_poll_list_dry_run_and_an_error(generated: str, server: Any) -> None:
    models = importlib.import_module(f"{generated}.models")
    with importlib.import_module(generated).Client(base_url=server.url) as client:
        use(generated, client, models)


def use(generated: str, client: Any, models: Any) -> None:

    def call(group: str, name: str, **arguments: Any) -> Any:
        module = importlib.import_module(f"{generated}.api.{group}.{name}")
        return module.sync(client=client, **arguments)

    request = models.SubmitRequest.from_dict(SETTINGS)
    planned = call("jobs", "post_api_train", body=request, dry_run=True)
    assert planned.to_dict()["ok"]
    job_id = call("jobs", "post_api_train", body=request).job_id
    while (status := call("jobs", "get_api_train_status", job_id=job_id).status).status != "COMPLETED":
        assert status.status != "FAILED"
    assert job_id in [job.job_id for job in call("jobs", "get_api_train_jobs").jobs]
    rows = models.PredictRequest.from_dict(
        {"rows": [{"x1": 0.5, "x2": "1", "x3": None}, {"x1": 0, "x2": 0, "x3": 0}]}
    )
    predicted = call("models", "post_api_models_job_id_predict", job_id=job_id, body=rows)
    assert predicted.job_id == job_id
    assert [type(value) for value in predicted.predictions] == [float, float]
    missing = call("jobs", "get_api_train_status", job_id="nobody")
    assert missing.error.code == "job_not_found"
    refused = call("jobs", "post_api_train", body=models.SubmitRequest.from_dict({"epochs": 0}))
    assert [detail.loc for detail in refused.error.details] == ["epochs"]


@pytest.fixture(scope="module")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the TypeScript program and, of the versions that are pinned, the generator and the compiler."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    if not INSTALLED.exists() or INSTALLED.stat().st_mtime < LOCK.stat().st_mtime:
        subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=TYPESCRIPT, check=True)
        INSTALLED.touch()
    folder = tmp_path_factory.mktemp("typescript")
    for name in ("client.ts", "package.json", "tsconfig.json"):
        shutil.copy(TYPESCRIPT / name, folder)
    (folder / "node_modules").symlink_to(TYPESCRIPT / "node_modules")
    return folder


@pytest.mark.timeout(300)
def test_a_typescript_program_compiles_strictly_and_runs(typescript: Path, server: Any) -> None:
    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=typescript, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("node_modules/.bin/openapi-typescript", f"{server.url}/api/openapi.json", "--output", "traind.d.ts")
    run("node_modules/.bin/tsc")
    said = json.loads(run("node", "out/client.js", server.url))
    assert said.pop("learned") > 100
    assert said == {
        "status": "COMPLETED",
        "attempt": 1,
        "rows": 160,
        "isListed": True,
        "predictions": [1, 2],
        "missing": "job_not_found",
        "refused": "validation_failed",
        "details": ["epochs"],
    }


def test_a_receiver_in_node_takes_what_is_told(typescript: Path, tmp_path: Path, make_server: Any) -> None:
    secret, hooks = tmp_path / "secret", tmp_path / "hooks.toml"
    secret.write_text(f"whsec_{base64.b64encode(b'a secret of enough bytes').decode()}")
    secret.chmod(0o600)
    shutil.copy(TYPESCRIPT / "receiver.js", typescript)
    command = ["node", "receiver.js", secret.read_text()]
    with subprocess.Popen(command, cwd=typescript, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        url = f"http://127.0.0.1:{int(receiver.stdout.readline())}/"
        hooks.write_text(f'[[webhook]]\nname = "node"\nurl = "{url}"\nsecret_file = "{secret}"\n')
        server = make_server(tmp_path / "root", "--webhooks", str(hooks)).start()
        client = SyncClient(server.url)
        test_id = client.test_webhook("node")
        job_id = client.submit(SETTINGS).job_id
        seq = client.wait(job_id).seq
        said = [json.loads(receiver.stdout.readline()) for _ in range(2)]
        assert said == [
            {"id": test_id, "type": "webhook.test", "job": None},
            {"id": f"{job_id}.{seq}", "type": "job.completed", "job": job_id},
        ]
        receiver.kill()
    server.stop()
