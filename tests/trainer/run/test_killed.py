"""A job whose process is killed goes on in another one, to the same bits."""

import signal
import subprocess
import sys

import msgspec

from traind.trainer.contract.events import State, Status
from traind.trainer.contract.spec import Assignment, Place

SPEC = {"synthetic": {"rows": 2_000}, "batch_size": 16, "epochs": 8, "checkpoint_every": 0.0}
PROGRAM = """
import signal, sys
import msgspec
from traind.trainer.contract.events import Checkpoint
from traind.trainer.contract.spec import Assignment
from traind.trainer.run.attempt import run

said = []

def say(event):
    if isinstance(event, Checkpoint):
        said.append(event)
        print(event.step, flush=True)
        if len(said) == 3:
            signal.pause()  # the end comes until here

asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Assignment)
run(asked.spec, say, asked.place)
"""


KILLS = 2


def test_killed_and_gone_on_with_in_another_process(new_job):
    whole, job = new_job(**SPEC), new_job(**SPEC)
    expected = whole.attempt().result
    for number in range(KILLS):
        folder = job.root / f"attempt-{number + 1}"
        folder.mkdir(parents=True)
        earlier = tuple(map(str, reversed(job.attempts)))
        place = Place(job_id="job", attempt=number + 1, attempt_dir=str(folder), earlier_dirs=earlier)
        job.attempts.append(folder)
        command = [sys.executable, "-c", PROGRAM]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdin.write(msgspec.json.encode(Assignment(job.spec, place)))
            process.stdin.close()
            assert process.stdout.readline()  # a checkpoint is whole
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    last = job.attempt()
    assert last.status is Status.COMPLETED
    assert job.reported(State)[1].resumed_from_step >= 100 * KILLS
    assert (last.result.weights_digest, last.result.metrics) == (expected.weights_digest, expected.metrics)
