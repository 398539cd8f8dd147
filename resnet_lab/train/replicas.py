"""Replicas: the equal parts of a batch, each normalised by its own BN statistics, as on as many devices.

The gradient is the mean over the replicas' gradients, added in the order of the replicas. The moving averages of BN are those of
replica 0, as in fb.resnet.torch, which saves the network of its first GPU.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Replicas:
    """The `count` replicas of a batch; this process computes those with the numbers `rank`, `rank + size`, and so on.

    `gather` gives the rows `(size, ...)` of all processes in their order, from this process's row.
    """

    count: int = 1
    rank: int = 0
    size: int = 1
    gather: Callable[[Tensor], Tensor] = lambda row: row.unsqueeze(0)

    def own(self, batch: Tensor) -> Tensor:
        """The rows of this process's replicas, in order, from a tensor with a row per image of the batch."""
        return batch if self.size == 1 else batch.view(self.count, -1, *batch.shape[1:])[self.rank :: self.size].flatten(0, 1)

    def own_parts(self, images: Tensor) -> Sequence[Tensor]:
        """The parts of a tensor from `own`, one per replica of this process."""
        return images.chunk(self.count // self.size)


WHOLE = Replicas()  # one replica: the whole batch


class Accumulation:
    """The sums over the replicas of a batch: of losses, numbers of misclassified images, and gradients."""

    def __init__(self, net: nn.Module, replicas: Replicas) -> None:
        self._net, self._replicas = net, replicas
        self._sums: Tensor | None = None
        self._averages: Tensor | None = None  # of replica 0
        self._counters: list[Tensor] = []

    @torch.no_grad()
    def add(self, loss: Tensor, wrong: Tensor) -> None:
        """Add what the network holds after the backward pass of one replica, and of those of the other processes."""
        averages, counters = self._buffers()
        gradients = [parameter.grad.flatten() for parameter in self._net.parameters() if parameter.grad is not None]
        values = torch.cat([loss.view(1), wrong.view(1), *gradients, *(buffer.flatten() for buffer in averages)])
        num_sums = len(values) - sum(buffer.numel() for buffer in averages)
        for row in self._replicas.gather(values):
            if self._sums is None:
                self._sums, self._averages = row[:num_sums].clone(), row[num_sums:].clone()
                self._counters = [counter.clone() for counter in counters]
            else:
                self._sums += row[:num_sums]

    @torch.no_grad()
    def finish(self) -> tuple[Tensor, Tensor]:
        """Set the gradients to their mean and the moving averages to those of replica 0; gives the mean loss and `wrong`."""
        assert self._sums is not None
        assert self._averages is not None
        parameters = list(self._net.parameters())
        loss, wrong, *gradients = torch.split(self._sums, [1, 1, *(parameter.numel() for parameter in parameters)])
        for parameter, gradient in zip(parameters, gradients, strict=True):
            assert parameter.grad is not None
            parameter.grad.copy_(gradient.view_as(parameter)).div_(self._replicas.count)
        averages, counters = self._buffers()
        for average, value in zip(averages, torch.split(self._averages, [buffer.numel() for buffer in averages]), strict=True):
            average.copy_(value.view_as(average))
        for counter, count in zip(counters, self._counters, strict=True):
            counter.copy_(count)
        return loss.squeeze(0) / self._replicas.count, wrong.squeeze(0).to(torch.int64)

    def _buffers(self) -> tuple[list[Tensor], list[Tensor]]:
        """The moving averages, and the numbers of batches that they have seen."""
        buffers = list(self._net.buffers())
        averages = [buffer for buffer in buffers if buffer.is_floating_point()]
        return averages, [buffer for buffer in buffers if not buffer.is_floating_point()]
