"""Networks for the tests of weights: a CIFAR ResNet as in other repositories, and one of this package."""

import torch
from torch import nn
from torch.nn import functional

from resnet_lab.config.model import ModelConfig
from resnet_lab.models.resnet import build
from resnet_lab.weights import read as weights

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(5))


class ForeignBlock(nn.Module):
    """A basic block as in most repositories; its identity shortcut pads a quarter of the new channels on each side."""

    def __init__(self, before, after, stride, projection):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        self.side = after // 4 if before != after else 0
        if projection and self.side:
            self.add_module(projection, nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)))
        self.projection = projection if projection and self.side else None

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if self.projection:
            return (y + self.get_submodule(self.projection)(x)).relu()
        if self.side:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.side, self.side))
        return (y + x).relu()


class ForeignResNet(nn.Module):
    """A ResNet for CIFAR-10 with the parameter names of most repositories: `conv1`, `layer1.0.conv1`, `linear` or `fc`."""

    def __init__(self, blocks=2, width=8, head="linear", projection=None, stages=3, classes=10):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        before = width
        self.layers = [f"layer{stage + 1}" for stage in range(stages)]
        for stage, name in enumerate(self.layers):
            after = width * 2**stage
            first = ForeignBlock(before, after, 2 if stage else 1, projection)
            others = [ForeignBlock(after, after, 1, projection) for _ in range(blocks - 1)]
            self.add_module(name, nn.Sequential(first, *others))
            before = after
        self.head = head
        self.add_module(head, nn.Linear(before, classes))
        randomise_batch_norms(self)
        self.eval()

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        for name in self.layers:
            x = self.get_submodule(name)(x)
        return self.get_submodule(self.head)(x.mean((2, 3)))


def randomise_batch_norms(net):
    """Give all batch normalisations weights, biases and averages that are not the initial ones."""
    source = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight, module.bias, module.running_mean, module.running_var):
                value.data.copy_(0.5 + torch.rand(value.shape, generator=source))


def prefixed(state, prefix):
    """The same tensors, with a prefix before each name."""
    return {f"{prefix}{name}": value for name, value in state.items()}


def read_network(path, **untold):
    """The network in a file; `untold` are the settings that its tensors do not show."""
    content = weights.read(path)
    form = weights.recognise(content)
    return weights.network(content, form.config(**untold), form.num_classes).eval()


def nearly_equal(left, right):
    """Whether two tensors differ by no more than rounding."""
    return (left - right).norm() <= 1e-4 * right.norm()


def our_network(model):
    """The config and the network of a model of this package, of depth 8 and width 4 unless told otherwise."""
    config = ModelConfig.model_validate({"depth": 8, "width": 4} | model)
    net = build(config, 0, num_classes=10).eval()
    randomise_batch_norms(net)
    return config, net
