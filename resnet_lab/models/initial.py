"""The initial values of a network."""

import torch
from torch import Tensor, nn

from resnet_lab.config.model import ModelConfig
from resnet_lab.models.blocks import Block, blocks_of
from resnet_lab.models.layers import ScalarBias, ScalarConv
from resnet_lab.rng import generator


@torch.no_grad()
def initialise(net: nn.Module, config: ModelConfig, seed: int) -> None:
    """Set all parameters: convolutions as `config.init` says, BN to scale 1 and shift 0, learnable scales of branches to 0.

    Weights of the final layer are uniform in +-1 / sqrt(fan-in) and its biases zero, as in fb.resnet.torch; the paper does not
    specify them. Every tensor has a generator keyed by its name, so both networks of a matched pair start from equal values.
    """
    for name, module in net.named_modules():
        source = generator(seed, f"init/{name}.weight")
        if isinstance(module, nn.Conv2d):
            module.weight.copy_(_kernel(config, name, module, source))
        elif isinstance(module, nn.Linear):
            uniform = torch.rand(module.weight.shape, generator=source) * 2 - 1
            module.weight.copy_(uniform / module.in_features**0.5)
            module.bias.zero_()
        elif isinstance(module, nn.BatchNorm2d | ScalarConv | ScalarBias):
            module.reset_parameters()
        elif isinstance(module, Block) and isinstance(module.branch_scale, nn.Parameter):
            module.branch_scale.zero_()
    if config.uses_fixup:
        _apply_fixup(net, config)


def _apply_fixup(net: nn.Module, config: ModelConfig) -> None:
    """Rescale the initial weights as Fixup does (Zhang et al. 2019, arXiv 1901.09321, Sec. 3), with L blocks of m layers.

    The final layer and the last layer of each branch start at 0; the other layers of a branch are multiplied by
    L^(-1 / (2m - 2)).
    """
    num_blocks, num_layers = sum(config.stages), config.block_facts.num_layers
    for _, block in blocks_of(net):
        *inner, last = (layer.get_parameter("conv.weight") for layer in block.layers)
        for weight in inner:
            weight.mul_(num_blocks ** (-1 / (2 * num_layers - 2)))
        last.zero_()
    net.get_parameter("head.weight").zero_()


def _kernel(config: ModelConfig, name: str, conv: nn.Conv2d, source: torch.Generator) -> Tensor:
    """The initial weight `(C_out, C_in, k, k)` of a convolution.

    he: normal, of mean 0 and variance 2 / ((1 + slope^2) fan-in) (He et al. 2015, arXiv 1502.01852, eq. 10 and 15).
    dirac: 1 from each channel to itself at the centre, else 0, for the layers of blocks that keep the shape; he for the others
    (the identity of Zagoruyko and Komodakis 2017, arXiv 1706.00388, without their learnt factors and added weights).
    orthogonal: an orthogonal matrix at the centre, else 0 (Xiao et al. 2018, arXiv 1806.05393, Algorithm 2), with he's gain.
    """
    variance = 2 / (1 + config.activation_slope**2)
    keeps_shape = conv.in_channels == conv.out_channels and conv.stride == (1, 1)
    if config.init == "dirac" and keeps_shape and name != "stem.conv":
        return nn.init.dirac_(torch.empty(conv.weight.shape))
    if config.init == "orthogonal":
        kernel = torch.zeros(conv.weight.shape)
        centre = conv.kernel_size[0] // 2
        kernel[:, :, centre, centre] = _orthogonal(conv.out_channels, conv.in_channels, source) * variance**0.5
        return kernel
    deviation: float = (variance / conv.weight[0].numel()) ** 0.5
    return torch.randn(conv.weight.shape, generator=source) * deviation


def _orthogonal(rows: int, columns: int, source: torch.Generator) -> Tensor:
    """A uniformly distributed matrix whose columns are orthonormal, or its rows if there are fewer of these.

    Computed in fp64, so that the result, rounded to fp32, hardly depends on the machine. The signs make it uniform
    (Mezzadri 2007, arXiv math-ph/0609050).
    """
    gaussian = torch.randn(max(rows, columns), min(rows, columns), generator=source, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    matrix: Tensor = q * r.diagonal().sign()
    return (matrix if rows >= columns else matrix.T).float()
