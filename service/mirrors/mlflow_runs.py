"""Jobs as MLflow's runs: a run for each job, with its spec as params, its curves as metrics, tags, and the model.

How far a run is, is a tag of the run itself, sent with the metrics: what is sent again after a kill is what is there
already. Where a resumed attempt takes steps again, what was there first stays: MLflow forgets no point.
Called by the mirror's process only. Needs `traind[mlflow]`.
"""

import logging
import os
import platform
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET

import traind
from traind.service.jobs.job import TERMINAL, Job
from traind.service.jobs.points import points_of
from traind.service.mirrors.target import Away
from traind.service.recovery.root_identity import RootIdentity
from traind.service.settings import Layout
from traind.trainer.contract.events import AnyEvent, Epoch, Metric, Progress, Status

LOG = logging.getLogger(__name__)
WAITING: Final = {  # MLflow's client would wait for minutes; here the next round tries again
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
STATES: Final = {
    Status.COMPLETED: "FINISHED",
    Status.STOPPED: "FINISHED",
    Status.CANCELLED: "KILLED",
    Status.FAILED: "FAILED",
    Status.RUNNING: "RUNNING",
}
METRICS_AT_ONCE, PARAMS_AT_ONCE = 1_000, 100  # MLflow's own limits
NAME_CHARS, VALUE_CHARS, TAG_CHARS = 250, 6_000, 5_000
LABELS: Final = ("name", "tags", "notes", "priority")  # fields of a spec for people: tags, or the run's name


class MlflowRuns:
    """The runs of one root in one MLflow server, or store."""

    every_s = 5.0  # calls are expensive, here and at the server

    def __init__(self, layout: Layout, uri: str) -> None:
        for name, value in WAITING.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        self._layout = layout
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._uri = uri
        self._root = msgspec.json.decode(layout.identity_path.read_bytes(), type=RootIdentity).id
        self._experiment: str | None = None
        self._runs: dict[str, str] = {}  # ids, by job
        self._newest: dict[str, dict[str, int]] = {}  # step of each metric's newest point, by job
        self._states: dict[str, str] = {}
        self._tagged: dict[str, dict[str, str]] = {}  # the known tags of each run

    def begin(self, job: Job) -> int:
        """Find or make the job's run; return the number of the last event that it has."""
        with self._reaching():
            found = self._client.search_runs(
                [self._experiment_id()],
                f"tags.`traind.job_id` = '{job.job_id}' AND tags.`traind.root` = '{self._root}'",
            )
            for known in (self._states, self._tagged):
                known.pop(job.job_id, None)
            if not found:
                self._runs[job.job_id], self._newest[job.job_id] = self._made(job), {}
                return 0
            run = found[0]
            self._runs[job.job_id] = run.info.run_id
            histories = {name: self._client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
            self._newest[job.job_id] = {
                name: max(point.step for point in points) for name, points in histories.items() if points
            }
            return int(run.data.tags.get("traind.seq", 0))

    def write(self, job: Job, events: list[AnyEvent]) -> None:
        """Log the points of events, the number of the last event, and the job's state."""
        from mlflow.entities import Metric as MlflowMetric
        from mlflow.entities import RunTag

        run, newest = self._runs[job.job_id], self._newest[job.job_id]
        points, seen = [], dict(newest)
        for event in events:
            if isinstance(event, Progress | Epoch | Metric):
                for name, value in points_of(event):
                    shown = _name(name)
                    if event.step > newest.get(shown, -1):
                        number = float("nan") if value is None else value
                        points.append(MlflowMetric(shown, number, int(event.ts * 1000), event.step))
                        seen[shown] = max(event.step, seen.get(shown, -1))
        known = self._tagged.setdefault(job.job_id, {})
        tags = [tag for tag in _tags(job) if known.get(tag.key) != tag.value]
        with self._reaching():
            while len(points) > METRICS_AT_ONCE:
                self._client.log_batch(run, metrics=points[:METRICS_AT_ONCE])
                points = points[METRICS_AT_ONCE:]
            self._client.log_batch(run, metrics=points, tags=[*tags, RunTag("traind.seq", str(events[-1].seq))])
            known |= {tag.key: tag.value for tag in tags}
            state = STATES.get(job.status, "SCHEDULED")
            if job.status not in TERMINAL and self._states.get(job.job_id) != state:
                self._client.update_run(run, status=state)
                self._states[job.job_id] = state
        self._newest[job.job_id] = seen

    def end(self, job: Job) -> None:
        """Log the final metrics, the whole status and the model, and end the run."""
        from mlflow.entities import Metric as MlflowMetric

        run, ts = self._runs[job.job_id], int((job.finished_at or 0.0) * 1000)
        finals = [MlflowMetric(name, value, ts, job.step) for name, value in _finals(job)]
        model = self._layout.model_path(job.job_id)
        with self._reaching(), tempfile.TemporaryDirectory() as folder:
            self._client.log_batch(run, metrics=finals, tags=_tags(job))
            status = Path(folder, "job.json")
            status.write_bytes(msgspec.json.format(msgspec.json.encode(job), indent=2))
            self._client.log_artifact(run, str(status))
            if job.model is not None and model.is_file():
                self._client.log_artifacts(run, str(_as_mlflow_model(model, Path(folder, "model"), run)), "model")
            self._client.set_terminated(run, STATES[job.status], ts)
        for known in (self._runs, self._newest, self._states, self._tagged):
            known.pop(job.job_id, None)

    def _made(self, job: Job) -> str:
        """Make a run with the job's spec as it was submitted."""
        from mlflow.entities import Param

        spec = {**msgspec.to_builtins(job.spec), **job.submitted}
        params = [Param(name, value) for name, value in _flat(spec) if name not in LABELS]
        tags = {tag.key: tag.value for tag in _tags(job)} | {"traind.job_id": job.job_id, "traind.root": self._root}
        run = self._client.create_run(
            self._experiment_id(), int(job.created_at * 1000), tags, job.name or job.job_id
        ).info.run_id
        for start in range(0, len(params), PARAMS_AT_ONCE):
            self._client.log_batch(run, params=params[start : start + PARAMS_AT_ONCE])
        return str(run)

    def _experiment_id(self) -> str:
        """Return the experiment MLFLOW_EXPERIMENT_NAME, by default traind; make it if it is missing."""
        if self._experiment is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "traind")
            known = self._client.get_experiment_by_name(name)
            self._experiment = known.experiment_id if known else self._client.create_experiment(name)
        return self._experiment

    def _reaching(self) -> "_Reaching":
        return _Reaching(self._uri)


class _Reaching:
    """Distinguishes an MLflow that is away from one that refuses."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, Away):
            return
        status = error.get_http_status_code() if hasattr(error, "get_http_status_code") else None
        if isinstance(error, OSError) or status is None or status >= 500 or status in (401, 403, 429):
            shown = _without_secrets(self._uri)
            said = _short(error).replace(self._uri, shown)
            LOG.warning("MLflow at %s: %s", shown, said)
            raise Away(f"MLflow at {shown} cannot be reached or does not work; the log says more.") from error


def _without_secrets(uri: str) -> str:
    """Return an address without user and password, since `/health` shows it to anybody."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else uri


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:200]


