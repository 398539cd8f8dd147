"""The loop: the schedule's every edge, what a record averages, divergence, golden losses."""

import math

import pytest
import torch

from resnet_lab.config.schema import Milestones, ModelConfig, Plateau, RecipeConfig, Warmup
from resnet_lab.data.batches import Batches
from resnet_lab.data.images import normalise
from resnet_lab.data.load import load
from resnet_lab.errors import DivergedError
from resnet_lab.models.resnet import build
from resnet_lab.record.lines import TrainRecord
from resnet_lab.run.compute import initial_state
from resnet_lab.train.evaluate import evaluate
from resnet_lab.train.loop import train
from resnet_lab.train.schedule import after_check, after_warmup_window, lr_at, start
from resnet_lab.train.state import Window, new_state
from tests.builders import tiny, train_in_memory, train_on

PAPER = RecipeConfig(schedule=Milestones(name="milestones", milestones=(32_000, 48_000)))


@pytest.mark.parametrize(
    ("step", "lr"), [(0, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001), (63_999, 0.001)]
)
def test_the_papers_lr_at_every_edge(step, lr):
    assert lr_at(PAPER, start(PAPER, depth=56), step) == pytest.approx(lr, rel=1e-12)


def test_plateau_divides_after_patience_checks_without_a_new_best_and_twice_at_most():
    plateau = Plateau(every=100, patience=2, max_drops=2)
    recipe = RecipeConfig(schedule=plateau)
    state, lrs = start(recipe, depth=20), []
    for error in [0.5, 0.4, 0.4, 0.41, 0.39, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]:
        state = after_check(plateau, state, error)
        lrs.append(lr_at(recipe, state, 0))
    assert lrs == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001, 0.001, 0.001, 0.001])


def test_after_a_drop_patience_begins_anew():
    plateau = Plateau(every=100, patience=3, max_drops=2)
    recipe = RecipeConfig(schedule=plateau)
    state, lrs = start(recipe, depth=56), []
    for error in [0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]:
        state = after_check(plateau, state, error)
        lrs.append(lr_at(recipe, state, 0))
    assert lrs == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001])


def test_an_open_window_of_the_low_lr_start_is_restored():
    config = tiny()
    states = [initial_state(config, torch.device("cpu")) for _ in range(2)]
    states[0].warmup.add(torch.tensor(2.0), torch.tensor(3), 16)
    states[0].log.add(torch.tensor(1.0), torch.tensor(1), 4)
    states[1].load_state_dict(states[0].state_dict())
    for window in ("warmup", "log"):
        assert getattr(states[1], window).read() == getattr(states[0], window).read()


def test_a_checkpoint_of_an_older_version_has_reported_all_of_its_steps():
    state = initial_state(tiny(), torch.device("cpu"))
    saved = state.state_dict() | {"step": 7}
    del saved["reported_step"]
    state.load_state_dict(saved)
    assert (state.step, state.reported_step) == (7, 7)


def test_the_low_lr_start_ends_on_the_measured_error_and_returns_to_the_recipes_lr():
    state = start(PAPER, depth=110)
    assert lr_at(PAPER, state, 0) == 0.01
    state = after_warmup_window(PAPER, state, 0.85)
    assert lr_at(PAPER, state, 10_000) == 0.01
    state = after_warmup_window(PAPER, state, 0.79)
    assert lr_at(PAPER, state, 400) == 0.1
    assert lr_at(PAPER, state, 32_000) == pytest.approx(0.01)
    assert lr_at(PAPER, after_warmup_window(PAPER, state, 0.9), 400) == 0.1  # it does not begin again
    assert not start(PAPER, depth=56).warming_up


def test_checks_during_the_low_lr_start_do_not_divide_the_lr():
    plateau = Plateau(every=1, patience=1)
    recipe = RecipeConfig(schedule=plateau)
    state = start(recipe, depth=110)
    for _ in range(5):
        state = after_check(plateau, state, 0.9)
    assert state.drops == 0


