"""The digest of a network's parameters, which shows that the networks of a matched pair start with equal weights."""

import hashlib

from torch import nn

from resnet_lab.models.shortcuts import Projection


def weights_digest(net: nn.Module) -> str:
    """The sha256 of the names, shapes and values of all parameters except projections and scales of branches, in order of name.

    A residual network has these parameters in common with the plain network of the same layers.
    """
    projections = tuple(f"{name}." for name, module in net.named_modules() if isinstance(module, Projection))
    digest = hashlib.sha256()
    for name, parameter in sorted(net.named_parameters()):
        if not name.startswith(projections) and not name.endswith(".branch_scale"):
            digest.update(f"{name} {tuple(parameter.shape)}\n".encode())
            digest.update(parameter.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()
