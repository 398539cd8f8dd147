"""Batch normalisation folded into convolutions for evaluation, which halves the passes over the activations."""

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from resnet_lab.models.layers import ConvNorm


def folded(net: nn.Module) -> nn.Module:
    """A copy of `net` in evaluation mode, with every ConvNorm replaced by one convolution with a bias.

    It computes the same function as `net.eval()` up to rounding. In evaluation, batch normalisation is affine with constant mean
    and variance, so per channel weight' = weight * gamma / sqrt(var + eps) and bias' = beta - mean * gamma / sqrt(var + eps).
    """
    replacements = {id(module): _fused(module) for module in net.modules() if isinstance(module, ConvNorm)}
    return copy.deepcopy(net, replacements).eval()


def _fused(pair: ConvNorm) -> nn.Conv2d:
    conv, norm = copy.deepcopy(pair.conv), pair.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return conv
