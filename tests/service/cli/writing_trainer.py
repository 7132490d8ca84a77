"""A trainer that prints, writes files, and waits for a file before it ends."""

import sys
import time
from pathlib import Path

from traind import Run


def train(run: Run[dict[str, str]]) -> None:
    """Write to both folders, then wait until the file `go` is there."""
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    (run.files_dir / "plots").mkdir(exist_ok=True)
    (run.files_dir / "plots/curve.svg").write_text("<svg/>")
    with (run.files_dir / "attempts.txt").open("a") as file:
        file.write("one more\n")
    (run.folder / "scratch.txt").write_text("scratch")
    step = 0
    while not Path(run.options["go"]).exists():
        step += 1
        run.report(step=step, loss=1.0)
        if run.should_stop():
            run.save({"step": step})
            return
        time.sleep(0.01)
    sys.stdout.write("over\n")
    run.report(step=step + 1, total=step + 1, loss=0.5)
    run.end_epoch(1, metrics={"accuracy": 0.75})
    run.finish({"weights": {}}, metrics={"validation": {"accuracy": 0.75}})