def test_a_short_batch_weighs_as_many_images_as_it_has():
    window = Window(torch.device("cpu"))
    window.add(torch.tensor(1.0), torch.tensor(16), 16)
    window.add(torch.tensor(6.0), torch.tensor(1), 4)
    assert window.read() == (17 / 20, pytest.approx((16 * 1 + 4 * 6) / 20))


def records_in_fp64(config):
    """The same in fp64, where CPUs of different instruction sets agree in all digits that a record keeps."""
    data = load(config.data, None, config.seed)  # type: ignore[arg-type]
    batches = Batches(data.train, data.mean, config.recipe.batch_size, config.seed)
    state = new_state(build(config.model, config.seed).double(), config.recipe, config.model.depth)

    def batch_at(step):
        images, labels = batches(step)
        return images.double(), labels

    return train_on(batch_at, config, state)


def test_records_average_over_exactly_the_images_since_the_last_one():
    by_five, by_one = (train_in_memory(tiny(log__every=every))[1] for every in (5, 1))
    assert [record.step for record in by_five] == [5, 10, 15, 20, 25, 30]
    assert [record.images for record in by_one[:6]] == [16, 16, 16, 16, 16, 16]
    for index, record in enumerate(by_five):
        parts = by_one[5 * index : 5 * index + 5]
        assert record.images == sum(part.images for part in parts) == 80
        assert record.error == pytest.approx(sum(part.error * part.images for part in parts) / record.images)
        assert record.loss == pytest.approx(sum(part.loss * part.images for part in parts) / record.images, rel=1e-6)


def test_the_last_step_is_recorded_and_a_short_last_batch_counts_its_images():
    config = tiny(recipe__steps=7, recipe__batch_size=32, data__train_images=90, data__validation_images=20)
    records = train_in_memory(config)[1]  # 70 images: batches of 32, 32 and 6
    assert [(record.step, record.images) for record in records] == [(5, 32 + 32 + 6 + 32 + 32), (7, 6 + 32)]


def test_zero_steps_change_nothing():
    config = tiny(recipe__steps=0)
    state, records = train_in_memory(config)
    assert records == []
    fresh = build(config.model, config.seed).state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in state.net.state_dict().items())


def test_the_update_is_sgd_with_momentum_and_weight_decay_on_all_parameters():
    config = tiny(recipe__steps=3, recipe__schedule={"name": "milestones"})
    state, _ = records_in_fp64(config)
    data = load(config.data, None, 0)  # type: ignore[arg-type]
    batches = Batches(data.train, data.mean, 16, 0)
    net = build(config.model, 0).double()
    velocity = [torch.zeros_like(parameter) for parameter in net.parameters()]
    for step in range(3):
        images, labels = batches(step)
        loss = torch.nn.functional.cross_entropy(net(images.double()), labels)
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        with torch.no_grad():
            for parameter, gradient, v in zip(net.parameters(), gradients, velocity, strict=True):
                v.mul_(0.9).add_(gradient + 1e-4 * parameter)
                parameter.sub_(0.05 * v)
    for ours, expected in zip(state.net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)


def test_the_low_lr_start_is_used_by_the_loop():
    warmup = {"from_depth": 8, "lr": 0.001, "until_error": 0.999, "window": 10}
    records = train_in_memory(tiny(recipe__warmup=warmup, recipe__schedule={"name": "milestones"}))[1]
    assert [record.lr for record in records] == [0.001, 0.001, 0.05, 0.05, 0.05, 0.05]
    never = train_in_memory(tiny(recipe__warmup=warmup | {"until_error": 0.0001}, recipe__schedule={"name": "milestones"}))[1]
    assert {record.lr for record in never} == {0.001}


def test_a_loss_that_is_not_finite_stops_before_the_update():
    config = tiny()
    state = new_state(build(config.model, 0), config.recipe, 8)
    good = torch.randn(16, 3, 32, 32), torch.zeros(16, dtype=torch.int64)
    bad = torch.full((16, 3, 32, 32), math.nan), torch.zeros(16, dtype=torch.int64)
    weights = []

    def batch_at(step):
        weights.append([parameter.detach().clone() for parameter in state.net.parameters()])
        return bad if step == 3 else good

    with pytest.raises(DivergedError, match="NaN or infinite at step 4"):
        list(train(state, batch_at, config.recipe, log_every=100, validate=lambda: (0.5, 1.0)))
    assert all(torch.equal(a, b) for a, b in zip(weights[3], state.net.parameters(), strict=True))
    assert all(not torch.equal(a, b) for a, b in zip(weights[2], weights[3], strict=True))