def _name(name: str) -> str:
    """Return a curve's name in MLflow's characters."""
    return re.sub(r"[^\w\-. :/]", "_", name.replace(".", "/", 1), flags=re.ASCII)[:NAME_CHARS]


def _tags(job: Job) -> list[Any]:
    from mlflow.entities import RunTag

    facts: dict[str, Any] = {
        "mlflow.runName": job.name or job.job_id,
        "mlflow.note.content": job.notes,
        "traind.status": job.status,
        "traind.dataset": job.spec.dataset,
        "traind.dataset_digest": job.dataset.digest if job.dataset else None,
        "traind.parent": job.parent.job_id if job.parent else None,
        "traind.error": job.error.message if job.error else None,
        "traind.weights_digest": job.weights_digest,
        "traind.best_epoch": job.best_epoch,
        **{f"tag.{_name(tag)}": "true" for tag in job.spec.tags},
    }
    return [RunTag(name, str(value)[:TAG_CHARS]) for name, value in facts.items() if value is not None]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield what a mapping holds as texts by path, such as `model.kind`."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    elif value is not UNSET and value is not None and value not in ([], {}):
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        yield re.sub(r"[^\w\-. :/]", "_", path, flags=re.ASCII)[:NAME_CHARS], text[:VALUE_CHARS]


def _finals(job: Job) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a finished model, as `validation/rmse`."""
    for split, metrics in job.metrics.items():
        for name, value in metrics.items() if isinstance(metrics, dict) else ():
            if isinstance(value, int | float):
                yield _name(f"{split}.{name}"), float(value)


def _as_mlflow_model(model: Path, folder: Path, run: str) -> Path:
    """Return a folder that `mlflow.pyfunc.load_model` reads: the model file, and how it is loaded."""
    from mlflow.models import Model

    folder.mkdir()
    (folder / "model.pt").symlink_to(model)
    described = Model(artifact_path="model", run_id=run)
    described.add_flavor(
        "python_function", loader_module="traind.mlflow", data="model.pt", python_version=platform.python_version()
    )
    (folder / "requirements.txt").write_text(f"traind=={traind.__version__}\nmlflow\npandas\n")
    described.save(str(folder / "MLmodel"))
    return folder
