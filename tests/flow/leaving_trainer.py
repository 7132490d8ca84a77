"""A trainer that starts a process in a session of its own, and another whose parent ends at once."""

import subprocess
import time

from traind import Run


def train(run: Run[dict[str, str]]) -> None:
    """Start both, then train until it is to leave."""
    mark = run.options["mark"]
    subprocess.Popen(["sleep", mark], start_new_session=True)
    subprocess.run(["sh", "-c", f"setsid sleep {mark} & setsid sleep {mark} &"], check=True)
    step = 0
    while not run.should_stop():
        step += 1
        run.report(step=step, loss=1.0)
        time.sleep(0.01)
    if run.wants_model:
        run.finish({"weights": {}})
