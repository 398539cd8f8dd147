"""The paper's networks: counts, the matched pair, the shortcut, the initial values."""

from typing import get_args

import pytest
import torch

from resnet_lab.config.blocks import BLOCKS, BlockType
from resnet_lab.config.schema import ModelConfig
from resnet_lab.models.blocks import BLOCK_CLASSES, BasicBlock, Block, Bottleneck
from resnet_lab.models.cost import count
from resnet_lab.models.fold import folded
from resnet_lab.models.resnet import ResNet, build
from resnet_lab.models.shortcuts import Identity, Projection, make_shortcut

# He et al. 2015, Table 6, to the last parameter; multiply-adds of convolutions and the final layer in millions.
COUNTS = [
    (20, 269_722, 40.55),
    (32, 464_154, 68.86),
    (44, 658_586, 97.17),
    (56, 853_018, 125.49),
    (110, 1_727_962, 252.89),
    pytest.param(1202, 19_421_274, 2_829, marks=pytest.mark.slow),
]


def pair(depth: int = 20, seed: int = 0) -> tuple[ResNet, ResNet]:
    return build(ModelConfig(kind="plain", depth=depth), seed), build(ModelConfig(kind="residual", depth=depth), seed)


@pytest.mark.parametrize(("depth", "parameters", "millions"), COUNTS)
@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_counts_are_the_papers(kind, depth, parameters, millions):
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
def test_counts_with_projections(depth, with_b, with_c):
    for option, parameters in (("B", with_b), ("C", with_c)):
        assert count(ModelConfig(kind="residual", depth=depth, shortcut=option)).parameters == parameters


@pytest.mark.parametrize("option", ["A", "B", "C"])
def test_one_function_decides_the_shortcut(option):
    same, strided, wider = (make_shortcut("residual", option, 4, *rest) for rest in ((4, 1), (8, 2), (8, 1)))
    expected = {"A": (Identity, Identity), "B": (Identity, Projection), "C": (Projection, Projection)}[option]
    assert (type(same), type(strided), type(wider)) == (expected[0], expected[1], expected[1])
    x = torch.rand(2, 4, 8, 8)
    assert (same(x).shape, strided(x).shape, wider(x).shape) == ((2, 4, 8, 8), (2, 8, 4, 4), (2, 8, 8, 8))
    assert make_shortcut("plain", option, 4, 8, 2) is None


def test_networks_of_all_options_share_the_initial_values_of_their_branches():
    found = {option: build(ModelConfig(kind="residual", depth=14, shortcut=option), 0).state_dict() for option in "ABC"}
    for option in "BC":
        assert all(torch.equal(value, found[option][name]) for name, value in found["A"].items())
        more = set(found[option]) - set(found["A"])
        assert more
        assert all(".shortcut." in name for name in more)


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


def test_every_block_type_has_facts_and_a_class():
    assert list(BLOCKS) == list(BLOCK_CLASSES) == list(get_args(BlockType))


@pytest.mark.parametrize("block", get_args(BlockType))
def test_a_block_class_has_the_layers_of_the_table(block):
    facts = BLOCKS[block]
    for depth, stages in facts.table_1.items():
        with torch.device("meta"):
            net = ResNet(ModelConfig(kind="residual", layout="imagenet", depth=depth, block=block, width=4))
        assert tuple(map(len, net.stages)) == stages
        convolutions = [layer.get_submodule("conv") for layer in net.get_submodule("stages.0.0").layers]
        assert tuple(each.kernel_size[0] for each in convolutions) == facts.kernels
        assert [each.out_channels for each in convolutions] == [4] * (facts.num_layers - 1) + [4 * facts.expansion]
        assert facts.seen_by in net.state_dict()


@pytest.mark.parametrize("stride_on", ["1x1", "3x3"])
def test_the_stride_of_a_bottleneck_is_where_it_is_asked_for(stride_on):
    net = build(ModelConfig(kind="residual", depth=11, block="bottleneck", stride_on=stride_on), 0)
    first = net.get_submodule("stages.1.0")
    assert isinstance(first, Bottleneck)
    strides = [layer.conv.stride[0] for layer in (first.conv1, first.conv2, first.conv3)]
    assert strides == ([2, 1, 1] if stride_on == "1x1" else [1, 2, 1])
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 10)


# He et al. 2015, Table 1; option A for 18 and 34 layers, B from 50 on, the stride on the first 1x1 layer, 1000 classes.
TABLE_1 = [
    ("basic", 18, "A", 1.8e9, (64, 128, 256, 512)),
    ("basic", 34, "A", 3.6e9, (64, 128, 256, 512)),
    ("bottleneck", 50, "B", 3.8e9, (256, 512, 1024, 2048)),
    ("bottleneck", 101, "B", 7.6e9, (256, 512, 1024, 2048)),
    ("bottleneck", 152, "B", 11.3e9, (256, 512, 1024, 2048)),
]


@pytest.mark.parametrize(("block", "depth", "shortcut", "multiply_adds", "channels"), TABLE_1)
def test_the_imagenet_networks_are_table_1s(block, depth, shortcut, multiply_adds, channels):
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


def test_the_number_of_classes_is_the_layouts_or_as_asked_for():
    model = ModelConfig(kind="plain", layout="imagenet", depth=18, width=4)
    assert build(model, 0).head.out_features == 1000
    assert build(model, 0, num_classes=7)(torch.rand(2, 3, 64, 64)).shape == (2, 7)
    assert build(ModelConfig(kind="plain", depth=8), 0).head.out_features == 10


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


