"""Parameters, multiply-adds, activations and receptive fields, compared with the paper's."""

import pytest
import torch

from resnet_lab.config.model import ModelConfig
from resnet_lab.models.cost import count
from resnet_lab.models.resnet import ResNet

# He et al. 2015, Table 6, to the last parameter; multiply-adds of convolutions and the final layer in millions.
COUNTS = [
    (20, 269_722, 40.55),
    (32, 464_154, 68.86),
    (44, 658_586, 97.17),
    (56, 853_018, 125.49),
    (110, 1_727_962, 252.89),
    pytest.param(1202, 19_421_274, 2_829, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("depth", "parameters", "millions"), COUNTS)
@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_parameters_and_multiply_adds_match_the_paper(kind, depth, parameters, millions):
    cost = count(ModelConfig(kind=kind, depth=depth))
    assert cost.parameters == parameters == sum(layer.parameters for layer in cost.layers)
    assert cost.multiply_adds / 1e6 == pytest.approx(millions, abs=0.5 if depth == 1202 else 0.005)
    assert len(cost.layers) == depth


# Options B and C: a projection (1x1 convolution and BN) at each of the two transitions, and at every block.
PROJECTION_COUNTS = [
    (20, 272_474, 283_962),
    (32, 466_906, 489_594),
    (44, 661_338, 695_226),
    (56, 855_770, 900_858),
    (110, 1_730_714, 1_826_202),
]


@pytest.mark.parametrize(("depth", "with_b", "with_c"), PROJECTION_COUNTS)
def test_parameters_with_projection_shortcuts(depth, with_b, with_c):
    for option, parameters in (("B", with_b), ("C", with_c)):
        assert count(ModelConfig(kind="residual", depth=depth, shortcut=option)).parameters == parameters


def bottleneck_parameters(depth: int) -> int:
    """By hand: 1x1, 3x3 and 1x1 convolutions with their BN, the stem (464) and the final layer."""
    total, channels = 464, 16
    for width in (16, 32, 64):
        for _ in range((depth - 2) // 9):
            total += channels * width + 9 * width**2 + 4 * width**2 + 2 * (width + width + 4 * width)
            channels = 4 * width
    return total + 10 * channels + 10


@pytest.mark.parametrize("kind", ["plain", "residual"])
@pytest.mark.parametrize("depth", [29, 164])
def test_bottleneck_networks_have_9n_plus_2_layers(kind, depth):
    cost = count(ModelConfig(kind=kind, depth=depth, block="bottleneck"))
    assert len(cost.layers) == depth
    assert cost.parameters == bottleneck_parameters(depth)


# He et al. 2015, Table 1; option A for 18 and 34 layers, B from 50 on, the stride on the first 1x1 layer, 1000 classes.
TABLE_1 = [
    ("basic", 18, "A", 1.8e9, (64, 128, 256, 512)),
    ("basic", 34, "A", 3.6e9, (64, 128, 256, 512)),
    ("bottleneck", 50, "B", 3.8e9, (256, 512, 1024, 2048)),
    ("bottleneck", 101, "B", 7.6e9, (256, 512, 1024, 2048)),
    ("bottleneck", 152, "B", 11.3e9, (256, 512, 1024, 2048)),
]


@pytest.mark.parametrize(("block", "depth", "shortcut", "multiply_adds", "channels"), TABLE_1)
def test_imagenet_networks_match_table_1(block, depth, shortcut, multiply_adds, channels):
    config = ModelConfig(kind="residual", layout="imagenet", block=block, depth=depth, shortcut=shortcut)
    assert count(config).multiply_adds == pytest.approx(multiply_adds, abs=0.1e9)
    shapes = stage_shapes(config)
    assert shapes == [(channel, size, size) for channel, size in zip(channels, (56, 28, 14, 7), strict=True)]
    plain = count(ModelConfig(kind="plain", layout="imagenet", block=block, depth=depth))
    residual = count(config.model_copy(update={"shortcut": "A"}))
    assert (plain.parameters, plain.multiply_adds) == (residual.parameters, residual.multiply_adds)
    assert len(plain.layers) == depth


def stage_shapes(config: ModelConfig) -> list[tuple[int, ...]]:
    """Shape of each stage's output for one image of the layout's size."""
    shapes: list[tuple[int, ...]] = []
    with torch.device("meta"):
        net = ResNet(config)
        for stage in net.stages:
            stage.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
        net(torch.empty(2, 3, config.image_size, config.image_size))
    return shapes


def test_activations_and_receptive_fields_of_a_small_network():
    cost = count(ModelConfig(kind="residual", depth=8, shortcut="B"))
    fields = {layer.name: layer.receptive_field for layer in cost.layers}
    assert fields == {
        "stem.conv": 3, "stages.0.0.conv1.conv": 5, "stages.0.0.conv2.conv": 7,
        "stages.1.0.conv1.conv": 9, "stages.1.0.conv2.conv": 13, "stages.1.0.shortcut.conv": 7,
        "stages.2.0.conv1.conv": 17, "stages.2.0.conv2.conv": 25, "stages.2.0.shortcut.conv": 13,
        "head": 25 + 7 * 4,
    }  # fmt: skip
    maps = 16 * 32 * 32, 32 * 16 * 16, 64 * 8 * 8
    assert cost.activation_bytes == 4 * (3 * maps[0] + 3 * maps[1] + 3 * maps[2] + 10)
    assert cost.block_activation_bytes == 4 * (2 * maps[0] + maps[1] + maps[2])


def test_the_receptive_field_of_resnet_18_is_435_before_the_average_pooling():
    """Published for torchvision's by Araujo, Norris and Sim 2019, Computing Receptive Fields, Distill."""
    cost = count(ModelConfig(kind="plain", layout="imagenet", depth=18))
    assert (cost.layers[0].receptive_field, cost.layers[-2].receptive_field) == (7, 435)


def test_the_cost_names_the_shortcut_of_every_block():
    blocks = {option: count(ModelConfig(kind="residual", depth=14, shortcut=option)).blocks for option in "ABC"}
    assert [block.shortcut for block in blocks["A"]] == ["identity"] * 2 + ["zero-padded identity", "identity"] * 2
    assert [block.shortcut for block in blocks["B"]] == ["identity"] * 2 + ["projection", "identity"] * 2
    assert {block.shortcut for block in blocks["C"]} == {"projection"}
    assert {block.shortcut for block in count(ModelConfig(kind="plain", depth=14)).blocks} == {"none"}


def test_output_shapes_of_the_stages_match_the_paper():
    shapes = [layer.output_shape for layer in count(ModelConfig(kind="residual", depth=20)).layers]
    assert shapes[:7] == [(16, 32, 32)] * 7
    assert shapes[7:13] == [(32, 16, 16)] * 6
    assert shapes[13:19] == [(64, 8, 8)] * 6
    assert shapes[19] == (10,)
