"""The replayed step against the eager one: the same bits, for every kind of network, optimizer and batch."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from traind.trainer.contract.spec import AutoModel, LinearModel, MlpModel, Model, TabmModel, TrainSpec
from traind.trainer.network import objective
from traind.trainer.network.network import build
from traind.trainer.network.recipe import choose, facts_of
from traind.trainer.step.eager import EagerStep, TrainingRows
from traind.trainer.step.flat_optimizer import Optimizer, Tuning
from traind.trainer.step.replay.replay import CHECKS, EAGER_STEPS, EAGER_STEPS_LARGE, EAGER_STEPS_SHORT, ReplayStep
from traind.trainer.tabular.schedules import Schedule

ROWS, BATCH = 200, 24  # nine batches an epoch, the last of eight rows
BATCHES = -(-ROWS // BATCH)
EPOCHS = EAGER_STEPS_SHORT + CHECKS + 6  # the short batch, once an epoch, is replayed too
CARDINALITIES = (3, 12, 40)
ADAMW = Optimizer("adamw", lr=3e-3, weight_decay=0.01, averaging=0.95)


class Numbers(nn.Module):
    """A body for the numeric columns alone."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, numeric: Tensor, _categorical: Tensor) -> Tensor:
        return self.body(numeric)


class Attention(Numbers):
    """Columns as tokens of a transformer."""

    def __init__(self) -> None:
        super().__init__(
            nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True), nn.Flatten(), nn.Linear(40, 1)
        )

    def forward(self, numeric: Tensor, _categorical: Tensor) -> Tensor:
        return self.body(numeric.unsqueeze(2).expand(-1, -1, 8))


class Recurrent(Numbers):
    """Columns as a sequence: shares its weights and changes the geometry of tensors in place."""

    def __init__(self) -> None:
        super().__init__(nn.GRU(1, 6, batch_first=True))
        self.head = nn.Linear(6, 1)

    def forward(self, numeric: Tensor, _categorical: Tensor) -> Tensor:
        return self.head(self.body(numeric.unsqueeze(2))[0][:, -1])


class Branching(Numbers):
    """Looks at the numbers to decide what to do with them."""

    def forward(self, numeric: Tensor, _categorical: Tensor) -> Tensor:
        return self.body(numeric if numeric.sum() > 0 else -numeric)


class Counting(Numbers):
    """Keeps a count in Python that the result depends on."""

    calls = 0

    def forward(self, numeric: Tensor, _categorical: Tensor) -> Tensor:
        self.calls += 1
        return self.body(numeric) * (1 + self.calls % 5)


class Remembering(Numbers):
    """Keeps a tensor of the step before that the result depends on."""

    last: Tensor | None = None

    def forward(self, numeric: Tensor, _categorical: Tensor) -> Tensor:
        out = self.body(numeric)
        shift = 0.0 if self.last is None else self.last.mean()
        self.last = out.detach()
        return out + shift


