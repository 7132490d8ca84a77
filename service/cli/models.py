"""Commands about finished models: predict a file, export."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from msgspec import to_builtins

from traind.service.cli.entry import Failed, about
from traind.service.cli.flags import Json
from traind.service.cli.surroundings import search_here

Root = Annotated[Path, Parameter(env_var="TRAIND_ROOT", help="folder that holds everything")]
Server = Annotated[str | None, Parameter(env_var="TRAIND_SERVER", help="take the model from this server")]
Out = Annotated[Path, Parameter(name=["--out", "-o"], help="where to write")]


def predict(  # noqa: PLR0913 - flags
    model: Annotated[str, Parameter(help="a model file, or the id of the job that made it")],
    file: Annotated[Path, Parameter(help="rows to predict, in any format that can be trained on")],
    *,
    out: Out,
    interval: Annotated[
        float | None, Parameter(help="add intervals that contain this share of the true values, such as 0.9")
    ] = None,
    trainer: Annotated[
        str | None, Parameter(help="the trainer of your own that made it, as digits.py or package.module:train")
    ] = None,
    as_json: Json = False,
    root: Root = Path(),
    server: Server = None,
) -> None:
    """Predict every row of a file with a finished model."""
    from traind import load_model

    if not file.is_file():
        raise Failed(f"{file} is not a file.")
    _check_folder(out)
    with _model_file(model, root, server) as path, about(file):
        rows = load_model(path, _reference(trainer)).predict_file(file, out, interval=interval)
    if as_json:
        from traind.service.cli.show import print_json

        print_json({"out": str(out), "rows": rows})
    else:
        print(f"{out}  {rows:,} rows")


def _reference(trainer: str | None) -> str | None:
    """Return the `module:function` of a trainer given by file or module, or None."""
    if trainer is None:
        return None
    search_here()
    return trainer if ":" in trainer else f"{trainer}:train"


def evaluate(
    model: Annotated[str, Parameter(help="a model file, or the id of the job that made it, or an alias")],
    file: Annotated[Path | None, Parameter(help="a table with the target; or give --dataset")] = None,
    *,
    dataset: Annotated[str | None, Parameter(help="a data set that is registered at the server")] = None,
    as_json: Json = False,
    root: Root = Path(),
    server: Server = None,
) -> None:
    """Evaluate a finished model on a labelled table, beside a baseline."""
    from traind.service.cli.show import print_json, print_score

    if (file is None) == (dataset is None):
        raise Failed("Give a file, or --dataset NAME with --server, and not both.")
    if file is not None and not file.is_file():
        raise Failed(f"{file} is not a file.")
    if dataset is not None:
        from traind.service.client.synchronous import SyncClient

        if server is None:
            raise Failed("A registered data set is at a server.", hint="Add --server http://127.0.0.1:3001")
        score = to_builtins(SyncClient(server).evaluate(model, dataset=dataset))
    else:
        assert file is not None
        score = _evaluated(model, file, root, server)
    (print_json if as_json else print_score)(score)


def _evaluated(model: str, file: Path, root: Path, server: str | None) -> dict[str, Any]:
    """Return the score of a model, evaluated on the server if it has the model, else here."""
    if server is not None and not _is_file(model):
        from traind.service.client.synchronous import SyncClient

        found: dict[str, Any] = to_builtins(SyncClient(server).evaluate(model, file))
        return found
    from traind import load_model

    with _model_file(model, root, None) as path, about(file):
        return load_model(path).evaluate(file)


def export(
    model: Annotated[str, Parameter(help="a model file, or the id of the job that made it")],
    *,
    format: Annotated[Literal["onnx", "safetensors"], Parameter(help="the format to write")] = "onnx",  # noqa: A002
    out: Annotated[Path | None, Parameter(name=["--out", "-o"], help="where to write; none: MODEL.FORMAT")] = None,
    root: Root = Path(),
    server: Server = None,
) -> None:
    """Write a model in another format, after checking its predictions against the original on real rows."""
    target = out or Path(f"{_name_of(model)}.{format}")
    _check_folder(target)
    if server is not None and not _is_file(model):
        from traind.service.client.synchronous import SyncClient

        SyncClient(server).export(model, format, to=target)
    else:
        from traind import load_model

        with _model_file(model, root, None) as path:
            load_model(path).export(format, target)
    print(target)


def _check_folder(out: Path) -> None:
    if not out.parent.is_dir():
        raise Failed(f"There is no folder {out.parent}.")


def _is_file(model: str) -> bool:
    """Return whether `model` is a file rather than a job's id."""
    return model.endswith(".pt")


def _name_of(model: str) -> str:
    return Path(model).stem if _is_file(model) else model


@contextmanager
def _model_file(model: str, root: Path, server: str | None) -> Iterator[Path]:
    """Yield a model's file: the path given, a job's below the root, or one that the server has."""
    if server is not None and not _is_file(model):
        from traind.service.client.synchronous import SyncClient

        with tempfile.TemporaryDirectory(prefix="traind-") as folder:
            yield SyncClient(server).model_path(model, to=Path(folder, "model.pt"))
        return
    for path in (Path(model), root / "models" / f"{model}.pt"):
        if path.is_file():
            yield path
            return
    raise Failed(
        f"There is no file {model}, and no model of a job {model} below {root.resolve()}.",
        hint="Where a server has it, add --server http://127.0.0.1:3001",
    )
