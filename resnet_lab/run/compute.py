"""From a config to a network ready to train: its device, threads and arithmetic, its initial state, compiled or not."""

import torch

from resnet_lab.config.schema import ComputeConfig, RunConfig
from resnet_lab.errors import ConfigError
from resnet_lab.models.blocks import Block
from resnet_lab.models.compile import compile_blocks
from resnet_lab.models.resnet import ResNet, build
from resnet_lab.run.device import set_arithmetic, set_threads
from resnet_lab.train.state import TrainState, new_state


def set_up(compute: ComputeConfig, device: torch.device, threads: int | None) -> int:
    """Set this process's arithmetic and threads; returns the number of threads in force.

    Raises ConfigError where the device cannot do what the settings ask for.
    """
    if compute.cuda_graphs and device.type != "cuda":
        raise ConfigError(f"compute.cuda_graphs needs a CUDA device, and this is {device.type}: leave it out, or --device cuda.")
    set_arithmetic(deterministic=compute.deterministic)
    return set_threads(threads)


def initial_state(config: RunConfig, device: torch.device, start: ResNet | None = None) -> TrainState:
    """The network before its first step, its blocks compiled or recomputed as the config says (`auto` must have been decided).

    It starts from the seed, or as a copy of `start` where that is given.
    """
    net = build(config.model, config.seed, device, config.data.num_classes)
    if start is not None:
        net.load_state_dict(start.state_dict())
    if config.compute.recompute_blocks:
        for module in net.modules():
            if isinstance(module, Block):
                module.recompute = True
    if config.compute.compile is True:
        compile_blocks(net, cuda_graphs=config.compute.cuda_graphs)
    return new_state(net, config.recipe, config.model.depth, config.recipe.batch_size if config.compute.compile is True else None)
