"""The ranks that torchrun has started, which exchange tensors through `torch.distributed`: gloo on CPUs, NCCL between GPUs.

Every exchange ends at once where a rank has ended, since the operating system closes its connections. What it ended with is in
the store, which is a part of torchrun.
"""

import json
import os
import secrets
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore, Store, _get_default_store
from torch.distributed.rendezvous import rendezvous

from resnet_lab import errors
from resnet_lab.errors import ConfigError, JobError, LabError
from resnet_lab.run.ranks import Ranks, Row

_Result = TypeVar("_Result")
_OUTCOME = "resnet-lab/outcome"
_PAUSE_SECONDS = 0.02


class Group(Ranks):
    """The ranks of torchrun's environment variables; a context at whose end they part."""

    def __init__(self) -> None:
        self.rank, self.size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self._local_rank = int(os.environ["LOCAL_RANK"])

    def device(self, name: str) -> str:
        """The device of this rank for a value of --device: on CUDA, every rank of a host has a GPU of its own."""
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name not in ("cpu", "cuda"):
            raise ConfigError(f"Several processes train on cpu or cuda, one GPU each, not on {name}: use --device cpu or cuda.")
        if name == "cpu":
            return name
        if self._local_rank >= torch.cuda.device_count():
            raise ConfigError(
                f"There are more processes than the {torch.cuda.device_count()} GPUs of this machine: start one per GPU, or use "
                "--device cpu."
            )
        torch.cuda.set_device(self._local_rank)
        return f"cuda:{self._local_rank}"

    def __enter__(self) -> Self:
        self._exchange(self._join)
        return self

    def _join(self) -> None:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        store, _, _ = next(rendezvous("env://"))
        store = PrefixStore(agreed_name(store, self.rank, self.size), store)
        distributed.init_process_group(backend, store=store, rank=self.rank, world_size=self.size)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if error is None:
            distributed.destroy_process_group()
        elif isinstance(error, LabError) and not isinstance(error, JobError):
            by = f"Rank {self.rank}: " if self.rank else ""
            outcome = json.dumps([type(error).__name__, f"{by}{error}"])
            self._exchange(lambda: _get_default_store().compare_set(_OUTCOME, "", outcome))  # the first one counts

    def gather(self, row: Tensor) -> Tensor:
        """The rows `(size, ...)` of all ranks, in their order."""
        rows = row.new_empty(self.size, *row.shape)
        self._exchange(lambda: distributed.all_gather(list(rows), row.contiguous()))
        return rows

    def highest(self, *values: int) -> tuple[int, ...]:
        """The highest value of any rank, for each of these."""
        highest = torch.tensor(values)
        self._exchange(lambda: distributed.all_reduce(highest, distributed.ReduceOp.MAX))
        return tuple(highest.tolist())

    def in_turn(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows of all ranks, taken in turn: the first of each rank, then the second of each. No rank has more than rank 0."""
        [most] = self.highest(len(rows))
        padding = [(0.0, 0.0, 0.0)] * (most - len(rows))
        all_rows = self.gather(torch.tensor([*rows, *padding], dtype=torch.float64))
        return [(a, b, c) for a, b, c in all_rows.transpose(0, 1).flatten(0, 1).tolist()]

    def share(self, content: bytes | None) -> bytes:
        """The content that rank 0 passes; the others pass None."""
        [length] = self.highest(len(content or b""))
        values = torch.frombuffer(bytearray(content or bytes(length)), dtype=torch.uint8) if length else torch.empty(0)
        if length:
            self._exchange(lambda: distributed.broadcast(values, 0))
        return values.numpy().tobytes()

    def _exchange(self, exchange: Callable[[], _Result]) -> _Result:
        """The result of an exchange. Raises the error that ended another rank, or JobError."""
        try:
            return exchange()
        except RuntimeError as error:
            raise self._outcome(error) from None

    def _outcome(self, error: RuntimeError) -> LabError:
        """The error that ended another rank; a JobError if it did not say, such as one that was killed."""
        try:
            store = _get_default_store()
            if store.check([_OUTCOME]):
                name, message = json.loads(store.get(_OUTCOME))
                kind: type[LabError] = getattr(errors, name)
                return kind(message)
        except (RuntimeError, ValueError):  # the store has ended too, or there has never been one
            pass
        reason = str(error).partition("\n")[0]
        return JobError(
            f"Another process of this job has ended or cannot be reached ({reason}): start the job again to resume the run from "
            "its last checkpoint."
        )


def agreed_name(store: Store, rank: int, size: int) -> str:
    """A name that rank 0 chooses and all ranks of this start of a job agree on.

    torchrun keeps its store when it starts a job again. Without a name, ranks would find the addresses of those that have ended.
    So every rank answers until its partner has answered to what it says in this start.
    """
    own = secrets.token_hex(8)
    if rank:
        while True:
            store.set(f"hello/{rank}", own)
            name: str
            name, greeted = store.get(f"name/{rank}").decode().split()
            if greeted == own:
                store.set(f"agreed/{name}/{rank}", "")
                return name
            time.sleep(_PAUSE_SECONDS)
    waiting = set(range(1, size))
    while waiting:
        for other in waiting:
            store.set(f"name/{other}", f"{own} {store.get(f'hello/{other}').decode()}")
        waiting = {other for other in waiting if not store.check([f"agreed/{own}/{other}"])}
        time.sleep(_PAUSE_SECONDS)
    return own
