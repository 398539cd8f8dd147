"""Which depths a network can have, and its blocks by stage (He et al. 2015, Sec. 4.2 and Table 1)."""

from resnet_lab.config.blocks import BLOCKS, DEFAULT_BLOCK, BlockType
from resnet_lab.config.terms import Layout

_CIFAR_STAGES = 3


def stage_blocks(layout: Layout, block: BlockType, depth: int) -> tuple[int, ...]:
    """Blocks of each stage of a valid depth: three times n, or Table 1's four numbers."""
    if layout == "imagenet":
        return BLOCKS[block].table_1[depth]
    return ((depth - 2) // _layers_per_n(block),) * _CIFAR_STAGES


def depth_of(layout: Layout, block: BlockType, stages: tuple[int, ...]) -> int | None:
    """The depth of the network with so many blocks in each stage; None where there is none such."""
    if layout == "cifar":
        return 2 + stages[0] * _layers_per_n(block) if len(set(stages)) == 1 else None
    return next((depth for depth, blocks in BLOCKS[block].table_1.items() if blocks == stages), None)


def depth_problem(layout: Layout, block: BlockType, depth: int) -> str | None:
    """What is wrong with a depth; None where it is valid."""
    return _cifar_depth_problem(block, depth) if layout == "cifar" else _imagenet_depth_problem(block, depth)


def _layers_per_n(block: BlockType) -> int:
    """Weighted layers of one block in every stage: the 6 of 6n+2."""
    return _CIFAR_STAGES * BLOCKS[block].num_layers


def _cifar_depth_problem(block: BlockType, depth: int) -> str | None:
    """What is wrong with a depth in the CIFAR layout; None where it is `step` n + 2."""
    step = _layers_per_n(block)
    if depth >= step + 2 and depth % step == 2:
        return None
    below = max(step + 2, (depth - 2) // step * step + 2)
    nearest = f"{below} and {below + step}" if depth > step + 2 else f"{below}"
    blocks = "blocks" if block == DEFAULT_BLOCK else f"{block} blocks"
    return f"Depth {depth} is not {step}n+2 (n {blocks} a stage); the nearest valid: {nearest}"


def _imagenet_depth_problem(block: BlockType, depth: int) -> str | None:
    """What is wrong with a depth in the ImageNet layout; None where it is one of Table 1."""
    valid = list(BLOCKS[block].table_1)
    if depth in valid:
        return None
    below, above = [each for each in valid if each < depth][-1:], [each for each in valid if each > depth][:1]
    other = next((f", and {depth} with {name} blocks" for name, facts in BLOCKS.items() if depth in facts.table_1), "")
    nearest = " and ".join(map(str, below + above))
    return f"Depth {depth} is not one of Table 1 with {block} blocks; the nearest valid: {nearest}{other}"


DEPTH_HELP = (
    ", ".join(f"{_layers_per_n(block)}n+2 with {facts.plural}" for block, facts in BLOCKS.items())
    + "; imagenet layout: "
    + " and ".join(f"{', '.join(map(str, facts.table_1))} with {facts.plural}" for facts in BLOCKS.values())
)
