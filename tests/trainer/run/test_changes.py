"""Changes of a running job's settings: taken up at the next step, and again at that step whatever happens."""

import random
from types import SimpleNamespace

import msgspec
import pytest

from traind.trainer.contract.change import RequestedChange
from traind.trainer.contract.control import LocalControl, Verb
from traind.trainer.contract.events import Checkpoint, ControlRequested, Epoch, Log, Progress, Status
from traind.trainer.contract.spec import Place, TrainSpec
from traind.trainer.run.attempt import run
from traind.trainer.tabular.schedules import Schedule

MLP = {"kind": "mlp", "hidden": [16]}
KINDS = {
    "cosine": {"model": MLP, "schedule": "cosine"},
    "linear schedule": {"model": MLP, "schedule": "linear"},
    "constant": {"model": {"kind": "linear"}, "schedule": "constant"},
    "sgd": {"model": MLP, "optimizer": "sgd"},
    "tabm": {"model": {"kind": "tabm", "hidden": [16], "k": 2}},
    "members": {"model": {"kind": "auto"}},
    "trees": {"model": {"kind": "trees"}, "lr": 0.1},
}
ASKED = (
    RequestedChange(number=1, lr=0.004),
    RequestedChange(number=2, epochs=5, patience=None, report_every=3),
    RequestedChange(number=3, lr=0.0005, checkpoint_every=0.0),
)


class Died(Exception):
    """The process was gone: no checkpoint, no last word."""


def dying(job, at):
    """Return what takes a job's events until its process dies at the `at`-th one."""

    def emit(event):
        if len(job.events) - before >= at:
            raise Died
        job.events.append(event)

    before = len(job.events)
    return emit


def known(job, asked=ASKED):
    """Return the changes as the record has them: with the step that was told last."""
    steps = {event.number: event.step for event in job.reported(ControlRequested) if event.step is not None}
    return tuple(msgspec.structs.replace(change, step=steps.get(change.number)) for change in asked)


def job_of(new_job, table, kind):
    fields = {"epochs": 4, "batch_size": 16, "seed": 2, "checkpoint_every": 0.01, **KINDS[kind]}
    if kind == "trees":
        del fields["batch_size"]
    return new_job(table("flag"), dataset="flag", **fields)


@pytest.mark.parametrize("kind", KINDS)
def test_it_makes_the_same_bits_wherever_it_dies(new_job, table, kind):
    draw = random.Random(kind)
    for _ in range(1 if kind == "trees" else 2):
        job = job_of(new_job, table, kind)
        last = None
        asked = ()
        while last is None:
            left = [change for change in ASKED if change.number > len(asked)]
            looks = sorted(draw.sample(range(1, 9), len(left)))
            place = {"changes": known(job, asked)}
            asks = dict(zip(looks, left, strict=True))
            before = len(job.events)
            try:
                job.attempt(asks=asks, emit=dying(job, draw.randrange(1, 25)), **place)
            except Died:
                pass
            else:
                last = job.events[-1]
            heard = {event.number for event in job.events[before:] if isinstance(event, ControlRequested)}
            asked = ASKED[: max([len(asked), *heard])]
        assert last.status is Status.COMPLETED, last.error
        calm = job_of(new_job, table, kind)
        undisturbed = calm.attempt(changes=known(job, asked))
        assert known(calm, asked) == known(job, asked)
        assert last.result.weights_digest == undisturbed.result.weights_digest
        assert last.result.metrics == undisturbed.result.metrics


@pytest.mark.parametrize("kind", KINDS)
def test_it_tells_the_bits_apart(new_job, table, kind):
    changed, other, without = (job_of(new_job, table, kind) for _ in range(3))
    first = changed.attempt(changes=(RequestedChange(number=1, lr=0.02, step=7),))
    later = other.attempt(changes=(RequestedChange(number=1, lr=0.02, step=8),))
    assert len({one.result.weights_digest for one in (first, later, without.attempt())}) == 3


def test_what_was_requested_before_the_death_is_taken_up_after_it(new_job, table):
    job = job_of(new_job, table, "cosine")
    job.attempt(Verb.LEAVE, at=5)
    at = job.reported(Checkpoint)[-1].step
    last = job.attempt(changes=ASKED[:1])
    assert known(job)[0].step == at
    calm = job_of(new_job, table, "cosine")
    assert calm.attempt(changes=known(job)[:1]).result.weights_digest == last.result.weights_digest