def test_evaluation_counts_every_image_once_and_changes_nothing():
    config = ModelConfig(kind="plain", depth=8, width=4)
    net = build(config, 0)
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    images = torch.randn(10, 3, 32, 32)
    labels = torch.randint(0, 10, (10,))
    batches = [(images[:8], labels[:8]), (images[8:], labels[8:])]
    error, loss = evaluate(net, batches)
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    net.eval()
    with torch.no_grad():
        logits = net(images)
    assert error == (logits.argmax(1) != labels).double().mean().item()
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)


def test_bf16_is_used_where_asked_for():
    net = build(ModelConfig(kind="plain", depth=8, width=4), 0)
    batch = [
        (normalise(torch.randint(0, 256, (32, 3, 32, 32), dtype=torch.uint8), torch.zeros(3, 32, 32)), torch.zeros(32).long())
    ]
    exact, short = evaluate(net, batch)[1], evaluate(net, batch, "bf16")[1]
    assert exact != short
    assert short == pytest.approx(exact, rel=0.05)


def test_warmup_settings_reach_the_schedule():
    recipe = RecipeConfig(schedule=Milestones(name="milestones"), warmup=Warmup(from_depth=20, lr=0.003))
    assert lr_at(recipe, start(recipe, 20), 0) == 0.003
    assert lr_at(recipe, start(recipe, 14), 0) == 0.1


# Losses of the first 20 steps in fp64. Initial values and images are drawn in fp32: equal under AVX2 and AVX-512, while other
# processors draw them with another last bit. A change that moves a number changes the arithmetic: CHANGELOG, "Numbers changed".
GOLDEN = {
    "plain": [
        2.3501017,
        2.4054639,
        2.2738612,
        2.2521043,
        2.3228352,
        2.2537098,
        2.2173722,
        2.2976305,
        2.2336836,
        2.3504303,
        2.2915471,
        2.2598078,
        2.1694415,
        2.2217879,
        2.1350524,
        2.2073743,
        2.1637511,
        2.2487774,
        2.2247713,
        2.1915703,
    ],
    "residual": [
        2.5537267,
        2.5848548,
        2.2911978,
        2.3650801,
        2.1611977,
        2.3927748,
        2.0571003,
        2.2980161,
        2.2961242,
        2.3632684,
        2.4239423,
        2.1971049,
        2.2449210,
        2.3168387,
        2.1713781,
        2.1106160,
        2.2884026,
        2.5024257,
        2.0112271,
        2.4238052,
    ],
}


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"), reason="recorded on x86-64 with AVX2 and with AVX-512"
)
@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_golden_losses_of_20_steps(kind):
    config = tiny(
        model={"kind": kind, "depth": 14, "width": 8}, log__every=1, recipe__steps=20, recipe__schedule={"name": "milestones"}
    )
    losses = [record.loss for record in records_in_fp64(config)[1]]
    assert losses == pytest.approx(GOLDEN[kind], rel=1e-6)


@pytest.mark.parametrize(("kind", "depth"), [("plain", 110), ("residual", 110), ("residual", 1202)])
def test_the_deepest_networks_start_low_and_take_a_step(depth, kind):
    config = tiny(model={"kind": kind, "depth": depth}, recipe={"steps": 1, "batch_size": 2}, log__every=1)
    state = initial_state(config, torch.device("cpu"))
    before = {name: value.clone() for name, value in state.net.state_dict().items()}
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    [(record,)] = train(
        state, lambda step: (images, torch.tensor([3, 5])), config.recipe, log_every=1, validate=lambda: (1.0, 1.0)
    )
    assert isinstance(record, TrainRecord)
    assert (record.step, record.lr) == (1, 0.01)
    assert math.isfinite(record.loss)
    after = state.net.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert not any(torch.equal(before[name], after[name]) for name in before if name.endswith("conv.weight"))
