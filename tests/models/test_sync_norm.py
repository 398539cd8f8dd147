"""Batch normalisation over the images of two processes, which are threads here, against one that has all images."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from resnet_lab.config.model import ModelConfig
from resnet_lab.models.resnet import build
from resnet_lab.models.sync_norm import synchronise


class Exchange:
    """Rows that two threads exchange."""

    def __init__(self) -> None:
        self._rows = [torch.empty(0)] * 2
        self._barrier = threading.Barrier(2, timeout=30)

    def gather_of(self, rank):
        def gather(row):
            self._rows[rank] = row
            self._barrier.wait()
            both = torch.stack(self._rows)
            self._barrier.wait()
            return both

        return gather


@pytest.mark.parametrize(
    ("recompute", "order"),
    [(False, "original"), (True, "original"), (False, "preactivation"), (False, "bn-after-addition")],
)
def test_two_halves_of_a_batch_have_the_outputs_gradients_and_averages_of_the_whole(recompute, order):
    config = ModelConfig(kind="residual", depth=8, width=4, shortcut="B", order=order)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(8)
    whole = build(config, 0).double().train()
    logits = whole(images)
    torch.nn.functional.cross_entropy(logits, labels).backward()
    exchange = Exchange()

    def half(rank):
        torch.set_num_threads(1)
        net = build(config, 0).double().train()
        synchronise(net, exchange.gather_of(rank))
        for block in [block for stage in net.stages for block in stage]:
            block.recompute = recompute
        own = net(images[4 * rank :][:4])
        torch.nn.functional.cross_entropy(own, labels[4 * rank :][:4]).backward()
        return net, own

    with ThreadPoolExecutor(2) as pool:
        (first, logits_0), (second, logits_1) = pool.map(half, range(2))
    close = {"rtol": 1e-9, "atol": 1e-12}
    torch.testing.assert_close(torch.cat([logits_0, logits_1]), logits, **close)
    for ours, theirs, expected in zip(first.parameters(), second.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close((ours.grad + theirs.grad) / 2, expected.grad, **close)
    for name, expected in whole.state_dict().items():
        torch.testing.assert_close(first.state_dict()[name], expected, **close)
        assert torch.equal(first.state_dict()[name], second.state_dict()[name])
    torch.testing.assert_close(first.eval()(images), whole.eval()(images), **close)