MODULES: dict[str, Callable[[], nn.Module]] = {
    "batch norm": lambda: Numbers(nn.Linear(5, 19), nn.BatchNorm1d(19), nn.ReLU(inplace=True), nn.Linear(19, 1)),
    "layer norm": lambda: Numbers(nn.Linear(5, 19), nn.LayerNorm(19), nn.GELU(), nn.Dropout(0.3), nn.Linear(19, 1)),
    "group norm": lambda: Numbers(nn.Linear(5, 12), nn.GroupNorm(3, 12), nn.SiLU(), nn.Linear(12, 1)),
    "random": lambda: Numbers(nn.Linear(5, 9), nn.Dropout(0.2), nn.ELU(), nn.AlphaDropout(0.2), nn.Linear(9, 1)),
    "convolution": lambda: Numbers(
        nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 4, 3), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(4, 1)
    ),
    "frozen": lambda: Numbers(nn.Linear(5, 8).requires_grad_(requires_grad=False), nn.PReLU(), nn.Linear(8, 1)),
    "attention": Attention,
    "recurrent": Recurrent,
}
UNREPEATABLE: dict[str, Callable[[], nn.Module]] = {
    "noisy in secret": lambda: Numbers(nn.Linear(5, 3), nn.RReLU(), nn.Linear(3, 1)),
    "branching": lambda: Branching(nn.Linear(5, 1)),
    "counting": lambda: Counting(nn.Linear(5, 1)),
    "remembering": lambda: Remembering(nn.Linear(5, 1)),
}
ARCHITECTURES: dict[str, Model] = {
    "bare": MlpModel(hidden=(16, 16), embedding="none", dropout=0.0),
    "linear": LinearModel(),
    "auto": AutoModel(),
    "periodic": MlpModel(hidden=(16,), embedding="periodic", dropout=0.2),
    "tabm": TabmModel(hidden=(16, 16), k=4),
}
OPTIMIZERS = {
    "adam": Optimizer("adam", lr=3e-3),
    "clipped": Optimizer("adam", lr=3e-3, grad_clip=0.05, averaging=0.9),
    "sgd": Optimizer("sgd", lr=0.02, momentum=0.0, weight_decay=0.01),
    "momentum": Optimizer("sgd", lr=0.01, averaging=0.9, grad_clip=1.0),
    "tuned": Optimizer("adamw", lr=3e-3, weight_decay=0.1, tuning={"body.0.bias": Tuning(2.0, 0.0)}),
}


AT_ONCE = 7


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Rows:
    """A small table of all kinds of columns."""

    def __init__(self, task: str) -> None:
        rng = np.random.default_rng(0)
        self.numeric = rng.normal(size=(ROWS, 5)).astype(np.float32)
        self.categorical = np.stack([rng.integers(0, count, ROWS) for count in CARDINALITIES], axis=1)
        values = np.sin(self.numeric.sum(axis=1)) + self.categorical[:, 1] / 12
        classes = {"binary": 2, "multiclass": 4}.get(task, 0)
        self.target = np.digitize(values, np.quantile(values, np.arange(1, classes) / classes)) if classes else values


def tabular(
    model: Model, task: str = "regression"
) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor], list[Tensor]]:
    rows = Rows(task)
    recipe = choose(TrainSpec(model=model), facts_of(task, 4, CARDINALITIES, rows))
    recipe = msgspec.structs.replace(recipe, label_smoothing=0.1)
    tensors = [torch.from_numpy(rows.numeric), torch.from_numpy(rows.categorical)]
    network = build(recipe, CARDINALITIES, rows, seed=0)
    return network, objective.loss_function(recipe), [*tensors, objective.training_target(recipe, rows.target)]


def numeric(make: Callable[[], nn.Module]) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor], list[Tensor]]:
    torch.manual_seed(1)
    network, rows = make(), Rows("regression")
    tensors = [torch.from_numpy(array) for array in (rows.numeric, rows.categorical, rows.target.astype(np.float32))]
    return network, lambda output, target: nn.functional.mse_loss(output.squeeze(1), target), tensors


def both(make: Callable[[], tuple], optimizer: Optimizer = ADAMW) -> tuple[EagerStep, ReplayStep]:
    eager, replay = (kind(*make(), optimizer, batch_size=BATCH, seed=7) for kind in (EagerStep, ReplayStep))
    return eager, replay


def train(step: EagerStep, first: int = 0, last: int = EPOCHS * BATCHES, schedule: Schedule | None = None) -> None:
    """Take steps one by one; where they are replayed, several at once."""
    number = first
    while number < last:
        epoch, batch = divmod(number, BATCHES)
        if batch == 0 or number == first:
            step.begin_epoch(torch.randperm(ROWS, generator=torch.Generator().manual_seed(epoch)))
        if isinstance(step, ReplayStep):
            count = min(AT_ONCE, last - number, BATCHES - batch)
            lrs = [schedule.at(one) for one in range(number, number + count)] if schedule else []
            number += len([*step.steps(batch, count, lrs)])
            continue
        if schedule is not None:
            step.set_lr(schedule.at(number))
        step.run(batch)
        number += 1


