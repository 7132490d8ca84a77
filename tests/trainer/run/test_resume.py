"""A run that is interrupted and goes on makes the same model as one that was not, bit for bit."""

import pytest

from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import Epoch, Log, State, Status

BARE = {"kind": "mlp", "hidden": [8, 8], "embedding": "none", "dropout": 0.0}
SHORT = {"synthetic": {"rows": 80}, "batch_size": 16, "epochs": 4, "model": BARE}  # 64 training rows: 4 batches
LOOKS = 20  # at the control: before each of 4 epochs and after each of 16 steps
CONFIGURATIONS = {
    "adam constant": ({}, None),
    "sgd linear clipped": ({"optimizer": "sgd", "schedule": "linear", "lr": 0.05, "grad_clip": 0.5}, None),
    "adamw cosine": ({"optimizer": "adamw", "schedule": "cosine", "weight_decay": 0.1}, None),
    "dropout": ({"model": {**BARE, "dropout": 0.3}}, None),
    "early stop": ({"patience": 1, "lr": 0.2}, None),
    "short last batch": ({"synthetic": {"rows": 71}}, None),
    "checkpoints each epoch": ({"checkpoint_every": 0.0}, None),
    "averaged embeddings": ({"model": {"kind": "auto"}}, "value"),
    "many members": ({"model": {"kind": "best"}}, "flag"),
    "fast classes": ({"model": {"kind": "fast"}}, "flag"),
    "linear classes": ({"model": {"kind": "linear"}}, "kind"),
    "periodic": ({"model": {"kind": "mlp", "hidden": [8], "embedding": "periodic"}}, "value"),
    "tabm": ({"model": {"kind": "tabm", "hidden": [8], "k": 3, "dropout": 0.2}}, "kind"),
    "trees": ({"model": {"kind": "trees"}}, "kind"),
    "gone back": ({"model": {"kind": "linear"}, "lr": 100.0, "optimizer": "sgd"}, None),
}
QUICK = 9  # one in so many cases runs each time; `make faults` runs all


def cases():
    for number, name in enumerate(CONFIGURATIONS):
        for look in range(1, LOOKS + 1):
            is_quick = (number * 3 + look) % QUICK == 0 or (name, look) == ("adamw cosine", LOOKS)
            yield pytest.param(name, look, marks=() if is_quick else pytest.mark.faults, id=f"{name}-{look}")


@pytest.fixture(scope="module")
def undisturbed():
    """What each configuration gives when nothing interrupts it, made once."""
    return {}


def made(job, fingerprint):
    """Return all that must be the same: weights, optimizer, history, random streams, what is told of epochs."""
    content = job.checkpoint()
    last = job.reported(State)[-1]
    assert last.status is Status.COMPLETED, last
    epochs = {event.epoch: (event.train_loss, event.metrics, event.is_best) for event in job.reported(Epoch)}
    return {
        "weights": last.result.weights_digest,
        "metrics": last.result.metrics,
        "step": fingerprint(content["state"]["step"]),
        "fit": fingerprint(content["state"]["fit"]),
        "random": fingerprint(content["random"]),
        "epochs": epochs,
    }


@pytest.mark.parametrize(("name", "look"), list(cases()))
def test_resumed_run_is_the_same_run(name, look, new_job, table, undisturbed, fingerprint):
    fields, target = CONFIGURATIONS[name]
    dataset = table(target) if target else None
    fields = SHORT | fields if dataset is None else {**SHORT, "synthetic": None, "dataset": target, **fields}
    if not undisturbed:
        new_job(**SHORT).attempt()  # what it is the first to import may draw from the process's random streams
    if name not in undisturbed:
        whole = new_job(dataset, **fields)
        whole.attempt()
        undisturbed[name] = made(whole, fingerprint)
    job = new_job(dataset, **fields)
    first = job.attempt(Verb.LEAVE, look)
    if first.status is not Status.COMPLETED:  # it may have stopped early
        assert (first.status, first.reason) == (Status.QUEUED, "server_left")
        job.attempt()
    assert made(job, fingerprint) == undisturbed[name]


def test_a_chain_of_interruptions_changes_nothing(new_job, fingerprint):
    whole, job = new_job(**SHORT), new_job(**SHORT)
    whole.attempt()
    for _ in range(16):  # each attempt takes one step
        assert job.attempt(Verb.LEAVE, 2).status is Status.QUEUED
    job.attempt()
    assert made(job, fingerprint) == made(whole, fingerprint)


def test_going_back_happened_in_the_case_that_is_for_it(new_job):
    job = new_job(**SHORT | CONFIGURATIONS["gone back"][0])
    job.attempt()
    assert [event.message for event in job.reported(Log) if "going back" in event.message]
