"""Settings that change the paper's network: what they compute, what they leave equal, and where they do not apply."""

import pytest
import torch

from resnet_lab.config.model import ModelConfig
from resnet_lab.models.cost import count
from resnet_lab.models.digest import weights_digest
from resnet_lab.models.fold import folded
from resnet_lab.models.resnet import build
from tests.builders import random_batch, same_tensors, tiny, train_in_memory
from tests.models.networks import assert_computes, conv, network, norm, option_a, projection


def config(kind="residual", depth=14, **settings):
    return ModelConfig(kind=kind, depth=depth, width=4, **settings)


def branch(p, name, x, stride):
    """F(x) of a basic block in the paper's order."""
    x = norm(p, f"{name}.conv1", conv(p, f"{name}.conv1", x, stride)).relu()
    return norm(p, f"{name}.conv2", conv(p, f"{name}.conv2", x))


def outputs(settings):
    """Logits, gradients and, after 30 updates, weights."""
    net = build(settings, 0)
    logits = net(random_batch()[0])
    logits.square().sum().backward()
    state, records = train_in_memory(tiny(model=settings.model_dump()))
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    return {"logits": logits} | gradients, state.net.state_dict(), [(record.error, record.loss) for record in records]


@pytest.mark.parametrize(("scale", "same"), [(0.0, {"kind": "plain"}), (1.0, {"kind": "residual"})])
def test_shortcuts_scaled_by_0_and_1_give_the_plain_and_the_residual_network_bit_for_bit(scale, same):
    for ours, expected in zip(outputs(config(shortcut_scale=scale)), outputs(config(**same)), strict=True):
        assert same_tensors(ours, expected) if isinstance(ours, dict) else ours == expected


@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0])
def test_shortcut_scale_multiplies_the_shortcut(scale):
    assert_computes(
        config(shortcut_scale=scale), lambda p, name, x, stride: (branch(p, name, x, stride) + scale * option_a(x, stride)).relu()
    )


def test_branches_are_divided_by_the_root_of_the_number_of_blocks():
    settings = config(branch_scale="1/sqrt(blocks)")
    assert sum(settings.stages) == 6
    assert_computes(settings, lambda p, name, x, stride: (branch(p, name, x, stride) / 6**0.5 + option_a(x, stride)).relu())


def test_a_learnable_branch_scale_is_a_scalar_per_block_that_starts_at_0():
    settings = config(branch_scale="learnable", shortcut_scale=0.5)

    def block(p, name, x, stride):
        return (p[f"{name}.branch_scale"] * branch(p, name, x, stride) + 0.5 * option_a(x, stride)).relu()

    assert_computes(settings, block)
    net = build(config(branch_scale="learnable"), 0)
    scales = [parameter for name, parameter in net.named_parameters() if name.endswith("branch_scale")]
    assert [scale.tolist() for scale in scales] == [0.0] * 6
    x = torch.rand(2, 4, 8, 8)
    assert torch.equal(net.stages[0](x), x)
    cost, plain = count(settings), count(settings.counterpart)
    assert cost.parameters == plain.parameters + 6 == sum(layer.parameters for layer in cost.layers)


@pytest.mark.parametrize(
    "settings",
    [
        {"shortcut_scale": 0.5},
        {"branch_scale": "1/sqrt(blocks)"},
        {"branch_scale": "learnable"},
        {"order": "preactivation"},
        {"order": "bn-after-addition"},
        {"order": "relu-before-addition"},
        {"span": 1},
        {"span": 3, "depth": 11},
        {"init": "dirac"},
        {"init": "orthogonal"},
        {"norm": "none", "branch_scale": "learnable"},
        {"norm": "none", "branch_scale": "1/sqrt(blocks)", "init": "orthogonal"},
        {"activation_slope": 0.5},
    ],
)
def test_a_matched_pair_has_equal_initial_weights(settings):
    residual = config(**settings)
    assert residual.counterpart == ModelConfig.model_validate(residual.counterpart.model_dump())
    assert weights_digest(build(residual, 0)) == weights_digest(build(residual.counterpart, 0))
    changes_parameters = count(residual).parameters != count(residual.counterpart).parameters
    assert changes_parameters == residual.adds_parameters


