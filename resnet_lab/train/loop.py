"""The training loop: a generator that performs updates and yields the records due after each."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import get_total_norm

from resnet_lab.config.schema import Plateau, RecipeConfig
from resnet_lab.record.lines import Record, TrainRecord, ValidationRecord
from resnet_lab.train.evaluate import Precision, autocast
from resnet_lab.train.replicas import Accumulation
from resnet_lab.train.schedule import after_check, after_warmup_window, lr_at
from resnet_lab.train.state import TrainState

Batch = tuple[Tensor, Tensor]


def train(
    state: TrainState,
    batch_at: Callable[[int], Batch],
    recipe: RecipeConfig,
    *,
    log_every: int,
    validate: Callable[[], tuple[float, float]],
    precision: Precision = "fp32",
) -> Iterator[tuple[Record, ...]]:
    """Train to the recipe's last step, yielding after every update the records due at that step: none, one or two.

    `batch_at(step)` gives images `(N, 3, H, W)` and labels `(N,)`. `validate()` gives validation error and loss; only a plateau
    schedule calls it. If it raises, the state can be saved: the next call repeats the check, but not the update.
    Raises DivergedError if the loss or its gradient becomes NaN or infinite; the weights keep the last finite update.
    """
    state.net.train()
    while state.reported_step < recipe.steps:
        step = state.reported_step + 1
        log_due = step % log_every == 0 or step == recipe.steps
        if state.step < step:
            _advance(state, batch_at, recipe, precision, wait=log_due)
        check = None
        if isinstance(recipe.schedule, Plateau) and step % recipe.schedule.every == 0:
            check = _check_plateau(state, recipe.schedule, validate)
        log = _log(state) if log_due else None
        state.reported_step = step
        yield tuple(record for record in (log, check) if record is not None)


def _advance(
    state: TrainState, batch_at: Callable[[int], Batch], recipe: RecipeConfig, precision: Precision, *, wait: bool
) -> None:
    """Make an update, add its loss and errors to the windows, and end the warm-up if it is time; `wait` for the device."""
    begin = time.perf_counter()
    lr = lr_at(recipe, state.schedule, state.step)
    loss, wrong, num_images = update(state, batch_at(state.step), lr, precision)
    state.step += 1
    state.log.add(loss, wrong, num_images)
    if wait or state.found_inf.device.type == "cpu":  # where reading a value costs nothing
        state.raise_if_diverged()
    if state.schedule.warming_up:
        state.warmup.add(loss, wrong, num_images)
        _end_warmup(state, recipe)
    state.log.seconds += time.perf_counter() - begin


def update(
    state: TrainState, batch: Batch, lr: float, precision: Precision, on_part: Callable[[str], None] = lambda part: None
) -> tuple[Tensor, Tensor, int]:
    """One update. Returns the batch's mean loss and number of misclassified images, on the device, and the batch size.

    `batch` holds the images of this process's replicas; the results are those of the batch of all processes.
    If the loss or the norm of its gradient is not finite, `found_inf` is set permanently, and the optimiser then skips updates.
    `on_part` is called after each part of the step has been queued on the device: "forward" and "backward", for
    each replica, and "optimizer".
    """
    for group in state.optimizer.param_groups:
        group["lr"] = lr
    loss, wrong = (_backward if state.replicas.count == 1 else _backward_of_replicas)(state, batch, precision, on_part)
    gradients = [parameter.grad for parameter in state.net.parameters() if parameter.grad is not None]
    is_finite = torch.isfinite(loss) & torch.isfinite(get_total_norm(gradients))
    torch.maximum(state.found_inf, (~is_finite).float(), out=state.found_inf)
    state.optimizer.step()
    on_part("optimizer")
    return loss, wrong, len(batch[1]) * state.replicas.size


def _backward(state: TrainState, batch: Batch, precision: Precision, on_part: Callable[[str], None]) -> tuple[Tensor, Tensor]:
    """Compute the gradients of the mean loss; returns that loss and the number of misclassified images."""
    images, labels = batch
    with autocast(images.device, precision), _eager_if_short(state.compiled_batch, len(labels)):
        logits = state.net(images)
        loss = functional.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels)
    state.optimizer.zero_grad(set_to_none=True)
    on_part("forward")
    loss.backward()  # type: ignore[no-untyped-call]
    on_part("backward")
    with torch.no_grad():
        return loss.detach(), (logits.argmax(1) != labels).sum()


def _backward_of_replicas(
    state: TrainState, batch: Batch, precision: Precision, on_part: Callable[[str], None]
) -> tuple[Tensor, Tensor]:
    """Like `_backward`, for the mean over all replicas of their mean losses."""
    accumulation = Accumulation(state.net, state.replicas)
    for part in zip(*map(state.replicas.own_parts, batch), strict=True):
        accumulation.add(*_backward(state, part, precision, on_part))
    means = accumulation.finish()
    on_part("backward")
    return means


def _eager_if_short(compiled_batch: int | None, num_images: int) -> AbstractContextManager[Any]:
    """Run the smaller last batch of an epoch uncompiled, since compiled blocks have static shapes."""
    if compiled_batch in (None, num_images):
        return nullcontext()
    return torch.compiler.set_stance("force_eager")  # type: ignore[no-any-return]


def _log(state: TrainState) -> TrainRecord:
    error, loss = state.log.read()
    lr = state.optimizer.param_groups[0]["lr"]  # that of the last update
    record = TrainRecord(state.step, error, loss, lr, state.log.images, state.log.seconds)
    state.log.clear()
    return record


def _end_warmup(state: TrainState, recipe: RecipeConfig) -> None:
    if state.step % recipe.warmup.window == 0:
        error, _ = state.warmup.read()
        state.warmup.clear()
        state.schedule = after_warmup_window(recipe, state.schedule, error)


def _check_plateau(state: TrainState, plateau: Plateau, validate: Callable[[], tuple[float, float]]) -> ValidationRecord:
    state.raise_if_diverged()
    begin = time.perf_counter()
    error, loss = validate()
    state.schedule = after_check(plateau, state.schedule, error)
    return ValidationRecord(state.step, error, loss, time.perf_counter() - begin)