def test_a_checkpoint_knows_what_the_record_does_not(new_job, table):
    job = job_of(new_job, table, "cosine")
    job.attempt(Verb.LEAVE, at=8, asks={3: ASKED[0]})
    taken = known(job)[0].step
    job.events.clear()
    last = job.attempt(changes=ASKED[:1])  # its server died too, before it heard
    assert known(job)[0].step == taken < 8
    calm = job_of(new_job, table, "cosine")
    assert calm.attempt(changes=known(job)[:1]).result.weights_digest == last.result.weights_digest


def test_a_new_change_waits_until_those_that_are_repeated_have_been(new_job, table):
    job = job_of(new_job, table, "cosine")
    repeated = RequestedChange(number=1, lr=0.01, step=9)
    job.attempt(changes=(repeated,), asks={2: RequestedChange(number=2, lr=0.002)})
    assert [(event.number, event.step) for event in job.reported(ControlRequested)] == [(1, 9), (2, 9)]


@pytest.mark.parametrize("kind", ["cosine", "linear schedule", "constant"])
def test_the_next_step_has_the_new_rate_and_the_schedule_goes_on_from_it_to_its_end(kind):
    schedule = Schedule(kind.split()[0], 0.01, 100, warmup_steps=10).changed(40, 0.003, 100)
    rates = [schedule.at(step) for step in range(40, 101)]
    assert rates[0] == 0.003
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == (0.003 if kind == "constant" else 0.0)
    assert schedule.at(20) == 0.003  # gone back behind it


def test_with_other_epochs_a_schedule_goes_on_without_a_jump():
    whole = Schedule("cosine", 0.01, 100, warmup_steps=10)
    longer = whole.changed(40, None, 200)
    assert longer.at(40) == whole.at(40)
    assert longer.at(200) == 0.0
    warming = whole.changed(4, None, 200)
    assert [warming.at(step) for step in range(11)] == [whole.at(step) for step in range(11)]


def test_epochs_patience_and_reports_are_heeded(new_job, table):
    job = new_job(table("value"), dataset="value", epochs=9, batch_size=16, report_every=1_000, patience=None)
    change = RequestedChange(number=1, epochs=3, report_every=1)
    last = job.attempt(asks={2: change})
    assert [event.epoch for event in job.reported(Epoch)] == [1, 2, 3]
    assert {event.epochs for event in job.reported(Epoch)} == {3}
    assert last.status is Status.COMPLETED
    assert job.reported(Progress)[-1].total_steps == job.reported(Progress)[-1].step
    assert any(event.step % 4 for event in job.reported(Progress))


def test_more_epochs_that_are_requested_in_the_last_one_follow_it(new_job, table):
    job = new_job(table("value"), dataset="value", epochs=2, batch_size=16, patience=None, model=MLP)
    job.attempt(asks={9: RequestedChange(number=1, epochs=4)})
    assert [event.epoch for event in job.reported(Epoch)] == [1, 2, 3, 4]


def test_epochs_that_have_begun_cannot_be_taken_back(new_job, table):
    job = new_job(table("value"), dataset="value", epochs=4, batch_size=16, patience=None, model=MLP)
    job.attempt(asks={8: RequestedChange(number=1, epochs=1, lr=0.5)})
    (told,) = job.reported(ControlRequested)
    assert told.step is None
    assert told.refused == {"epochs": "must be 2 at least: that many epochs have begun"}
    assert len(job.reported(Epoch)) == 4


def test_a_blend_takes_up_nothing_of_its_networks_while_it_grows_trees(new_job, table):
    fields = {"dataset": "flag", "epochs": 2, "batch_size": 16, "model": {"kind": "blend"}}
    asks = {2: RequestedChange(number=1, lr=0.1, epochs=9), 3: RequestedChange(number=2, report_every=1)}
    job = new_job(table("flag"), **fields)
    job.attempt(asks=asks)
    first, second = job.reported(ControlRequested)
    assert set(first.refused) == {"lr", "epochs"}
    assert "trees" in first.refused["lr"]
    assert second.step is not None


@pytest.mark.faults  # three blends
def test_a_blend_takes_it_up_while_its_networks_train(new_job, table):
    fields = {"dataset": "flag", "epochs": 3, "batch_size": 16, "model": {"kind": "blend"}, "checkpoint_every": 0.01}
    probe = new_job(table("flag"), **fields)
    probe.attempt()
    grown = probe.reported(Epoch)[-3].epoch - 1
    step = next(event.step for event in probe.reported(Epoch) if event.epoch == grown) + 2
    job = new_job(table("flag"), **fields)
    change = RequestedChange(number=1, lr=0.02, epochs=grown + 4, step=step)
    whole = job.attempt(changes=(change,))
    assert job.reported(Epoch)[-1].epoch == job.reported(Epoch)[-1].epochs == grown + 4
    cut = new_job(table("flag"), **fields)
    cut.attempt(Verb.LEAVE, at=len(job.reported(Epoch)) + step + 3, changes=(change,))
    assert cut.attempt(changes=(change,)).result.weights_digest == whole.result.weights_digest


