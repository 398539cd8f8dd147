"""The types of blocks: what settings, networks and files of weights need to know of each, without torch.

He et al. 2015, Fig. 5 and Table 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

BlockType = Literal["basic", "bottleneck"]
StrideOn = Literal["1x1", "3x3"]

DEFAULT_BLOCK: BlockType = "basic"
_CONV_NORM_NAMES = (
    ("stages.N.N.convN.conv.*", "layerN.N.convN.*"),
    ("stages.N.N.convN.norm.*", "layerN.N.bnN.*"),
)


@dataclass(frozen=True)
class BlockFacts:
    """One type of block; its class is in `models/blocks.py`.

    `kernels`: the side of the filters of each layer of the branch. All layers have the stage's width but the last, which has
        `expansion` times as many channels.
    `table_1`: the blocks of each stage, by depth, in the imagenet layout.
    `seen_by`: a parameter by which a file of weights is known to have this type; those above it in the table lack it.
    `settings`: the model's settings that only this type has.
    `why_not_identity`: why a plain block cannot compute the identity; None where it can.
    `names`: its parameters, ours and torchvision's; N is a number and * whatever follows.
    """

    kernels: tuple[int, ...]
    expansion: int
    words: str
    plural: str
    table_1: Mapping[int, tuple[int, ...]]
    seen_by: str
    settings: tuple[str, ...] = ()
    why_not_identity: str | None = None
    names: tuple[tuple[str, str], ...] = _CONV_NORM_NAMES
    in_torchvision: bool = True

    @property
    def num_layers(self) -> int:
        """Weighted layers of the branch."""
        return len(self.kernels)

    @property
    def chooses_stride(self) -> bool:
        """Whether `stride_on` says which layer halves the map."""
        return "stride_on" in self.settings


BLOCKS: Mapping[BlockType, BlockFacts] = {
    "basic": BlockFacts(
        kernels=(3, 3),
        expansion=1,
        words="two 3x3 layers",
        plural="basic blocks",
        table_1={18: (2, 2, 2, 2), 34: (3, 4, 6, 3)},
        seen_by="stages.0.0.conv1.conv.weight",
    ),
    "bottleneck": BlockFacts(
        kernels=(1, 3, 1),
        expansion=4,
        words="1x1, 3x3 and 1x1 (Fig. 5)",
        plural="bottlenecks",
        table_1={50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)},
        seen_by="stages.0.0.conv3.conv.weight",
        settings=("stride_on",),
        why_not_identity="its layers inside have a quarter of the channels",
    ),
}
BLOCK_HELP = "; ".join(f"{name}: {facts.words}" for name, facts in BLOCKS.items())
STRIDE_BLOCKS = " or ".join(facts.plural for facts in BLOCKS.values() if facts.chooses_stride)
