"""Set-up of a run's arithmetic and threads, and its initial training state."""

import torch

from resnet_lab.config.compute import ComputeConfig
from resnet_lab.config.schema import RunConfig
from resnet_lab.errors import ConfigError
from resnet_lab.models.blocks import Block
from resnet_lab.models.compile import compile_blocks
from resnet_lab.models.resnet import ResNet, build
from resnet_lab.models.sync_norm import synchronise
from resnet_lab.run.device import set_arithmetic, set_threads
from resnet_lab.run.ranks import ALONE, Ranks
from resnet_lab.train.replicas import Replicas
from resnet_lab.train.state import TrainState, new_state


def set_up(compute: ComputeConfig, device: torch.device, threads: int | None) -> int:
    """Configure this process's arithmetic and threads; returns the number of threads in effect.

    Raises ConfigError if the device does not support the settings.
    """
    if compute.cuda_graphs and device.type != "cuda":
        raise ConfigError(f"compute.cuda_graphs requires a CUDA device, not {device.type}: omit it, or use --device cuda.")
    set_arithmetic(deterministic=compute.deterministic)
    return set_threads(threads)


def initial_state(config: RunConfig, device: torch.device, start: ResNet | None = None, ranks: Ranks = ALONE) -> TrainState:
    """The training state before the first step, with blocks compiled or recomputed as configured (`auto` must be resolved).

    Weights are initialised from the seed, or copied from `start` if given. `ranks` share the replicas of a batch.
    """
    net = build(config.model, config.seed, device, config.data.num_classes)
    if start is not None:
        net.load_state_dict(start.state_dict())
    if config.compute.bn == "sync" and ranks.size > 1:
        synchronise(net, ranks.gather)
    if config.compute.recompute_blocks:
        for module in net.modules():
            if isinstance(module, Block):
                module.recompute = True
    if config.compute.compile is True:
        compile_blocks(net, cuda_graphs=config.compute.cuda_graphs)
    num_parts = config.compute.replicas if config.compute.bn == "replica" else ranks.size  # a rank computes its images at once
    replicas = Replicas(num_parts, ranks.rank, ranks.size, ranks.gather)
    compiled_batch = config.recipe.batch_size // replicas.count if config.compute.compile is True else None
    return new_state(net, config.recipe, config.model.depth, compiled_batch, replicas)