def test_what_stands_beside_each_block():
    found = {option: count(ModelConfig(kind="residual", depth=14, shortcut=option)).blocks for option in "ABC"}
    assert [block.shortcut for block in found["A"]] == ["identity"] * 2 + ["zero-padded identity", "identity"] * 2
    assert [block.shortcut for block in found["B"]] == ["identity"] * 2 + ["projection", "identity"] * 2
    assert {block.shortcut for block in found["C"]} == {"projection"}
    assert {block.shortcut for block in count(ModelConfig(kind="plain", depth=14)).blocks} == {"none"}


@pytest.mark.parametrize(("option", "parameters"), [("A", 19_421_274), ("B", 19_424_026), ("C", 20_538_714)])
def test_parameters_at_depth_1202(option, parameters):
    with torch.device("meta"):
        net = ResNet(ModelConfig(kind="residual", depth=1202, shortcut=option))
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


def test_recomputed_blocks_train_bit_for_bit_as_others_and_count_each_batch_once():
    config = ModelConfig(kind="residual", depth=11, width=4, block="bottleneck", shortcut="B")
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
    assert recomputed["stages.0.0.conv1.norm.num_batches_tracked"] == 4


def test_recomputed_blocks_keep_fewer_numbers():
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


def test_a_pair_has_equal_names_counts_and_initial_values():
    plain, residual = (net.state_dict() for net in pair())
    assert list(plain) == list(residual)
    assert all(torch.equal(plain[name], residual[name]) for name in plain)


def test_a_pair_differs_in_what_it_computes():
    plain, residual = pair()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(plain(images), residual(images))


def test_initial_values_depend_on_name_and_seed_and_not_on_the_rest_of_the_network():
    shallow, deep = pair(8)[0].state_dict(), pair(20)[0].state_dict()
    name = "stages.0.0.conv1.conv.weight"
    assert torch.equal(shallow[name], deep[name])
    assert not torch.equal(shallow[name], shallow["stages.0.0.conv2.conv.weight"])
    assert not torch.equal(shallow[name], pair(8, seed=1)[0].state_dict()[name])


def test_initial_values_are_hes():
    net = pair(56)[0]
    weight = net.get_parameter("stages.2.4.conv1.conv.weight")
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=1e-3)
    assert net.head.bias.abs().max() == 0


def test_building_does_not_touch_the_global_generator():
    before = torch.get_rng_state()
    pair(8)
    assert torch.equal(before, torch.get_rng_state())


def test_a_residual_block_with_a_zero_branch_is_the_identity():
    block = BasicBlock(16, 16, 1, make_shortcut("residual", "A", 16, 16, 1))
    torch.nn.init.zeros_(block.conv2.norm.weight)
    x = torch.rand(2, 16, 8, 8)  # what a block gets is the output of a ReLU
    assert torch.equal(block(x), x)


def test_a_residual_network_of_zero_branches_is_its_shortcuts():
    net = pair(20)[1]
    for stage in net.stages:
        assert isinstance(stage, torch.nn.Sequential)
        for block in stage:
            assert isinstance(block, BasicBlock)
            torch.nn.init.zeros_(block.conv2.norm.weight)
    x = torch.rand(2, 16, 32, 32)
    out = net.stages(x)
    assert torch.equal(out[:, :16], x[:, :, ::4, ::4])
    assert out.shape == (2, 64, 8, 8)
    assert out[:, 16:].abs().max() == 0


def test_shortcut_a_subsamples_appends_zeros_and_has_no_parameters():
    shortcut = Identity(16, 32, 2)
    x = torch.rand(2, 16, 32, 32)
    out = shortcut(x)
    assert out.shape == (2, 32, 16, 16)
    assert torch.equal(out[:, :16], x[:, :, ::2, ::2])
    assert out[:, 16:].abs().max() == 0
    assert list(shortcut.parameters()) == []
    assert make_shortcut("plain", "A", 16, 32, 2) is None


@pytest.mark.parametrize(("extra", "before"), [(16, 8), (5, 2), (1, 0)])
def test_shortcut_a_pads_on_both_sides_where_asked_for(extra, before):
    x = torch.rand(2, 16, 8, 8)
    out = make_shortcut("residual", "A", 16, 16 + extra, 2, "both")(x)
    assert torch.equal(out[:, before : before + 16], x[:, :, ::2, ::2])
    assert (out[:, :before].count_nonzero(), out[:, before + 16 :].count_nonzero(), out.shape[1]) == (0, 0, 16 + extra)


def test_where_the_zeros_are_changes_the_function_and_no_parameter():
    nets = [build(ModelConfig(kind="residual", depth=8, pad_channels=pad), 0).eval() for pad in ("end", "both")]
    left, right = (net.state_dict() for net in nets)
    assert all(torch.equal(value, right[name]) for name, value in left.items())
    images = torch.rand(2, 3, 32, 32)
    assert not torch.allclose(nets[0](images), nets[1](images))
    assert [net.stages[1][0].shortcut.before for net in nets] == [0, 8]


def test_the_relu_follows_the_addition():
    block = BasicBlock(4, 4, 1, make_shortcut("residual", "A", 4, 4, 1))
    torch.nn.init.zeros_(block.conv2.norm.weight)
    x = -torch.rand(1, 4, 8, 8)
    assert block(x).abs().max() == 0


def test_stage_shapes_are_the_papers():
    shapes = [layer.output_shape for layer in count(ModelConfig(kind="residual", depth=20)).layers]
    assert shapes[:7] == [(16, 32, 32)] * 7
    assert shapes[7:13] == [(32, 16, 16)] * 6
    assert shapes[13:19] == [(64, 8, 8)] * 6
    assert shapes[19] == (10,)


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_folding_batch_normalisation_gives_the_same_function_and_leaves_the_network_alone(kind):
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
