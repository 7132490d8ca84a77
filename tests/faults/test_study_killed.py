"""A study whose server is killed at random: the trials of one that was left alone, none twice and none forgotten.

`TRAIND_STUDY_KILLS` says how often; the seed of the moments is printed.
"""

import os
import random
import time

import pytest

from traind import SyncClient

KILLS = int(os.environ.get("TRAIND_STUDY_KILLS", "100"))
SEED = int(os.environ.get("TRAIND_STUDY_SEED", str(time.time_ns() % 10**6)))
STUDY = {
    "study_id": "hunted",
    "spec": {"synthetic": {"rows": 4_000, "columns": 6}, "epochs": 8, "checkpoint_every": 0.0},
    "space": {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "model.hidden": {"choices": [[16], [32, 32], [64]]},
        "batch_size": {"low": 16, "high": 64},
    },
    "seed": 11,
    "ensemble": False,
}


def outcome(client, study_id):
    """What a study came to: of each trial all that is not about time."""
    trials = client.trials(study_id)
    jobs = {trial.trial: client.status(trial.job_id) for trial in trials}
    return [
        (trial.trial, trial.params, trial.status, trial.value, trial.pruned_at, trial.values[: trial.pruned_at])
        + ((jobs[trial.trial].weights_digest,) if trial.pruned_at is None else ())
        for trial in trials
    ]


def hunt(server, client, study_id, chance, kills):
    """Kill the server at random moments until the study is over, or it was killed often enough; return how often."""
    for count in range(kills):
        time.sleep(chance.uniform(0.05, 2.5))  # the moment is the fault: nothing is waited for
        if client.study(study_id).status == "COMPLETED":
            return count
        server.kill()
        server.start()
    return kills


@pytest.mark.faults
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("parallel", [1, 2])
def test_a_study_is_the_same_however_often_its_server_is_killed(serve, tmp_path, parallel):
    trials = 8 + KILLS // 3
    request = {**STUDY, "parallel": parallel, "trials": trials}
    calm, hunted = serve("--slots", "2", root=tmp_path / "calm"), serve("--slots", "2", root=tmp_path / "hunted")
    chance = random.Random(SEED)
    client = SyncClient(hunted.url)
    client.submit_study(request)
    kills = hunt(hunted, client, "hunted", chance, KILLS)
    study = client.wait_study("hunted")
    print(f"seed {SEED}: {kills} kills, {study.suggested} trials, {study.pruned} pruned, {study.failed} failed")
    found = outcome(client, "hunted")
    assert [trial[0] for trial in found] == list(range(trials))
    assert (study.status, study.suggested, study.running) == ("COMPLETED", trials, 0)
    jobs = client.jobs(study="hunted", limit=1_000).jobs
    assert sorted(job.trial for job in jobs) == list(range(trials))
    assert study.failed == 0
    if parallel == 1:
        undisturbed = SyncClient(calm.url)
        undisturbed.submit_study(request)
        assert undisturbed.wait_study("hunted").status == "COMPLETED"
        assert outcome(undisturbed, "hunted") == found
