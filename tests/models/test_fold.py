"""Batch normalisation folded into convolutions."""

import pytest
import torch

from resnet_lab.config.model import ModelConfig
from resnet_lab.models.fold import folded
from resnet_lab.models.resnet import build


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_folding_preserves_the_function_and_leaves_the_network_unchanged(kind):
    net = build(ModelConfig(kind=kind, depth=14, width=4), 0)
    source = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as after training: no value is the initial one, some weights are negative
            for value in (module.weight, module.bias, module.running_mean):
                value.data = torch.randn(value.shape, generator=source)
            module.running_var = torch.rand(module.running_var.shape, generator=source) + 0.1
    before = {name: value.clone() for name, value in net.state_dict().items()}
    images = torch.randn(5, 3, 32, 32, generator=source)
    fast = folded(net)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fast.modules())
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    with torch.no_grad():
        expected = net.double().eval()(images.double())
        torch.testing.assert_close(fast(images).double(), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
