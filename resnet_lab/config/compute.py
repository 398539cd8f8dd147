"""How a run computes."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from resnet_lab.config.durations import Integer
from resnet_lab.config.identity import Later
from resnet_lab.config.section import Section


class ComputeConfig(Section):
    """How a run computes. Most of these settings change results, if only in the last bits, so all runs of a study share them."""

    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: autocast in bfloat16; the weights remain in fp32")
    compile: bool | Literal["auto"] = Field("auto", description="compile the blocks; auto: if a timed trial shows a speed-up")
    cuda_graphs: bool = Field(False, description="replay compiled blocks as CUDA graphs")
    recompute_blocks: Later[bool] = Field(
        False,
        description="store only the blocks' inputs for the backward pass and recompute the rest: less memory, more time",
    )
    deterministic: bool = Field(False, description="on CUDA: use only deterministic algorithms; slower")
    replicas: Later[Integer] = Field(
        1,
        ge=1,
        le=1024,
        description="equal parts of a batch, each with its own BN statistics, as on as many GPUs; the paper's: 2",
    )
    bn: Later[Literal["replica", "sync"]] = Field(
        "replica", description="BN statistics in training are over one part of the batch (replica), or over all of it (sync)"
    )

    @property
    def statistics_parts(self) -> int:
        """The number of parts of a batch that have BN statistics of their own."""
        return self.replicas if self.bn == "replica" else 1


def compute_problems(compute: ComputeConfig, batch_size: int, num_train: int) -> Iterator[tuple[str, str]]:
    """Pairs of key and problem, for settings that contradict each other, or do not fit the batches of `num_train` images."""
    if compute.cuda_graphs and compute.compile is not True:
        yield "compute.cuda_graphs", "CUDA graphs require compiled blocks: set compute.compile = true"
    if compute.recompute_blocks and compute.compile is not False:
        yield "compute.recompute_blocks", "compiled blocks cannot be recomputed: set compute.compile = false"
    if compute.bn == "sync" and compute.replicas == 1:
        yield (
            "compute.bn",
            "with one replica, BN statistics are over the whole batch in any case: omit it, or set compute.replicas",
        )
    remainder = num_train % batch_size
    if batch_size % compute.replicas:
        yield (
            "compute.replicas",
            f"{compute.replicas} replicas cannot have equal parts of a batch of {batch_size} images: choose a divisor of "
            "recipe.batch_size",
        )
    elif num_train >= batch_size and remainder % compute.replicas:
        yield (
            "compute.replicas",
            f"{compute.replicas} replicas cannot have equal parts of an epoch's last batch, {remainder} of {num_train} training "
            f"images: hold out {remainder % compute.replicas} more (data.validation_images), or choose a divisor of {remainder}",
        )
