"""Blocks that are recomputed for the backward pass."""

import pytest
import torch

from resnet_lab.config.model import ModelConfig
from resnet_lab.models.blocks import Block
from resnet_lab.models.resnet import build


@pytest.mark.parametrize(
    "settings",
    [
        {"depth": 11, "block": "bottleneck", "shortcut": "B"},
        {"order": "preactivation", "shortcut": "C", "activation_slope": 0.1},
        {"order": "bn-after-addition"},
        {"order": "relu-before-addition", "branch_scale": "learnable"},
    ],
    ids=str,
)
def test_recomputed_blocks_train_identically_and_count_each_batch_once(settings):
    config = ModelConfig(**{"kind": "residual", "depth": 8, "width": 4} | settings)
    nets = [build(config, 0).train() for _ in range(2)]
    for module in nets[1].modules():
        if isinstance(module, Block):
            module.recompute = True
    source = torch.Generator().manual_seed(0)
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9) for net in nets]
    for _ in range(4):
        images = torch.randn(8, 3, 32, 32, generator=source)
        for net, optimizer in zip(nets, optimizers, strict=True):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(images), torch.arange(8)).backward()
            optimizer.step()
    kept, recomputed = (net.state_dict() for net in nets)
    assert all(torch.equal(kept[name], recomputed[name]) for name in kept)
    assert recomputed["stages.1.0.conv1.norm.num_batches_tracked"] == 4


def test_recomputed_blocks_store_less_for_the_backward_pass():
    kept = []
    for recompute in (False, True):
        net = build(ModelConfig(kind="residual", depth=8, width=4), 0).train()
        for module in net.modules():
            if isinstance(module, Block):
                module.recompute = recompute
        sizes: list[int] = []
        hooks = torch.autograd.graph.saved_tensors_hooks(lambda x, sizes=sizes: sizes.append(x.numel()) or x, lambda x: x)
        with hooks:
            net(torch.randn(2, 3, 32, 32)).sum()
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2
