"""Valid network depths and the number of blocks per stage (He et al. 2015, Sec. 4.2 and Table 1)."""

from resnet_lab.config.blocks import BLOCKS, DEFAULT_BLOCK, DEFAULT_SPAN, BlockType, Span, facts_of
from resnet_lab.config.terms import Layout

_CIFAR_STAGES = 3


def stage_blocks(layout: Layout, block: BlockType, depth: int, span: Span = DEFAULT_SPAN) -> tuple[int, ...]:
    """Blocks per stage at a valid depth: n in each of three stages, or the four numbers of Table 1."""
    if layout == "imagenet":
        return BLOCKS[block].table_1[depth]
    return ((depth - 2) // _layers_per_n(block, span),) * _CIFAR_STAGES


def depth_of(layout: Layout, block: BlockType, stages: tuple[int, ...], span: Span = DEFAULT_SPAN) -> int | None:
    """The depth of the network with these blocks per stage; None if no network has them."""
    if layout == "cifar":
        return 2 + stages[0] * _layers_per_n(block, span) if len(set(stages)) == 1 else None
    return next((depth for depth, blocks in BLOCKS[block].table_1.items() if blocks == stages), None)


def depth_problem(layout: Layout, block: BlockType, depth: int, span: Span = DEFAULT_SPAN) -> str | None:
    """Why a depth is invalid; None if it is valid."""
    return _cifar_depth_problem(block, depth, span) if layout == "cifar" else _imagenet_depth_problem(block, depth)


def _layers_per_n(block: BlockType, span: Span = DEFAULT_SPAN) -> int:
    """Weighted layers added per unit of n, one block in each stage: the 6 of 6n+2."""
    return _CIFAR_STAGES * facts_of(block, span).num_layers


def _cifar_depth_problem(block: BlockType, depth: int, span: Span) -> str | None:
    """Why a depth is invalid in the CIFAR layout; None if it is `step` n + 2."""
    step = _layers_per_n(block, span)
    if depth >= step + 2 and depth % step == 2:
        return None
    below = max(step + 2, (depth - 2) // step * step + 2)
    nearest = f"{below} and {below + step}" if depth > step + 2 else f"{below}"
    blocks = "blocks" if block == DEFAULT_BLOCK else f"{block} blocks"
    if span != DEFAULT_SPAN:
        blocks += f" of {span} layer{'s' if span > 1 else ''}"
    return f"Depth {depth} is not of the form {step}n+2 (n {blocks} per stage); nearest valid: {nearest}"


def _imagenet_depth_problem(block: BlockType, depth: int) -> str | None:
    """Why a depth is invalid in the ImageNet layout; None if Table 1 lists it."""
    valid = list(BLOCKS[block].table_1)
    if depth in valid:
        return None
    below, above = [other for other in valid if other < depth][-1:], [other for other in valid if other > depth][:1]
    alternative = next((f", or {depth} with {name} blocks" for name, facts in BLOCKS.items() if depth in facts.table_1), "")
    nearest = " and ".join(map(str, below + above))
    return f"Depth {depth} with {block} blocks is not in Table 1; nearest valid: {nearest}{alternative}"


DEPTH_HELP = (
    ", ".join(f"{_layers_per_n(block)}n+2 with {facts.plural}" for block, facts in BLOCKS.items())
    + "; imagenet layout: "
    + " and ".join(f"{', '.join(map(str, facts.table_1))} with {facts.plural}" for facts in BLOCKS.values())
)