def test_batch_normalisation_may_follow_the_addition():
    def block(p, name, x, stride):
        y = norm(p, f"{name}.conv1", conv(p, f"{name}.conv1", x, stride)).relu()
        return norm(p, f"{name}.conv2", conv(p, f"{name}.conv2", y) + option_a(x, stride)).relu()

    assert_computes(config(order="bn-after-addition"), block)


def test_the_last_relu_may_precede_the_addition():
    assert_computes(
        config(order="relu-before-addition", branch_scale="learnable"),
        lambda p, name, x, stride: p[f"{name}.branch_scale"] * branch(p, name, x, stride).relu() + option_a(x, stride),
    )
    assert_computes(
        config(order="relu-before-addition"), lambda p, name, x, stride: branch(p, name, x, stride).relu() + option_a(x, stride)
    )


@pytest.mark.parametrize("option", ["A", "B", "C"])
def test_preactivation_precedes_each_convolution_and_the_shortcut_where_it_is_not_the_identity(option):
    def activated(p, name, x):
        return norm(p, name, x).relu() if f"{name}.norm.weight" in p else x

    def block(p, name, x, stride):
        y = activated(p, f"{name}.conv1", x)
        is_projected = f"{name}.shortcut.conv.weight" in p
        skipped = projection(p, name, y, stride) if is_projected else option_a(y if stride == 2 else x, stride)
        y = conv(p, f"{name}.conv1", y, stride)
        return conv(p, f"{name}.conv2", activated(p, f"{name}.conv2", y)) + skipped

    def whole(p, settings, block, images):
        assert "stages.0.0.conv1.norm.weight" not in p
        return network(p, settings, block, images, tail=lambda x: norm(p, "tail", x).relu())

    assert_computes(config(order="preactivation", shortcut=option), block, whole)
    assert count(config(order="preactivation", shortcut=option)).parameters == count(config(shortcut=option)).parameters


def test_a_plain_network_with_preactivation_is_the_plain_network_with_other_names():
    """Without additions, BN and ReLU lie between the same convolutions."""
    nets = [build(config("plain", order=order), 0) for order in ("original", "preactivation")]
    images = random_batch()[0]
    logits = [net(images) for net in nets]
    assert torch.equal(*logits)
    gradients = [
        torch.autograd.grad(values.square().sum(), list(net.parameters())) for net, values in zip(nets, logits, strict=True)
    ]
    kernels = [[gradient for gradient in gradients_of_one if gradient.dim() == 4] for gradients_of_one in gradients]
    assert all(torch.equal(*pair) for pair in zip(*kernels, strict=True))


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_a_leaky_activation_has_the_slope_everywhere(kind):
    def leaky(x):
        return torch.where(x > 0, x, 0.3 * x)

    def block(p, name, x, stride):
        y = leaky(norm(p, f"{name}.conv1", conv(p, f"{name}.conv1", x, stride)))
        y = norm(p, f"{name}.conv2", conv(p, f"{name}.conv2", y))
        return leaky(y if kind == "plain" else y + option_a(x, stride))

    def whole(p, settings, block, images):
        return network(p, settings, block, images, relu=leaky)

    assert_computes(config(kind, activation_slope=0.3), block, whole)


@pytest.mark.parametrize("span", [1, 3])
@pytest.mark.parametrize("depth", [20, 56])
def test_a_shortcut_may_span_one_or_three_layers_at_equal_depth(span, depth):
    spanned, usual = count(config(depth=depth, span=span)), count(config(depth=depth))
    assert (len(spanned.layers), spanned.parameters, spanned.multiply_adds) == (depth, usual.parameters, usual.multiply_adds)
    assert len(spanned.blocks) == (depth - 2) / span
    assert [layer.output_shape for layer in spanned.layers] == [layer.output_shape for layer in usual.layers]


