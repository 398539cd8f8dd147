"""Which depths a network can have, and its blocks by stage (He et al. 2015, Sec. 4.2 and Table 1)."""

from resnet_lab.config.terms import Block, Layout

IMAGENET_BLOCKS: dict[tuple[Block, int], tuple[int, ...]] = {  # by stage, of Table 1
    ("basic", 18): (2, 2, 2, 2),
    ("basic", 34): (3, 4, 6, 3),
    ("bottleneck", 50): (3, 4, 6, 3),
    ("bottleneck", 101): (3, 4, 23, 3),
    ("bottleneck", 152): (3, 8, 36, 3),
}
_CIFAR_STAGES, _BLOCK_LAYERS = 3, {"basic": 2, "bottleneck": 3}


def stage_blocks(layout: Layout, block: Block, depth: int) -> tuple[int, ...]:
    """Blocks of each stage of a valid depth: three times n, or Table 1's four numbers."""
    if layout == "imagenet":
        return IMAGENET_BLOCKS[block, depth]
    return ((depth - 2) // (_CIFAR_STAGES * _BLOCK_LAYERS[block]),) * _CIFAR_STAGES


def depth_problem(layout: Layout, block: Block, depth: int) -> str | None:
    """What is wrong with a depth; None where it is valid."""
    return _cifar_depth_problem(block, depth) if layout == "cifar" else _imagenet_depth_problem(block, depth)


def _cifar_depth_problem(block: Block, depth: int) -> str | None:
    """What is wrong with a depth in the CIFAR layout; None where it is `step` n + 2."""
    step = _CIFAR_STAGES * _BLOCK_LAYERS[block]
    if depth >= step + 2 and depth % step == 2:
        return None
    below = max(step + 2, (depth - 2) // step * step + 2)
    nearest = f"{below} and {below + step}" if depth > step + 2 else f"{below}"
    blocks = "blocks" if block == "basic" else "bottleneck blocks"
    return f"Depth {depth} is not {step}n+2 (n {blocks} a stage); the nearest valid: {nearest}"


def _imagenet_depth_problem(block: Block, depth: int) -> str | None:
    """What is wrong with a depth in the ImageNet layout; None where it is one of Table 1."""
    valid = [each for kind, each in IMAGENET_BLOCKS if kind == block]
    if depth in valid:
        return None
    below, above = [each for each in valid if each < depth][-1:], [each for each in valid if each > depth][:1]
    other = next((f", and {depth} with {kind} blocks" for kind, each in IMAGENET_BLOCKS if each == depth), "")
    nearest = " and ".join(map(str, below + above))
    return f"Depth {depth} is not one of Table 1 with {block} blocks; the nearest valid: {nearest}{other}"
