"""Error and loss of a network in evaluation mode."""

import pytest
import torch

from resnet_lab.config.model import ModelConfig
from resnet_lab.data.images import normalise
from resnet_lab.models.resnet import build
from resnet_lab.train.evaluate import evaluate


def test_evaluation_counts_every_image_once_and_leaves_the_network_unchanged():
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


def test_evaluation_in_bf16_differs_slightly_from_fp32():
    net = build(ModelConfig(kind="plain", depth=8, width=4), 0)
    batch = [
        (normalise(torch.randint(0, 256, (32, 3, 32, 32), dtype=torch.uint8), torch.zeros(3, 32, 32)), torch.zeros(32).long())
    ]
    exact, short = evaluate(net, batch)[1], evaluate(net, batch, "bf16")[1]
    assert exact != short
    assert short == pytest.approx(exact, rel=0.05)