@pytest.mark.parametrize("span", [1, 3])
def test_a_block_has_as_many_layers_as_its_shortcut_spans(span):
    def block(p, name, x, stride):
        y = norm(p, f"{name}.conv1", conv(p, f"{name}.conv1", x, stride))
        for number in range(2, span + 1):
            y = norm(p, f"{name}.conv{number}", conv(p, f"{name}.conv{number}", y.relu()))
        return (y + option_a(x, stride)).relu()

    assert_computes(config(depth=11, span=span), block)


def test_in_a_plain_network_the_span_only_names_the_layers():
    nets = [build(config("plain", depth=20, span=span), 0) for span in (1, 2, 3)]
    for net in nets[1:]:
        net.load_state_dict(dict(zip(net.state_dict(), nets[0].state_dict().values(), strict=True)))
    outputs = [net(random_batch()[0]) for net in nets]
    assert all(torch.equal(output, outputs[0]) for output in outputs)


def scalar_conv(p, name, x, stride=1):
    """A layer without batch normalisation."""
    y = conv(p, name, x + p[f"{name}.bias_before"], stride) * p.get(f"{name}.scale", 1)
    return y + p[f"{name}.bias_after"]


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("plain", {}),
        ("residual", {}),
        ("residual", {"branch_scale": "learnable"}),
        ("residual", {"branch_scale": "1/sqrt(blocks)", "activation_slope": 0.0}),
    ],
)
def test_scalars_replace_batch_normalisation(kind, settings):
    factor = 6**-0.5 if settings.get("branch_scale") == "1/sqrt(blocks)" else 1

    def block(p, name, x, stride):
        y = scalar_conv(p, f"{name}.conv2", scalar_conv(p, f"{name}.conv1", x, stride).relu())
        y = y * p.get(f"{name}.branch_scale", factor)
        return (y if kind == "plain" else y + option_a(x, stride)).relu()

    def whole(p, settings, block, images):
        assert not any(name.endswith("norm.weight") for name in p)
        return network(p, settings, block, images, stem=scalar_conv, tail=lambda x: x + p["tail.bias"])

    assert_computes(config(kind, norm="none", **settings), block, whole)


@pytest.mark.parametrize(("span", "depth", "exponent"), [(1, 8, None), (2, 14, -1 / 2), (3, 20, -1 / 4)])
def test_fixup_rescales_the_initial_weights_of_a_network_with_shortcuts(span, depth, exponent):
    settings = config(norm="none", span=span, depth=depth)
    he, fixup = (build(model, 0) for model in (config("plain", norm="none", span=span, depth=depth), settings))
    assert (settings.uses_fixup, settings.counterpart.uses_fixup) == (True, False)
    assert count(settings).parameters == count(settings.counterpart).parameters
    number = sum(settings.stages)
    for name, weight in he.named_parameters():
        own = fixup.get_parameter(name)
        if name == "head.weight" or name.endswith(f".conv{span}.conv.weight"):
            assert own.count_nonzero() == 0
            assert weight.count_nonzero() > 0
        elif name.startswith("stages.") and name.endswith(".conv.weight"):
            torch.testing.assert_close(own, weight * number**exponent)
        else:
            assert torch.equal(own, weight)
    x = torch.rand(2, 4, 8, 8)
    assert torch.equal(fixup.stages[0](x), x)


def test_without_normalisation_a_plain_dirac_stage_is_the_identity():
    x = torch.rand(2, 4, 8, 8)
    assert torch.equal(build(config("plain", norm="none", init="dirac"), 0).stages[0](x), x)


def test_only_fixup_changes_the_initial_weights_of_a_pair():
    for scale, same in ((1, False), ("learnable", True), ("1/sqrt(blocks)", True)):
        residual = config(norm="none", branch_scale=scale)
        assert (weights_digest(build(residual, 0)) == weights_digest(build(residual.counterpart, 0))) == same
        cost = count(residual)
        assert cost.parameters == sum(layer.parameters for layer in cost.layers)


def test_folding_leaves_a_network_without_normalisation_as_it_is():
    net = build(config(norm="none"), 0)
    assert same_tensors(folded(net).state_dict(), net.state_dict())
    images = random_batch()[0]
    assert torch.equal(folded(net)(images), net.eval()(images))
