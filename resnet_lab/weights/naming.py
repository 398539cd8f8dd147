"""Translation of parameter and buffer names between this package, torchvision, and common repositories for CIFAR-10.

torchvision's networks (`resnet18` to `resnet152`) are residual, of the ImageNet layout, with shortcuts of option B and the
stride on the 3x3 layer:
https://github.com/pytorch/vision/blob/main/torchvision/models/resnet.py
"""

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from resnet_lab.config.blocks import BLOCKS

# Our name and torchvision's; N matches a number and * the rest of the name.
_NAMES = (
    ("stem.conv.*", "conv1.*"),
    ("stem.norm.*", "bn1.*"),
    *dict.fromkeys(row for facts in BLOCKS.values() for row in facts.names),
    ("stages.N.N.shortcut.conv.*", "layerN.N.downsample.0.*"),
    ("stages.N.N.shortcut.norm.*", "layerN.N.downsample.1.*"),
    ("head.*", "fc.*"),
)
# Names in which repositories for CIFAR-10 differ, such as akamaster/pytorch_resnet_cifar10 and kuangliu/pytorch-cifar.
_CIFAR_NAMES = (
    ("stages.N.N.shortcut.conv.*", "layerN.N.shortcut.0.*"),
    ("stages.N.N.shortcut.norm.*", "layerN.N.shortcut.1.*"),
    ("head.*", "linear.*"),
)
# Our names of parameters that only networks with other settings than the paper's have; see docs/interventions.md.
_ONLY_OURS = (
    "stages.N.N.branch_scale",
    *(f"{layer}.{name}" for layer in ("stem", "stages.N.N.convN") for name in ("bias_before", "bias_after", "scale")),
    "tail.norm.*",
    "tail.bias",
)


def to_torchvision(name: str) -> str:
    """Translate one of our names: `stages.0.1.conv2.norm.weight` becomes `layer1.1.bn2.weight`. Raises KeyError."""
    return _translated(name, list(_NAMES), stage_shift=1)


def from_torchvision(name: str) -> str:
    """Translate one of torchvision's names to ours. Raises KeyError."""
    return _translated(name, [(theirs, ours) for ours, theirs in _NAMES], stage_shift=-1)


def is_ours(name: str) -> bool:
    """Whether a name is one of ours."""
    return any(_match(pattern, name) for pattern in (*(ours for ours, _ in _NAMES), *_ONLY_OURS))


def to_ours(name: str) -> str:
    """Translate a name of ours, of torchvision or of a common repository for CIFAR-10 to ours. Raises KeyError."""
    if is_ours(name):
        return name
    return _translated(name, [(theirs, ours) for ours, theirs in _NAMES + _CIFAR_NAMES], stage_shift=-1)


def named_as_in(names: Collection[str], name: str) -> str:
    """Translate one of our names to the convention of `names`: `head.bias` to `linear.bias` if they contain `linear.weight`."""
    if names and all(map(is_ours, names)):
        return name
    used = [row for row in _CIFAR_NAMES if any(_match(row[1], other) for other in names)]
    return _translated(name, [*used, *_NAMES], stage_shift=1)


def state_to_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our state dict with torchvision's names. Raises KeyError."""
    return {to_torchvision(name): value for name, value in state.items()}


def state_from_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return torchvision's state dict with our names. Raises KeyError."""
    return {from_torchvision(name): value for name, value in state.items()}


def _translated(name: str, table: list[tuple[str, str]], stage_shift: int) -> str:
    for source, target in table:
        match = _match(source, name)
        if match is not None:
            return _filled(target, list(match.groups()), stage_shift)
    raise KeyError(name)


def _match(pattern: str, name: str) -> re.Match[str] | None:
    return re.fullmatch(re.escape(pattern).replace("N", r"(\d+)").replace(r"\*", "(.+)"), name)


def _filled(pattern: str, parts: list[str], stage_shift: int) -> str:
    """Replace each N and * in turn; the first N is the stage, which we count from 0 and torchvision from 1."""
    if "N" in pattern:
        parts = [str(int(parts[0]) + stage_shift), *parts[1:]]
    for part in parts:
        pattern = re.sub(r"[N*]", part, pattern, count=1)
    return pattern
