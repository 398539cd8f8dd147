"""The work of one process on a run, from start or resume to the end or a stop: trains, records, evaluates, saves checkpoints."""

import hashlib
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from resnet_lab.config.schema import RunConfig
from resnet_lab.data.batches import clean_batches, evaluation_batch_size
from resnet_lab.data.digest import data_digest, order_digest
from resnet_lab.data.images import Data, Images
from resnet_lab.data.load import training_batches
from resnet_lab.errors import CheckpointError, DataError, DivergedError, LabError
from resnet_lab.models.cost import count_run
from resnet_lab.models.digest import weights_digest
from resnet_lab.models.fold import folded
from resnet_lab.record.lines import EvalRecord, Event, Record
from resnet_lab.record.tensors import load_tensors
from resnet_lab.rng import generator
from resnet_lab.run.estimate import Forecast, Speed, forecast
from resnet_lab.run.journal import Journal
from resnet_lab.run.ranks import Ranks
from resnet_lab.train.evaluate import evaluate
from resnet_lab.train.loop import train
from resnet_lab.train.state import TrainState

_WAY_OUT = {
    DataError: "name the same data with --data-dir on every machine",
    CheckpointError: "no checkpoint was written; the last one is intact, but check these machines before you resume",
}
Stop = Callable[[], bool]


class _Stopped(Exception):
    """The run was asked to stop. An interrupted evaluation or plateau check is repeated on resume."""


