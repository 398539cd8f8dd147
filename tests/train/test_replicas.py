"""Replicas: an update of a batch in parts, against an independent computation."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.nn.functional import cross_entropy

from resnet_lab.errors import DivergedError
from resnet_lab.models.resnet import build
from resnet_lab.record.lines import TrainRecord
from resnet_lab.run.compute import initial_state
from resnet_lab.train.loop import update
from resnet_lab.train.replicas import Replicas
from tests.builders import copied_state, random_batch, same_tensors, tiny, train_in_memory, train_on

CPU = torch.device("cpu")


def expected_update(config, net, batch, num_parts):
    """Losses, wrong predictions, gradients and buffers, from a forward pass of each part through a copy of the network."""
    losses, wrong, gradients, buffers = [], 0, [], None
    for images, labels in zip(*(tensor.split(len(tensor) // num_parts) for tensor in batch), strict=True):
        copy = build(config.model, config.seed)
        copy.load_state_dict(net.state_dict())
        logits = copy.train()(images)
        losses.append(cross_entropy(logits, labels))
        wrong += (logits.argmax(1) != labels).sum()
        gradients.append(torch.autograd.grad(losses[-1], list(copy.parameters())))
        buffers = buffers or [buffer.clone() for buffer in copy.buffers()]
    means = []
    for parts in zip(*gradients, strict=True):
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        means.append(total / num_parts)
    return sum(losses[1:], losses[0]) / num_parts, wrong, means, buffers


@pytest.mark.parametrize("num_parts", [2, 4])
@pytest.mark.parametrize("compute", [{}, {"recompute_blocks": True}])
def test_the_gradient_is_the_mean_of_the_parts_each_with_bn_statistics_of_its_own(num_parts, compute):
    config = tiny(compute={"compile": False, "replicas": num_parts, **compute})
    state = initial_state(config, CPU)
    state.net.train()
    for step in range(3):
        batch = random_batch(seed=step)
        loss, wrong, gradients, buffers = expected_update(config, state.net, batch, num_parts)
        measured_loss, measured_wrong, num_images = update(state, batch, 0.05, "fp32")
        assert (measured_loss, measured_wrong, num_images) == (loss, wrong, 16)
        for parameter, gradient in zip(state.net.parameters(), gradients, strict=True):
            assert torch.equal(parameter.grad, gradient)
        for buffer, value in zip(state.net.buffers(), buffers, strict=True):
            assert torch.equal(buffer, value)
    assert state.net.stem.norm.num_batches_tracked == 3


def test_synchronised_statistics_in_one_process_are_those_of_one_replica():
    whole, records = train_in_memory(tiny())
    synchronised, same = train_in_memory(tiny(compute__replicas=2, compute__bn="sync"))
    assert same_tensors(whole.net.state_dict(), synchronised.net.state_dict())
    assert [record.loss for record in records] == [record.loss for record in same]
    in_parts, _ = train_in_memory(tiny(compute__replicas=2))
    assert not same_tensors(whole.net.state_dict(), in_parts.net.state_dict())


@pytest.mark.parametrize("broken", [0, 15])
def test_a_loss_that_is_not_finite_in_any_part_prevents_the_update(broken):
    config = tiny(compute__replicas=2)
    state = initial_state(config, CPU)
    before = [parameter.clone() for parameter in state.net.parameters()]
    images, labels = random_batch()
    images[broken] = torch.nan
    with pytest.raises(DivergedError):
        train_on(lambda step: (images, labels), config, state)
    assert all(torch.equal(*pair) for pair in zip(before, state.net.parameters(), strict=True))


def test_a_record_averages_over_all_parts_and_the_epochs_short_last_batch():
    config = tiny(recipe__batch_size=32, data__train_images=90, compute__replicas=2, log__every=1, recipe__steps=3)
    records = train_in_memory(config)[1]  # 70 images: batches of 32, 32 and 6
    assert all(isinstance(record, TrainRecord) for record in records)
    assert [record.images for record in records] == [32, 32, 6]
    assert all(record.error * record.images == pytest.approx(round(record.error * record.images)) for record in records)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_processes_share_the_parts_in_turn(size):
    rows = torch.arange(16)
    shares = [Replicas(4, rank, size) for rank in range(size)]
    parts = [[part.tolist() for part in share.own_parts(share.own(rows))] for share in shares]
    in_turn = [parts[replica % size][replica // size] for replica in range(4)]
    assert list(itertools.chain(*in_turn)) == list(range(16))


def test_two_processes_with_every_second_part_get_the_update_of_one():
    """The processes are threads here, which exchange their rows as processes do."""
    config, batch = tiny(compute__replicas=4), random_batch()
    alone = initial_state(config, CPU)
    update(alone, batch, 0.05, "fp32")
    rows: list[torch.Tensor] = [torch.empty(0)] * 2
    barrier = threading.Barrier(2, timeout=30)

    def updated(rank):
        def gather(row):
            rows[rank] = row
            barrier.wait()
            both = torch.stack(rows)
            barrier.wait()
            return both

        torch.set_num_threads(1)
        state = initial_state(config, CPU)
        state.replicas = Replicas(4, rank, 2, gather)
        update(state, tuple(map(state.replicas.own, batch)), 0.05, "fp32")
        return state

    with ThreadPoolExecutor(2) as pool:
        for state in pool.map(updated, range(2)):
            assert same_tensors(copied_state(alone.net), copied_state(state.net))
