"""`traind demo`: starts a server, trains on real house prices, and prints predictions beside the true prices."""

import csv
import gzip
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from traind.service.cli.entry import Failed

if TYPE_CHECKING:
    from traind.service.client.synchronous import SyncClient

TARGET = "price"
SHOWN_ROWS = 5
START_S = 60.0


def demo(
    *,
    root: Annotated[Path | None, Parameter(help="keep everything in this folder; none: a temporary one")] = None,
    epochs: Annotated[int | None, Parameter(help="number of epochs; none: as the recipe chooses")] = None,
) -> None:
    """Start a server on a free port, send it the house prices that ship with traind, train, predict, and clean up."""
    from traind.service.client.synchronous import SyncClient

    content, kept = _houses()
    with _folder(root) as folder, _server(folder) as url:
        client = SyncClient(url)
        print(f"The demo's server is at {url}\n")
        dataset = client.put_dataset("house_prices", content, "csv")
        print(f"$ traind datasets put house_prices house_prices.csv    # {dataset.size_bytes:,} bytes of real sales")
        spec: dict[str, Any] = {"dataset": "house_prices", "target": TARGET}
        job_id = _train(client, spec | ({"epochs": epochs} if epochs is not None else {}))
        _predict(client, job_id, kept)
        print(
            f"\nThe model is one file, models/{job_id}.pt" + (f" in {folder}." if root else ", gone with the demo.")
        )
        print(
            "Next: `traind serve` and http://127.0.0.1:3001/, or `traind train --dataset your.csv --target column`."
        )


def _train(client: "SyncClient", spec: dict[str, Any]) -> str:
    """Train through HTTP, live, and show how good the model is; return the job."""
    from traind.service.cli.show import Bar, EpochLines, print_failure, print_metrics
    from traind.trainer.contract.events import Status

    job = client.submit(spec)
    body = f'{{"dataset": "house_prices", "target": "{TARGET}"}}'
    print(f"$ curl -H 'Content-Type: application/json' -d '{body}' .../api/train    # {job.job_id}\n")
    with Bar() if sys.stdout.isatty() else EpochLines() as shown:
        for event in client.watch(job.job_id):
            shown.show(event)
    job = client.status(job.job_id)
    if job.status is not Status.COMPLETED:
        if job.error is not None:
            print_failure(job.error)
        raise Failed(f"The demo's job is {job.status.lower()}, and should be completed.")
    timings = job.timings
    print(f"\nTrained in {timings.get('running_s', 0.0):.1f} s", end="")
    print(f", {1000 * timings.get('submit_to_first_step_s', 0.0):.0f} ms from submit to the first gradient step.")
    print("The baseline predicts the mean for every house.\n")
    print_metrics(job.metrics, job.baseline)
    return job.job_id


def _predict(client: "SyncClient", job_id: str, kept: list[dict[str, str]]) -> None:
    """Predict houses that the model has not seen, beside what they sold for."""
    from traind.service.cli.show import print_table

    rows = [{name: value for name, value in house.items() if name != TARGET} for house in kept]
    prices = client.predict(job_id, rows).predictions
    print(f"\n{len(kept)} houses that it has not seen:\n")
    shown = [
        [f"{float(price):,.0f}", f"{float(house[TARGET]):,.0f}", f"{float(price) / float(house[TARGET]) - 1:+.0%}"]
        for price, house in zip(prices, kept, strict=True)
    ]
    print_table(["predicted", "sold for", "off by"], shown)


def _houses() -> tuple[bytes, list[dict[str, str]]]:
    """Return the shipped sales as CSV without a few of them, and those few."""
    packed = files("traind.data").joinpath("samples/house_prices.csv.gz").read_bytes()
    houses = list(csv.DictReader(io.StringIO(gzip.decompress(packed).decode())))
    every = len(houses) // SHOWN_ROWS
    kept = houses[every // 2 :: every][:SHOWN_ROWS]
    unseen = {id(house) for house in kept}
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(houses[0]))
    writer.writeheader()
    writer.writerows(house for house in houses if id(house) not in unseen)
    return text.getvalue().encode(), kept


@contextmanager
def _folder(root: Path | None) -> Iterator[Path]:
    if root is not None:
        root.mkdir(parents=True, exist_ok=True)
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="traind-demo-") as folder:
        yield Path(folder)


@contextmanager
def _server(root: Path) -> Iterator[str]:
    """Run `traind serve` on a free port, yield its address, and end it as Ctrl-C would."""
    command = [sys.executable, "-m", "traind", "serve", "--root", str(root), "--host", "127.0.0.1", "--port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRAIND_")}
    with subprocess.Popen(  # noqa: S603 - this very program
        command, stdout=subprocess.PIPE, env=environment, text=True
    ) as server:
        try:
            assert server.stdout is not None
            found = next((url for line in server.stdout if (url := re.search(r"http://[\w.]+:\d+", line))), None)
            if found is None:
                raise Failed("The demo's server did not start.")
            yield found[0]
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(START_S)
