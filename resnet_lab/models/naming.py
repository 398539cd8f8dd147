"""The names that torchvision gives the parameters and buffers of the same networks (`resnet18` to `resnet152`), and back.

torchvision's networks are residual, of the ImageNet layout, with shortcuts of option B and the stride on the 3x3 layer:
https://github.com/pytorch/vision/blob/main/torchvision/models/resnet.py
"""

import re
from collections.abc import Mapping

from torch import Tensor

# Ours and theirs; N is a number and * whatever follows.
_NAMES = (
    ("stem.conv.*", "conv1.*"),
    ("stem.norm.*", "bn1.*"),
    ("stages.N.N.convN.conv.*", "layerN.N.convN.*"),
    ("stages.N.N.convN.norm.*", "layerN.N.bnN.*"),
    ("stages.N.N.shortcut.conv.*", "layerN.N.downsample.0.*"),
    ("stages.N.N.shortcut.norm.*", "layerN.N.downsample.1.*"),
    ("head.*", "fc.*"),
)


def to_torchvision(name: str) -> str:
    """The name that torchvision has for one of ours: `stages.0.1.conv2.norm.weight` is `layer1.1.bn2.weight`. Raises KeyError."""
    return _translated(name, list(_NAMES), stage_shift=1)


def from_torchvision(name: str) -> str:
    """Our name for one of torchvision's. Raises KeyError."""
    return _translated(name, [(theirs, ours) for ours, theirs in _NAMES], stage_shift=-1)


def state_to_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict under torchvision's names. Raises KeyError."""
    return {to_torchvision(name): value for name, value in state.items()}


def state_from_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of torchvision's under our names. Raises KeyError."""
    return {from_torchvision(name): value for name, value in state.items()}


def _translated(name: str, table: list[tuple[str, str]], stage_shift: int) -> str:
    for source, target in table:
        match = re.fullmatch(re.escape(source).replace("N", r"(\d+)").replace(r"\*", "(.+)"), name)
        if match is not None:
            return _filled(target, list(match.groups()), stage_shift)
    raise KeyError(name)


def _filled(pattern: str, parts: list[str], stage_shift: int) -> str:
    """The pattern with its Ns and its * replaced in turn; the first N is a stage: ours count from 0, their layers from 1."""
    if "N" in pattern:
        parts = [str(int(parts[0]) + stage_shift), *parts[1:]]
    for part in parts:
        pattern = re.sub(r"[N*]", part, pattern, count=1)
    return pattern
