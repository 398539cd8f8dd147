"""Shortcut options A, B and C."""

import pytest
import torch

from resnet_lab.config.model import ModelConfig
from resnet_lab.models.shortcuts import Identity, Projection, make_shortcut

PLAIN = ModelConfig(kind="plain", depth=8)


def residual(option="A", **settings):
    return ModelConfig(kind="residual", depth=8, shortcut=option, **settings)


@pytest.mark.parametrize("option", ["A", "B", "C"])
def test_make_shortcut_follows_options_a_b_and_c(option):
    same, strided, wider = (make_shortcut(residual(option), 4, *rest) for rest in ((4, 1), (8, 2), (8, 1)))
    expected = {"A": (Identity, Identity), "B": (Identity, Projection), "C": (Projection, Projection)}[option]
    assert (type(same), type(strided), type(wider)) == (expected[0], expected[1], expected[1])
    x = torch.rand(2, 4, 8, 8)
    assert (same(x).shape, strided(x).shape, wider(x).shape) == ((2, 4, 8, 8), (2, 8, 4, 4), (2, 8, 8, 8))
    assert make_shortcut(PLAIN, 4, 8, 2) is None


def test_option_a_subsamples_appends_zeros_and_has_no_parameters():
    shortcut = Identity(16, 32, 2)
    x = torch.rand(2, 16, 32, 32)
    out = shortcut(x)
    assert out.shape == (2, 32, 16, 16)
    assert torch.equal(out[:, :16], x[:, :, ::2, ::2])
    assert out[:, 16:].abs().max() == 0
    assert list(shortcut.parameters()) == []
    assert make_shortcut(PLAIN, 16, 32, 2) is None


@pytest.mark.parametrize(("extra", "before"), [(16, 8), (5, 2), (1, 0)])
def test_option_a_can_pad_channels_on_both_sides(extra, before):
    x = torch.rand(2, 16, 8, 8)
    out = make_shortcut(residual(pad_channels="both"), 16, 16 + extra, 2)(x)
    assert torch.equal(out[:, before : before + 16], x[:, :, ::2, ::2])
    assert (out[:, :before].count_nonzero(), out[:, before + 16 :].count_nonzero(), out.shape[1]) == (0, 0, 16 + extra)
