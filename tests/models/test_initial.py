"""Initial weights: He, Dirac and delta-orthogonal."""

import pytest
import torch
from torch import nn

from resnet_lab.analysis.construction import added_blocks, construct
from resnet_lab.config.model import ModelConfig
from resnet_lab.models.digest import weights_digest
from resnet_lab.models.resnet import build
from tests.builders import same_tensors, tiny


def kernels(**settings):
    net = build(ModelConfig(**{"kind": "plain", "depth": 14} | settings), 0)
    return {name: module.weight.detach() for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}


def test_initial_weights_of_the_papers_networks_do_not_change():
    assert weights_digest(build(ModelConfig(kind="plain", depth=14), 0)).startswith("b405af605ed8746f")


def test_the_variance_of_he_initialisation_depends_on_the_slope():
    usual, leaky = kernels(), kernels(activation_slope=0.5)
    for name, weight in usual.items():
        torch.testing.assert_close(leaky[name], weight * (1 / 1.25) ** 0.5)


@pytest.mark.parametrize("width", [3, 4])
def test_dirac_kernels_are_the_identity_where_the_shape_is_kept_and_he_elsewhere(width):
    usual = kernels(width=width)
    for name, weight in kernels(width=width, init="dirac").items():
        if name == "stem.conv" or name in ("stages.1.0.conv1.conv", "stages.2.0.conv1.conv"):
            assert torch.equal(weight, usual[name])
        else:
            x = torch.randn(2, weight.shape[0], 5, 5)
            assert torch.equal(nn.functional.conv2d(x, weight, padding=1), x)


def test_a_plain_dirac_block_is_an_added_block_of_the_identity_construction():
    """They differ in the moving variance alone: the construction makes BN the exact identity in evaluation mode."""
    shallow = tiny(model={"kind": "plain", "depth": 8, "width": 4})
    built = construct(build(shallow.model, 0), shallow, 14)
    dirac = build(ModelConfig(kind="plain", depth=14, width=4, init="dirac"), 0)
    for (stage, added), place in zip(added_blocks(built, build(shallow.model, 0)), (1, 1, 1), strict=True):
        own = dirac.stages[stage][place]
        for layer in own.layers:
            layer.norm.running_var.fill_(1 - layer.norm.eps)
        assert same_tensors(own.state_dict(), added.state_dict())
        x = torch.rand(2, 4 * 2**stage, 8, 8)
        assert torch.equal(own.eval()(x), x)


def test_orthogonal_kernels_keep_norms_up_to_the_gain():
    for name, weight in kernels(init="orthogonal", block="bottleneck", depth=20, width=4).items():
        rows, columns, size, _ = weight.shape
        centre = weight[:, :, size // 2, size // 2].double()
        assert weight.count_nonzero() == centre.count_nonzero(), name
        gram = centre.T @ centre if rows >= columns else centre @ centre.T
        torch.testing.assert_close(gram, 2 * torch.eye(min(rows, columns)).double(), rtol=1e-6, atol=1e-6)
    x = torch.randn(2, 16, 8, 8)
    y = nn.functional.conv2d(x, kernels(init="orthogonal")["stages.0.0.conv1.conv"], padding=1)
    torch.testing.assert_close(y.norm(), x.norm() * 2**0.5)


@pytest.mark.parametrize("init", ["dirac", "orthogonal"])
def test_initial_weights_depend_only_on_name_shape_and_seed(init):
    shallow, deep = (kernels(init=init, depth=depth) for depth in (8, 14))
    assert all(torch.equal(weight, deep[name]) for name, weight in shallow.items())
    other = build(ModelConfig(kind="plain", depth=8, init=init), 1)
    assert not torch.equal(other.stem.conv.weight, shallow["stem.conv"])
