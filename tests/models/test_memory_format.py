"""Networks with few channels on a CPU: exact gradients, and the memory format that gives them (`benchmarks/convolutions.py`)."""

import os
import subprocess
import sys

import pytest
import torch

from resnet_lab.config.model import ModelConfig
from resnet_lab.data.batches import clean_batches
from resnet_lab.data.images import ImageSet
from resnet_lab.models.fold import folded
from resnet_lab.models.memory_format import memory_format_of
from resnet_lab.models.resnet import build

CPU = torch.device("cpu")
INSTRUCTION_SETS = {
    "this machine's": {},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}
# The weight gradient of every convolution of narrow networks, against fp64 from the same inputs and output gradients. The fault
# hangs or ends the interpreter, so this runs in a process of its own.
GRADIENTS = """
import itertools
import torch
from torch import nn
from torch.nn import functional
from resnet_lab.config.model import ModelConfig
from resnet_lab.models.resnet import build
from tests.builders import settings

torch.set_num_threads(1)
images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
for (block, depth), shortcut, width in itertools.product((("basic", 8), ("bottleneck", 11)), "ABC", range(1, 10)):
    net = build(ModelConfig(kind="residual", block=block, depth=depth, width=width, shortcut=shortcut), seed=0)
    inputs, outputs = {}, {}

    def hook(conv, arguments, output):
        output.retain_grad()
        inputs[conv], outputs[conv] = arguments[0], output

    convolutions = {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    for conv in convolutions.values():
        conv.register_forward_hook(hook)
    functional.cross_entropy(net(images), torch.tensor([0, 1, 2, 3])).backward()
    for name, conv in convolutions.items():
        x, slope = inputs[conv].detach().double(), outputs[conv].grad.double()
        exact = nn.grad.conv2d_weight(x, conv.weight.shape, slope, conv.stride, conv.padding)
        bound = 1e-4 * nn.grad.conv2d_weight(x.abs(), conv.weight.shape, slope.abs(), conv.stride, conv.padding).max()
        assert (conv.weight.grad - exact).abs().max() <= bound, (block, shortcut, width, name)
print(len(convolutions))
"""


@pytest.mark.parametrize("variables", INSTRUCTION_SETS.values(), ids=INSTRUCTION_SETS)
def test_convolution_gradients_of_narrow_networks_match_fp64(variables):
    done = subprocess.run(
        [sys.executable, "-c", GRADIENTS], env=os.environ | variables, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("variables", INSTRUCTION_SETS.values(), ids=INSTRUCTION_SETS)
def test_the_command_trains_a_narrow_network_with_projections(variables, tmp_path):
    network = ["--depth", "8", "--residual", "--set", "model.width=4", "--set", "model.shortcut=B"]
    done = subprocess.run(
        [sys.executable, "-m", "resnet_lab", "train", "--config", "smoke", *network, "--threads", "1", "--no-compile"],
        env=os.environ | variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "finished" in (tmp_path / "runs" / "smoke" / "residual-B-8-s0" / "events.jsonl").read_text()


def network(width, shortcut="B", **settings):
    return build(ModelConfig(kind="residual", depth=8, width=width, shortcut=shortcut, **settings), seed=0)


def test_only_narrow_projections_on_a_cpu_need_the_contiguous_format():
    formats = {width: memory_format_of(network(width), CPU) for width in (4, 7, 8, 16)}
    assert formats == {
        4: torch.contiguous_format, 7: torch.contiguous_format, 8: torch.channels_last, 16: torch.channels_last
    }  # fmt: skip
    assert memory_format_of(network(4, "A"), CPU) == torch.channels_last
    assert memory_format_of(network(4), torch.device("cuda")) == torch.channels_last


def test_all_activations_of_a_narrow_network_are_contiguous():
    net = network(4)
    images = ImageSet(torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    [(inputs, _)] = clean_batches(images, torch.zeros(3, 32, 32))
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    outputs = []
    for block in [*net.modules(), *(whole := folded(net)).modules()]:
        block.register_forward_hook(lambda module, _, output: outputs.append(output))
    net(inputs)
    whole(inputs)
    assert len(outputs) > 40
    assert all(output.is_contiguous() for output in outputs)
