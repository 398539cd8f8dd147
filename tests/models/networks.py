"""Networks written with functions, independently of `models/`, to compare outputs and gradients with."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from resnet_lab.config.model import ModelConfig
from resnet_lab.models.resnet import build

Parameters = Mapping[str, Tensor]
BlockFunction = Callable[[Parameters, str, Tensor, int], Tensor]  # parameters, the block's name, input and stride


def conv(p: Parameters, name: str, x: Tensor, stride: int = 1) -> Tensor:
    """The convolution of a layer, without batch normalisation."""
    weight = p[f"{name}.conv.weight"]
    return functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)


def norm(p: Parameters, name: str, x: Tensor) -> Tensor:
    """Batch normalisation with the statistics of the batch."""
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
    weight, bias = (p[f"{name}.norm.{part}"].view(-1, 1, 1) for part in ("weight", "bias"))
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def option_a(x: Tensor, stride: int) -> Tensor:
    """The identity where the stride is 1, else every second pixel, and as many zero channels as there are channels."""
    return x if stride == 1 else torch.cat([x[:, :, ::2, ::2], torch.zeros_like(x[:, :, ::2, ::2])], 1)


def projection(p: Parameters, name: str, x: Tensor, stride: int) -> Tensor:
    """A 1x1 convolution with batch normalisation."""
    return norm(p, f"{name}.shortcut", conv(p, f"{name}.shortcut", x, stride))


def network(
    p: Parameters,
    config: ModelConfig,
    block: BlockFunction,
    images: Tensor,
    relu: Callable[[Tensor], Tensor] = torch.relu,
    tail: Callable[[Tensor], Tensor] = lambda x: x,
    stem: Callable[[Parameters, str, Tensor], Tensor] = lambda p, name, x: norm(p, name, conv(p, name, x)),
) -> Tensor:
    """Logits of a network of the CIFAR layout with these blocks; `tail` precedes the average pooling."""
    x = relu(stem(p, "stem", images))
    for stage, number in enumerate(config.stages):
        for place in range(number):
            x = block(p, f"stages.{stage}.{place}", x, 2 if stage > 0 and place == 0 else 1)
    return functional.linear(tail(x).mean((2, 3)), p["head.weight"], p["head.bias"])


def assert_computes(config: ModelConfig, block: BlockFunction, whole=network) -> None:
    """Compare logits and gradients of a network, after its parameters have been changed at random, with those of `whole`."""
    net = build(config, 0).double()
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=source) * 0.1)
    images, labels = torch.randn(4, 3, 16, 16, generator=source).double(), torch.arange(4)
    parameters = dict(net.named_parameters())
    results = []
    for logits in (net(images), whole(parameters, config, block, images)):
        loss = functional.cross_entropy(logits, labels)
        results.append([logits, *torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)])
    for name, ours, expected in zip(["logits", *parameters], *results, strict=True):
        assert ours is not None, f"{name} has no effect"
        torch.testing.assert_close(ours, expected, rtol=1e-7, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")
