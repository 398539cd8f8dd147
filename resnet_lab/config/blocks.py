"""The block types and their properties, used by settings, networks and weights files; imports no torch.

He et al. 2015, Fig. 5 and Table 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

BlockType = Literal["basic", "bottleneck"]
StrideOn = Literal["1x1", "3x3"]
Span = Literal[1, 2, 3]

DEFAULT_BLOCK: BlockType = "basic"
DEFAULT_SPAN: Span = 2  # layers of a basic block
_CONV_NORM_NAMES = (
    ("stages.N.N.convN.conv.*", "layerN.N.convN.*"),
    ("stages.N.N.convN.norm.*", "layerN.N.bnN.*"),
)


@dataclass(frozen=True)
class BlockFacts:
    """Properties of one block type; `models/blocks.py` builds a block from them.

    `kernels`: kernel size of each layer of the branch. Every layer has the stage's width, except the last, which has
        `expansion` times as many channels.
    `table_1`: blocks per stage, by depth, in the imagenet layout.
    `seen_by`: a parameter whose presence in a weights file identifies this type; types listed earlier in `BLOCKS` lack it.
    `settings`: model settings that apply only to this type.
    `why_not_identity`: why a plain block cannot compute the identity; None if it can.
    `names`: patterns of parameter names, ours and torchvision's; N matches a number, * any suffix.
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
    def chooses_span(self) -> bool:
        """Whether the setting `span` is the number of layers."""
        return "span" in self.settings

    def strided_layer(self, stride_on: StrideOn) -> int:
        """The index of the layer that has the block's stride: the first, or the 3x3 layer if that is chosen."""
        return self.kernels.index(3) if self.chooses_stride and stride_on == "3x3" else 0

    @property
    def num_layers(self) -> int:
        """Weighted layers in the branch."""
        return len(self.kernels)

    @property
    def chooses_stride(self) -> bool:
        """Whether the setting `stride_on` selects the layer that has the stride."""
        return "stride_on" in self.settings


BLOCKS: Mapping[BlockType, BlockFacts] = {
    "basic": BlockFacts(
        kernels=(3, 3),
        expansion=1,
        words="two 3x3 layers",
        plural="basic blocks",
        table_1={18: (2, 2, 2, 2), 34: (3, 4, 6, 3)},
        seen_by="stages.0.0.conv1.conv.weight",
        settings=("span",),
    ),
    "bottleneck": BlockFacts(
        kernels=(1, 3, 1),
        expansion=4,
        words="1x1, 3x3 and 1x1 (Fig. 5)",
        plural="bottlenecks",
        table_1={50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)},
        seen_by="stages.0.0.conv3.conv.weight",
        settings=("stride_on",),
        why_not_identity="its inner layers have a quarter of the channels",
    ),
}


@cache
def facts_of(block: BlockType, span: Span) -> BlockFacts:
    """The properties of a block type; basic blocks have `span` layers, the others have no such choice."""
    facts = BLOCKS[block]
    return replace(facts, kernels=facts.kernels[:1] * span) if facts.chooses_span else facts


BLOCK_HELP = "; ".join(f"{name}: {facts.words}" for name, facts in BLOCKS.items())
STRIDE_BLOCKS = " or ".join(facts.plural for facts in BLOCKS.values() if facts.chooses_stride)
