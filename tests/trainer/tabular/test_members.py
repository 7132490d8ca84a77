"""Which rows the networks of a model have seen, and which of them its metrics are of."""

from itertools import combinations

import pytest
import torch

from traind.data.prepare import Request, Split, prepare
from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import Status
from traind.trainer.model.export import from_safetensors, to_onnx, to_safetensors
from traind.trainer.model.model import Model, forward, load_model
from traind.trainer.model.tensor_file import unpacked
from traind.trainer.run.checkpoints import Checkpoints
from traind.trainer.tabular.bundle import monitor_of
from traind.trainer.tabular.loop import Member, TrainingPlan
from traind.trainer.tabular.metrics import measure
from traind.trainer.tabular.schedules import Schedule

FIELDS = {"epochs": 6, "batch_size": 16, "validation": {"test_fraction": 0.2}}


@pytest.fixture(params=[("value", "auto"), ("flag", "auto"), ("kind", "auto"), ("kind", "best")])
def finished(request, new_job, table):
    target, kind = request.param
    job = new_job(table(target), dataset=target, model={"kind": kind}, **FIELDS)
    return job.attempt(), prepare((table(target).path, "csv"), Request(validation=Split(test_fraction=0.2)))


def test_metrics_of_rows_that_members_have_seen_are_the_monitors(finished):
    last, prepared = finished
    model = load_model(last.result.model_path)
    monitor = monitor_of(model)
    report = last.result.report["members"]
    trained, kept = len(prepared.train), len(prepared.validation)
    assert report["training_rows"] == [trained, *[trained + kept] * (model.recipe.members - 1)]
    assert report["measured"] == {"train": "monitor", "validation": "monitor", "test": "model"}
    for part, one in (("train", monitor), ("validation", monitor), ("test", model)):
        rows = getattr(prepared, part)
        told = {name: value for name, value in last.result.metrics[part].items() if name != "val_loss"}
        assert measure(forward(one.network, one.recipe, rows).numpy(), rows.target) == told


def test_the_model_predicts_the_mean_of_its_members(finished):
    last, prepared = finished
    model = load_model(last.result.model_path)
    assert isinstance(model, Model)
    numeric, categorical = (
        torch.from_numpy(rows.copy()) for rows in (prepared.test.numeric, prepared.test.categorical)
    )
    together = model.network(numeric, categorical)
    apart = [member(numeric, categorical) for member in model.network.members]
    assert together.shape == (len(prepared.test), model.recipe.members, apart[0].shape[1])
    assert all(torch.equal(together[:, number], one) for number, one in enumerate(apart))
    assert not any(torch.equal(*two) for two in combinations(apart, 2))
    to_onnx(model)  # compares with the original
    rows = model.content["golden"]["rows"]
    assert torch.equal(from_safetensors(to_safetensors(model)).values(rows), model.values(rows))


@pytest.mark.parametrize("model", [{"kind": "auto"}, {"kind": "mlp", "members": 3, "dropout": 0.1}])
def test_more_threads_train_the_same_model(model, new_job, table):
    """Each member takes one thread, and draws its own random numbers in turn with the others."""
    found = []
    for threads in (1, 2):
        job = new_job(table("kind"), dataset="kind", model=model, epochs=6, batch_size=16, threads=threads)
        if threads == 2:
            job.attempt(Verb.LEAVE, 9)
        last = job.attempt()
        found.append(load_model(last.result.model_path).content["weights"])
    one, two = found
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("kind", ["fast", "linear", "mlp", "tabm"])
def test_other_models_are_one_network_that_saw_the_training_rows(kind, new_job, table):
    last = new_job(table("value"), dataset="value", model={"kind": kind}, epochs=2).attempt()
    report = last.result.report["members"]
    assert report["training_rows"] == [last.result.report["rows"]["train"]]
    assert set(report["measured"].values()) == {"model"}


def test_a_job_of_one_network_goes_on_as_one(new_job, table):
    """A checkpoint of a version that trained one network for `auto` is gone on from, and makes one."""
    job = new_job(table("value"), dataset="value", epochs=4, batch_size=16)
    job.attempt(Verb.LEAVE, 8)
    path = max(job.attempts[-1].glob("checkpoint-*.pt"))
    content = unpacked(path.read_bytes())
    state = content["state"]
    del state["model"]["recipe"]["members"], state["model"]["architecture"]["members"]
    state["step"] = state["step"]["members"][0]
    for kept in ("best_weights", "good"):
        state["fit"][kept] = None
    state["weights"] = None
    Checkpoints(path.parent, (), 2).write(content, step=content["step"], epoch=content["epoch"])
    last = job.attempt()
    assert last.status is Status.COMPLETED, last
    assert len(last.result.report["members"]["training_rows"]) == 1


def test_an_epoch_of_a_part_draws_other_rows_each_time():
    schedule = Schedule("constant", 0.1, 9)
    plan = TrainingPlan(30, 8, 9, None, schedule, seed=3, others=(Member(120, 10, 4),), drawn_from=100)
    assert (plan.batches, plan.steps) == (4, 36)
    seen = set()
    for epoch in range(9):
        own, other = plan.orders(epoch)
        assert len(own) == len(set(own.tolist())) == 30
        assert len(other) == 40
        seen |= set(own.tolist())
    assert min(seen) >= 0
    assert max(seen) < 100
    assert len(seen) > 90
