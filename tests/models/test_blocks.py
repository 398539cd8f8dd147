"""The blocks: their layers, their stride, and what they compute."""

from typing import get_args

import pytest
import torch

from resnet_lab.config.blocks import BLOCKS, BlockType
from resnet_lab.config.model import ModelConfig
from resnet_lab.models.blocks import Block, make_block
from resnet_lab.models.resnet import ResNet, build

RESIDUAL = ModelConfig(kind="residual", depth=8)


def test_every_block_type_has_a_table_entry():
    assert list(BLOCKS) == list(get_args(BlockType))


@pytest.mark.parametrize("block", get_args(BlockType))
def test_a_block_has_the_layers_of_its_table_entry(block):
    facts = BLOCKS[block]
    for depth, stages in facts.table_1.items():
        with torch.device("meta"):
            net = ResNet(ModelConfig(kind="residual", layout="imagenet", depth=depth, block=block, width=4))
        assert tuple(map(len, net.stages)) == stages
        convolutions = [layer.get_submodule("conv") for layer in net.get_submodule("stages.0.0").layers]
        assert tuple(convolution.kernel_size[0] for convolution in convolutions) == facts.kernels
        assert [convolution.out_channels for convolution in convolutions] == [4] * (facts.num_layers - 1) + [4 * facts.expansion]
        assert facts.seen_by in net.state_dict()


@pytest.mark.parametrize("stride_on", ["1x1", "3x3"])
def test_the_stride_of_a_bottleneck_is_on_the_configured_layer(stride_on):
    net = build(ModelConfig(kind="residual", depth=11, block="bottleneck", stride_on=stride_on), 0)
    first = net.get_submodule("stages.1.0")
    assert isinstance(first, Block)
    strides = [layer.conv.stride[0] for layer in first.layers]
    assert strides == ([2, 1, 1] if stride_on == "1x1" else [1, 2, 1])
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_a_residual_block_with_a_zero_branch_is_the_identity():
    block = make_block(RESIDUAL, 16, 16, stride=1)
    torch.nn.init.zeros_(block.conv2.norm.weight)
    x = torch.rand(2, 16, 8, 8)  # what a block gets is the output of a ReLU
    assert torch.equal(block(x), x)


def test_the_relu_follows_the_addition():
    block = make_block(RESIDUAL, 4, 4, stride=1)
    torch.nn.init.zeros_(block.conv2.norm.weight)
    x = -torch.rand(1, 4, 8, 8)
    assert block(x).abs().max() == 0
