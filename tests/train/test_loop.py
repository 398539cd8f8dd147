"""The training loop: what a record averages, the update, divergence, and golden losses."""

import math

import pytest
import torch

from resnet_lab.data.batches import Batches
from resnet_lab.data.load import load
from resnet_lab.errors import DivergedError
from resnet_lab.models.resnet import build
from resnet_lab.record.lines import TrainRecord
from resnet_lab.run.compute import initial_state
from resnet_lab.train.loop import train
from resnet_lab.train.state import new_state
from tests.builders import copied_state, tiny, train_in_memory, train_on


def records_in_fp64(config):
    """Train in fp64, in which CPUs of different instruction sets agree in all digits that a record keeps."""
    data = load(config.data, None, config.seed)  # type: ignore[arg-type]
    batches = Batches(data.train, data.mean, config.recipe.batch_size, config.seed)
    state = new_state(build(config.model, config.seed).double(), config.recipe, config.model.depth)

    def batch_at(step):
        images, labels = batches(step)
        return images.double(), labels

    return train_on(batch_at, config, state)


def test_a_record_averages_exactly_the_images_since_the_last_one():
    by_five, by_one = (train_in_memory(tiny(log__every=every))[1] for every in (5, 1))
    assert [record.step for record in by_five] == [5, 10, 15, 20, 25, 30]
    assert [record.images for record in by_one[:6]] == [16, 16, 16, 16, 16, 16]
    for index, record in enumerate(by_five):
        parts = by_one[5 * index : 5 * index + 5]
        assert record.images == sum(part.images for part in parts) == 80
        assert record.error == pytest.approx(sum(part.error * part.images for part in parts) / record.images)
        assert record.loss == pytest.approx(sum(part.loss * part.images for part in parts) / record.images, rel=1e-6)


def test_the_last_step_is_recorded_and_a_smaller_batch_counts_its_images():
    config = tiny(recipe__steps=7, recipe__batch_size=32, data__train_images=90, data__validation_images=20)
    records = train_in_memory(config)[1]  # 70 images: batches of 32, 32 and 6
    assert [(record.step, record.images) for record in records] == [(5, 32 + 32 + 6 + 32 + 32), (7, 6 + 32)]


def test_training_for_zero_steps_changes_nothing():
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


def test_training_uses_the_warmup_lr_until_the_error_is_low_enough():
    warmup = {"from_depth": 8, "lr": 0.001, "until_error": 0.999, "window": 10}
    records = train_in_memory(tiny(recipe__warmup=warmup, recipe__schedule={"name": "milestones"}))[1]
    assert [record.lr for record in records] == [0.001, 0.001, 0.05, 0.05, 0.05, 0.05]
    kept = train_in_memory(tiny(recipe__warmup=warmup | {"until_error": 0.0001}, recipe__schedule={"name": "milestones"}))[1]
    assert {record.lr for record in kept} == {0.001}


def test_a_loss_that_is_not_finite_stops_training_before_the_update():
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


def test_a_gradient_that_is_not_finite_stops_training_before_the_update():
    config = tiny()
    state = new_state(build(config.model, 0), config.recipe, 8)
    state.net.stem.conv.weight.register_hook(lambda gradient: gradient * math.inf)
    before = copied_state(state.net)
    batch = torch.randn(16, 3, 32, 32), torch.zeros(16, dtype=torch.int64)
    with pytest.raises(DivergedError, match="loss or its gradient became NaN or infinite at step 1"):
        list(train(state, lambda step: batch, config.recipe, log_every=100, validate=lambda: (0.5, 1.0)))
    assert all(torch.equal(before[name], value) for name, value in state.net.named_parameters())


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
def test_the_deepest_networks_take_a_step_at_the_warmup_lr(depth, kind):
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


class Interrupted(Exception):
    """A plateau check was stopped."""


def test_an_interrupted_plateau_check_is_repeated_alone():
    config = tiny()
    whole, expected = train_in_memory(config)
    data = load(config.data, None, config.seed)
    batches = Batches(data.train, data.mean, config.recipe.batch_size, config.seed)

    def interrupted():
        raise Interrupted

    first = initial_state(config, torch.device("cpu"))
    with pytest.raises(Interrupted):
        list(train(first, batches, config.recipe, log_every=config.log.every, validate=interrupted))
    assert (first.step, first.reported_step) == (4, 3)  # the update of step 4 is made, its check is not
    resumed = initial_state(config, torch.device("cpu"))
    resumed.load_state_dict(first.state_dict())
    _, records = train_on(batches, config, resumed)
    assert [(record.step, record.loss) for record in records] == [(record.step, record.loss) for record in expected]
    assert all(torch.equal(*pair) for pair in zip(resumed.net.parameters(), whole.net.parameters(), strict=True))