class Session:
    """The work of one process on a run, from start or resume to the end or a stop."""

    def __init__(
        self,
        config: RunConfig,
        journal: Journal,
        data: Data,
        state: TrainState,
        stop: Stop,
        checkpoint_seconds: float,
        ranks: Ranks,
    ) -> None:
        self._config, self._journal, self._data, self._state, self._stop = config, journal, data, state, stop
        self._ranks = ranks
        self._checkpoint_seconds = checkpoint_seconds
        self._batches = training_batches(data, config.recipe.batch_size, config.seed, state.replicas.own)
        self._saved_at = time.monotonic()

    def begin(self, environment: dict[str, object], speed: Speed) -> Iterator[Forecast | Event]:
        """Restore the newest checkpoint, if any, on all ranks, and yield the `started` or `resumed` event and a forecast.

        Raises DataError if ranks have different data.
        """
        cost = count_run(self._config)

        def _facts() -> dict[str, Any]:
            return {
                "parameters": cost.parameters,
                "multiply_adds": cost.multiply_adds,
                "digest": self._config.digest(),
                "sha256": self._digests(),
            }

        if self._ranks.size > 1:
            provenance = json.dumps(self._data.provenance, sort_keys=True).encode()
            self._require_equal(provenance, DataError, "has other images than rank 0")
        event = self._journal.begin(self._config, self._state, environment, self._data.digests, _facts)
        self._share_state()
        yield event
        yield forecast(self._config, cost, speed, from_step=self._state.step)

    def _share_state(self) -> None:
        """Give the other ranks the state of rank 0."""
        if self._ranks.size == 1:
            return
        content = io.BytesIO()
        if self._ranks.rank == 0:
            torch.save(self._state.state_dict(), content)
        shared = self._ranks.share(content.getvalue() or None)
        if self._ranks.rank:
            self._state.load_state_dict(load_tensors(shared))

    def _require_equal(self, content: bytes, error: type[LabError], difference: str) -> None:
        """Raise an error on all ranks if the content of one differs from that of rank 0."""
        digest = torch.frombuffer(bytearray(hashlib.sha256(content).digest()), dtype=torch.uint8)
        digests = self._ranks.gather(digest)
        for rank, other in enumerate(digests):
            if not torch.equal(other, digests[0]):
                raise error(f"At step {self._state.step}, rank {rank} {difference}: {_WAY_OUT[error]}.")

    def _digests(self) -> dict[str, str]:
        """The digests that `verify` compares: of what the runs of a matched pair have in common."""
        return {
            "initial weights": weights_digest(self._state.net),
            "training images": data_digest(self._data),
            "order and augmentation": order_digest(self._batches),
        }

    def train(self) -> Iterator[Record | Event]:
        """Train, record, evaluate and save checkpoints until the run ends or is stopped."""
        try:
            try:
                yield from self._work()
            except _Stopped:
                yield self._save()
                yield self._journal.event("preempted", self._state.step)
                return
            except DataError as error:  # an image in a folder that cannot be decoded
                if self._ranks.size == 1:  # otherwise other ranks may be in the middle of a step
                    yield self._save()
                yield self._journal.event("failed", self._state.step, reason=str(error))
                raise
        except DivergedError:
            self._journal.event("diverged", self._state.step)
            raise
        yield self._journal.finish(self._state.step)

    def _work(self) -> Iterator[Record | Event]:
        config, state = self._config, self._state
        if state.reported_step == state.step and self._of_rank_0(not self._journal.has_evaluated(state.step)):
            yield from self._evaluate_if_due()  # the run was stopped or killed during the evaluation at this step
        for records in train(
            state,
            self._batches,
            config.recipe,
            log_every=config.log.every,
            validate=self._validate,
            precision=config.compute.precision,
        ):
            self._journal.append(*records)
            yield from records
            is_late = time.monotonic() - self._saved_at > self._checkpoint_seconds
            stopped, due = self._ranks.highest(self._stop(), is_late)
            if stopped:
                raise _Stopped
            if due or state.step == config.recipe.steps or state.step in config.log.keep:
                yield self._save()
            yield from self._evaluate_if_due()

    def _save(self) -> Event:
        self._state.raise_if_diverged()
        if self._ranks.size > 1:
            self._require_equal(self._state.digest(), CheckpointError, "has another state than rank 0")
        event = self._journal.save(self._state, self._config.log.keep)
        self._saved_at = time.monotonic()
        return event

    def _of_rank_0(self, value: bool) -> bool:
        """The value that rank 0 passes."""
        return bool(self._ranks.highest(value and self._ranks.rank == 0)[0])

    def _evaluate_if_due(self) -> Iterator[EvalRecord]:
        step, settings = self._state.step, self._config.evaluation
        final = step == self._config.recipe.steps
        if final or (step > 0 and step % settings.every == 0):
            self._state.raise_if_diverged()
            num_images = settings.final_train_images if final else settings.train_images
            views = settings.final_test_views if final else 1
            record = self._evaluate(len(self._data.train) if num_images == "all" else num_images, views)
            self._journal.append(record)
            yield record

    def _evaluate(self, num_train_images: int, test_views: int) -> EvalRecord:
        begin = time.perf_counter()
        net = folded(self._state.net)
        train_subset = self._train_subset(num_train_images)
        train_error, train_loss = self._measure(net, train_subset)
        validation = self._measure(net, self._data.validation) if self._data.validation else (None, None)
        test_error, test_loss = self._measure(net, self._data.test, test_views)
        return EvalRecord(
            step=self._state.step,
            train_error=train_error,
            train_loss=train_loss,
            train_images=len(train_subset),
            validation_error=validation[0],
            validation_loss=validation[1],
            test_error=test_error,
            test_loss=test_loss,
            seconds=time.perf_counter() - begin,
        )

    def _train_subset(self, num_images: int) -> Images:
        """The first `num_images` training images in a seeded order, so that larger subsets contain smaller ones."""
        if num_images >= len(self._data.train):
            return self._data.train
        order = torch.randperm(len(self._data.train), generator=generator(self._config.seed, "evaluation/train"))
        return self._data.train.pick(order[:num_images].to(self._data.train.labels.device))

    def _measure(self, net: nn.Module, images: Images, views: int = 1) -> tuple[float, float]:
        """Error and loss on `images`, which the ranks share. Raises _Stopped as soon as the run is asked to stop."""
        ranks, mean = self._ranks, self._data.mean
        batch_size = evaluation_batch_size(images, mean.device, views)
        rounds = math.ceil(len(images) / batch_size / ranks.size)

        def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            own = clean_batches(images, mean, batch_size, views, slice(ranks.rank, None, ranks.size))
            for _ in range(rounds):
                batch = next(own, None)
                if any(ranks.highest(self._stop())):
                    raise _Stopped
                if batch is not None:
                    yield batch

        return evaluate(net, batches(), self._config.compute.precision, ranks.in_turn)

    def _validate(self) -> tuple[float, float]:
        """Error and loss on the validation images, for a plateau check. Raises _Stopped as `_measure` does."""
        assert self._data.validation is not None
        return self._measure(folded(self._state.net), self._data.validation)