def assert_same(eager: EagerStep, replay: ReplayStep) -> None:
    assert replay.loss_total() == eager.loss_total()
    left, right = eager.state(), replay.state()
    del left["kind"], right["kind"]
    flat_left, flat_right = leaves(left), leaves(right)
    assert flat_left.keys() == flat_right.keys()
    for name, value in flat_left.items():
        same = torch.equal(value, flat_right[name]) if isinstance(value, Tensor) else value == flat_right[name]
        assert same, name


def leaves(value: object, name: str = "") -> dict[str, object]:
    """Return the leaves of nested dicts and lists by their path."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {path: leaf for key, part in pairs for path, leaf in leaves(part, f"{name}/{key}").items()}
    return {name: value}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_replay_equals_eager_for_every_architecture(name: str) -> None:
    eager, replay = both(lambda: tabular(ARCHITECTURES[name]))
    for step in (eager, replay):
        train(step)
    assert replay.plans.keys() == {BATCH, ROWS % BATCH}
    assert_same(eager, replay)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("model", ["auto", "tabm"])
def test_replay_equals_eager_for_every_task(model: str, task: str) -> None:
    eager, replay = both(lambda: tabular(ARCHITECTURES[model], task))
    for step in (eager, replay):
        train(step, last=12 * BATCHES)
    assert BATCH in replay.plans
    assert_same(eager, replay)


@pytest.mark.parametrize("name", MODULES)
def test_replay_equals_eager_for_any_module(name: str) -> None:
    eager, replay = both(lambda: numeric(MODULES[name]))
    for step in (eager, replay):
        train(step)
    assert replay.plans.keys() == {BATCH, ROWS % BATCH}
    assert_same(eager, replay)


@pytest.mark.parametrize("name", UNREPEATABLE)
def test_what_cannot_be_repeated_stays_eager(name: str) -> None:
    eager, replay = both(lambda: numeric(UNREPEATABLE[name]))
    for step in (eager, replay):
        train(step)
    assert not replay.plans
    assert replay.refusals.keys() == {BATCH, ROWS % BATCH}
    assert_same(eager, replay)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_replay_equals_eager_for_every_optimizer_and_schedule(name: str, schedule: str) -> None:
    optimizer = OPTIMIZERS[name]
    steps = both(lambda: tabular(ARCHITECTURES["bare"]), optimizer)
    for step in steps:
        train(step, last=12 * BATCHES, schedule=Schedule(schedule, optimizer.lr, 12 * BATCHES, warmup_steps=9))
    assert BATCH in steps[1].plans
    assert_same(*steps)


def test_replay_draws_from_eagers_random_stream() -> None:
    eager, replay = both(lambda: numeric(MODULES["random"]))
    for step in (eager, replay):
        train(step, last=50)
    assert replay.plans[BATCH].is_random
    torch.manual_seed(99)
    expected = torch.rand(3)
    torch.manual_seed(99)
    train(replay, 50, 52)
    assert torch.equal(torch.rand(3), expected)
    train(eager, 50, 52)
    assert_same(eager, replay)


@pytest.mark.parametrize("at", [3, EAGER_STEPS + CHECKS, 40])
def test_resuming_need_not_know_which_steps_were_replayed(at: int) -> None:
    whole, before = both(lambda: tabular(ARCHITECTURES["periodic"]))
    after = both(lambda: tabular(ARCHITECTURES["periodic"]))[1]
    train(whole, last=70)
    train(before, last=at)
    after.restore(before.state())
    train(after, at, 70)
    assert BATCH in after.plans
    assert_same(whole, after)


def test_replay_goes_on_after_evaluation_and_restored_weights() -> None:
    eager, replay = both(lambda: tabular(AutoModel()))
    for step in (eager, replay):
        train(step, last=60)
        kept = step.state()
        train(step, 60, 80)
        with step.evaluation() as network:
            network(*step.batches.tensors[:2])
        step.restore(kept)
        train(step, 60, 90)
    assert_same(eager, replay)


def test_a_plan_checks_the_last_bit() -> None:
    _, replay = both(lambda: numeric(MODULES["batch norm"]))
    for number in range(EAGER_STEPS + 1):
        train(replay, number % 8, number % 8 + 1)
    (plan,) = replay._candidates.values()
    assert not replay.plans
    weights = replay.groups[0].values
    batch = replay.batches.at(3)
    before = replay._surroundings()
    loss, gradients = replay.differentiate(batch)
    expected = [loss, *gradients, *replay._surroundings()]
    replay._restore_surroundings(before)
    assert replay._reproduces(plan, batch, expected)
    replay._restore_surroundings(before)
    weights[0] = torch.nextafter(weights[0], torch.tensor(9.0))
    assert not replay._reproduces(plan, batch, expected)


def test_large_products_have_the_same_bits() -> None:
    rows = torch.randn(256, 5), torch.randn(256, 1)
    steps = []
    for kind in (EagerStep, ReplayStep):
        torch.manual_seed(1)
        layers = nn.Linear(5, 164), nn.ReLU(), nn.Linear(164, 193), nn.ReLU(), nn.Linear(193, 200), nn.ReLU()
        model = nn.Sequential(*layers, nn.Linear(200, 1))
        steps.append(kind(model, nn.functional.mse_loss, rows, ADAMW, batch_size=256))
        steps[-1].begin_epoch(torch.arange(256))
        for _ in range(EAGER_STEPS_LARGE + CHECKS + 3):
            steps[-1].run(0)
    assert_same(*steps)


def test_memory_is_used_again() -> None:
    deep = [layer for _ in range(6) for layer in (nn.Linear(5, 5), nn.ReLU())]
    _, replay = both(lambda: numeric(lambda: Numbers(*deep, nn.Linear(5, 1))))
    train(replay, last=60)
    activation = BATCH * 5 * 4
    assert replay.plans[BATCH].own_bytes < (6 + 3) * activation  # backward needs each layer's once, and little else


def test_a_few_rows_are_added_up_by_a_product() -> None:
    steps = []
    for kind in (EagerStep, ReplayStep):
        made = numeric(lambda: Numbers(nn.Linear(5, 32), nn.ReLU(), nn.Linear(32, 1)))
        steps.append(kind(*made, ADAMW, batch_size=16))
        steps[-1].begin_epoch(torch.arange(ROWS))
        for number in range(40):
            steps[-1].run(number % (ROWS // 16))
    assert steps[1].plans[16].source.count("[0], True") == 1  # of the last layer, where there is but one column
    assert_same(*steps)


def test_what_is_prepared_once_is_what_each_batch_would_prepare() -> None:
    prepared = ReplayStep(*tabular(AutoModel()), ADAMW, batch_size=BATCH, seed=7)
    model, loss, tensors = tabular(AutoModel())
    as_a_large_table = TrainingRows(tuple(tensors), None)
    plain = EagerStep(model, loss, as_a_large_table, ADAMW, batch_size=BATCH, seed=7)
    for step in (prepared, plain):
        train(step)
    assert len(prepared.batches.tensors) > len(plain.batches.tensors)
    assert prepared.plans.keys() == {BATCH, ROWS % BATCH}
    assert prepared.loss_total() == plain.loss_total()
    assert torch.equal(prepared.groups[0].numbers, plain.groups[0].numbers)


def test_gradients_of_inputs_are_not_computed() -> None:
    class Beside(Numbers):
        def __init__(self) -> None:
            super().__init__(nn.Linear(7 + 5, 9), nn.ReLU(), nn.Linear(9, 1))
            self.learned = nn.Linear(5, 7)

        def forward(self, numeric: Tensor, _categorical: Tensor) -> Tensor:
            return self.body(torch.cat([self.learned(numeric), numeric], dim=1))

    eager, replay = both(lambda: numeric(Beside))
    for step in (eager, replay):
        train(step)
    made = [value for value in replay.plans[BATCH].run.__globals__.values() if isinstance(value, Tensor)]
    assert any(value.shape == (BATCH, 7) and value.stride() == (12, 1) for value in made)
    assert_same(eager, replay)
