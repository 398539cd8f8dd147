"""The digest of a network's parameters, by which members of a matched pair are known to start from equal weights."""

import hashlib

from torch import nn

from resnet_lab.models.shortcuts import Projection


def weights_digest(net: nn.Module) -> str:
    """The sha256 over names, shapes and bytes of the parameters in the order of their names, those of projections left out.

    What is left a residual network shares with the plain one of the same layers.
    """
    own = [f"{name}." for name, module in net.named_modules() if isinstance(module, Projection)]
    found = hashlib.sha256()
    for name, parameter in sorted(net.named_parameters()):
        if not name.startswith(tuple(own)):
            found.update(f"{name} {tuple(parameter.shape)}\n".encode())
            found.update(parameter.detach().cpu().contiguous().numpy().data)
    return found.hexdigest()