def heeding(run):
    saved = run.restore() or {"step": 0, "rates": []}
    step, rates = saved["step"], saved["rates"]
    while step < (run.control().epochs or 1) * 10:
        if run.should_stop():
            run.save({"step": step, "rates": rates}, step=step)
            return
        rates.append(run.control().lr or 0.1)
        step += 1
        run.report(step=step, loss=1.0)
    run.finish({"weights": {}, "rates": rates})


def heeding_rates_alone(run):
    for step in range(1, 30):
        run.control("lr")
        run.report(step=step, loss=1.0)
        run.should_stop()
    run.finish({"weights": {}})


def deaf(run):
    for step in range(1, 30):
        run.report(step=step, loss=1.0)
        run.should_stop()
    run.finish({"weights": {}})


def trained(train, tmp_path, control=None, **place):
    events = []
    spec = msgspec.convert({"trainer": "own", "epochs": 2}, TrainSpec)
    folder = tmp_path / f"attempt-{len(list(tmp_path.iterdir())) + 1}"
    folder.mkdir()
    where = f"{__file__}:{train.__name__}"
    last = run(
        spec, events.append, Place(job_id="own", attempt=1, attempt_dir=str(folder), trainer=where, **place), control
    )
    told = [event for event in events if isinstance(event, ControlRequested)]
    return SimpleNamespace(last=last, told=told, folder=folder)


def test_a_trainer_of_ones_own_sees_the_change_at_its_step_again(tmp_path):
    change = RequestedChange(number=1, lr=0.5, epochs=3, step=7)
    made = trained(heeding, tmp_path, changes=(change,))
    assert made.last.status is Status.COMPLETED, made.last.error
    assert [(told.number, told.step) for told in made.told] == [(1, 7)]
    assert rates_of(made) == [0.1] * 7 + [0.5] * 23


def test_it_goes_on_with_the_change_that_its_checkpoint_has(tmp_path, request):
    control = request.getfixturevalue("stopped_at")(13)
    change = RequestedChange(number=1, lr=0.5, epochs=3, step=7)
    first = trained(heeding, tmp_path, control, changes=(change,))
    second = trained(heeding, tmp_path, changes=(change,), earlier_dirs=(str(first.folder),))
    assert rates_of(second) == [0.1] * 7 + [0.5] * 23
    assert second.told == []


@pytest.fixture
def stopped_at():
    def make(look):
        class Leaving(LocalControl):
            looks = 0

            @property
            def verb(self):
                type(self).looks += 1
                return Verb.LEAVE if self.looks >= look else Verb.NONE

            @verb.setter
            def verb(self, _value):
                pass

        return Leaving()

    return make


def test_what_its_trainer_does_not_heed_is_refused_by_name(tmp_path):
    alone = trained(heeding_rates_alone, tmp_path, changes=(RequestedChange(number=1, lr=0.5, patience=3),))
    assert set(alone.told[0].refused) == {"patience"}
    asked = (RequestedChange(number=1, lr=0.5), RequestedChange(number=2, report_every=1))
    told = trained(deaf, tmp_path, changes=asked).told
    assert set(told[0].refused) == {"lr"}
    assert told[1].step is not None


def rates_of(made):
    import torch

    return torch.load(made.folder / "model.pt", weights_only=True)["rates"]


def test_a_rate_that_is_requested_after_a_lost_loss_is_no_fraction_of_itself(new_job):
    fields = {"model": MLP, "lr": 100.0, "optimizer": "sgd", "epochs": 12, "batch_size": 16, "report_every": 1}
    fields |= {"synthetic": {"rows": 200, "columns": 3}, "schedule": "constant", "patience": None, "seed": 3}
    change = RequestedChange(number=1, lr=0.001)
    for look in range(2, 400):
        job = new_job(**fields)
        job.attempt(asks={look: change})
        told = [event for event in job.events if isinstance(event, ControlRequested | Log)]
        gone_back = [
            event for event in told[: told.index(job.reported(ControlRequested)[0])] if isinstance(event, Log)
        ]
        if gone_back:
            break
    taken = job.events.index(job.reported(ControlRequested)[0])
    rates = [event.lr for event in job.events[taken:] if isinstance(event, Progress)]
    assert rates
    assert set(rates) == {0.001}
    assert job.events[-1].status is Status.COMPLETED
    assert job.checkpoint()["state"]["fit"]["lr_scale"] == 1.0
