"""The processes that train one run together: ranks, as started by torchrun. Rank 0 alone writes.

Without torchrun there is one rank, and nothing of `torch.distributed` is imported. `run/group.py` has the ranks of torchrun.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resnet_lab.config.schema import RunConfig
from resnet_lab.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
Row = tuple[float, float, float]


class Ranks:
    """The ranks of a run as seen by one of them; this class is the only rank of its run.

    All ranks call the same methods in the same order. Raises JobError if another rank has ended.
    """

    rank = 0
    size = 1

    def gather(self, row: "Tensor") -> "Tensor":
        """The rows `(size, ...)` of all ranks, in their order."""
        return row.unsqueeze(0)

    def highest(self, *values: int) -> tuple[int, ...]:
        """The highest value of any rank, for each of these."""
        return values

    def in_turn(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows of all ranks, taken in turn: the first of each rank, then the second of each. No rank has more than rank 0."""
        return rows

    def share(self, content: bytes | None) -> bytes:
        """The content that rank 0 passes; the others pass None."""
        assert content is not None
        return content

    def device(self, name: str) -> str:
        """The device of this rank for a value of --device. Raises ConfigError."""
        return name

    def share_of(self, config: RunConfig) -> RunConfig:
        """The config of a run with the work of one rank, to measure its speed; it leaves out what ranks exchange."""
        if self.size == 1:
            return config
        replicas = config.compute.replicas // self.size
        compute = config.compute.model_copy(update={"replicas": replicas, "bn": config.compute.bn if replicas > 1 else "replica"})
        recipe = config.recipe.model_copy(update={"batch_size": config.recipe.batch_size // self.size})
        return config.model_copy(update={"compute": compute, "recipe": recipe})

    def check(self, config: RunConfig) -> None:
        """Raise ConfigError unless the run's replicas can be shared equally among the ranks."""
        replicas = config.compute.replicas
        if replicas % self.size:
            raise ConfigError(
                f"{self.size} processes cannot share compute.replicas = {replicas} equally: start a number of processes that "
                f"divides it, or another run with --set compute.replicas={self.size} and another --study NAME."
            )


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks that torchrun has started; ALONE without torchrun. Raises JobError.

    A LabError that ends one rank ends the others with the same error.
    """
    if num_started() == 1:
        yield ALONE
        return
    from resnet_lab.run.group import Group  # noqa: PLC0415  # imports torch.distributed, which takes a second

    with Group() as group:
        yield group


def num_started() -> int:
    """The number of processes that torchrun has started for this job; 1 without torchrun."""
    return _started("WORLD_SIZE", 1)


def own_rank() -> int:
    """The rank that torchrun has given this process; 0 without torchrun."""
    return _started("RANK", 0)


def _started(name: str, default: int) -> int:
    return int(os.environ[name]) if all(variable in os.environ for variable in _VARIABLES) else default
