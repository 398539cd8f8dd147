"""The complete training state of a run, which can be saved and restored exactly."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resnet_lab.config.schema import RecipeConfig
from resnet_lab.errors import DivergedError
from resnet_lab.train.optimizers import Muon, make_optimizer, moments_like, name_of
from resnet_lab.train.replicas import WHOLE, Replicas
from resnet_lab.train.schedule import ScheduleState, start


class Window:
    """Running sums over images, kept on the device so that a step does not wait for them."""

    def __init__(self, device: torch.device) -> None:
        self.loss_sum = torch.zeros((), device=device)
        self.wrong = torch.zeros((), dtype=torch.int64, device=device)
        self.images = 0
        self.seconds = 0.0

    def add(self, loss: Tensor, wrong: Tensor, num_images: int) -> None:
        """Add a batch's mean loss and number of misclassified images, weighted by its number of images."""
        self.loss_sum += loss * num_images
        self.wrong += wrong
        self.images += num_images

    def read(self) -> tuple[float, float]:
        """Error (a fraction) and mean loss per image; waits for the device."""
        return self.wrong.item() / self.images, self.loss_sum.item() / self.images

    def clear(self) -> None:
        """Start a new window."""
        self.loss_sum.zero_()
        self.wrong.zero_()
        self.images, self.seconds = 0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers, for a checkpoint."""
        return {"loss_sum": self.loss_sum, "wrong": self.wrong, "images": self.images, "seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state from `state_dict`."""
        self.loss_sum.copy_(state["loss_sum"])
        self.wrong.copy_(state["wrong"])
        self.images, self.seconds = state["images"], state["seconds"]


@dataclass
class TrainState:
    """A network in training after `step` updates; it needs no random generator, since draws are functions of the step.

    `reported_step` is the last step whose records have been yielded: `step`, or the one before during a plateau check.
    `found_inf`, a scalar on the device, is 1 once a loss or its gradient was not finite. `compiled_batch` is the number of images
    for which the blocks are compiled; None if they are not.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer | Muon
    schedule: ScheduleState
    log: Window
    warmup: Window
    found_inf: Tensor
    compiled_batch: int | None = None
    replicas: Replicas = WHOLE
    step: int = 0
    reported_step: int = 0

    def raise_if_diverged(self) -> None:
        """Raise DivergedError if a loss or its gradient was not finite; updates have been skipped on the device since then."""
        if self.found_inf.item():
            raise DivergedError(
                f"The run diverged: the training loss or its gradient became NaN or infinite at step {self.step} or shortly "
                "before. Try a lower lr, such as --set recipe.lr=0.05, or warm-up at this depth, such as --set "
                "recipe.warmup.from_depth=8, with another --study NAME."
            )

    def digest(self) -> bytes:
        """The sha256 of all that determines the further training: weights, moving averages, momentum, schedule and windows."""
        moments = self.optimizer.state_dict()["state"]
        tensors = [*self.net.state_dict().values(), *(value for index in sorted(moments) for value in moments[index].values())]
        windows = [(window.loss_sum.item(), window.wrong.item(), window.images) for window in (self.log, self.warmup)]
        digest = hashlib.sha256(repr((self.step, self.reported_step, self.schedule, windows)).encode())
        for tensor in tensors:
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.digest()

    def state_dict(self) -> dict[str, Any]:
        """The state as tensors and plain values, loadable with `weights_only=True`."""
        return {
            "step": self.step,
            "reported_step": self.reported_step,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": dataclasses.asdict(self.schedule),
            "log": self.log.state_dict(),
            "warmup": self.warmup.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore exactly the saved state. Raises ValueError if it has another form, such as that of another network.

        The optimiser's tensors are restored in the memory format of their parameters, since formats may differ between devices.
        Its settings are the recipe's, except for the lr of the last update, which may not have been recorded yet.
        """
        state = {"reported_step": state.get("step"), **state}  # older versions saved reported steps only
        form = self.state_dict()
        for key in form.keys() - {"optimizer"}:
            _require_form(state.get(key), form[key], key)
        load_network(self.net, state)
        moments = _moments(self.net, self.optimizer, state.get("optimizer"))
        groups = form["optimizer"]["param_groups"]
        for group in groups:
            group["lr"] = _last_lr(state["optimizer"])
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.step, self.reported_step = state["step"], state["reported_step"]
        self.schedule = ScheduleState(**state["schedule"])
        self.log.load_state_dict(state["log"])
        self.warmup.load_state_dict(state["warmup"])


def new_state(
    net: nn.Module, recipe: RecipeConfig, depth: int, compiled_batch: int | None = None, replicas: Replicas = WHOLE
) -> TrainState:
    """The state of `net` before its first step.

    The optimiser skips updates once `found_inf` is set, so a NaN never reaches the weights.
    """
    device = next(net.parameters()).device
    optimizer = make_optimizer(net, recipe)
    found_inf = torch.zeros((), device=device)
    optimizer.found_inf = found_inf  # type: ignore[union-attr]  # read by its step(); GradScaler sets it likewise
    return TrainState(net, optimizer, start(recipe, depth), Window(device), Window(device), found_inf, compiled_batch, replicas)


def load_network(net: nn.Module, state: Mapping[str, Any]) -> None:
    """Load the weights of a saved state into a network. Raises ValueError if they belong to another network."""
    _require_form(state.get("net"), net.state_dict(), "net")
    net.load_state_dict(state["net"])


def _moments(net: nn.Module, optimizer: torch.optim.Optimizer | Muon, saved: Any) -> dict[int, dict[str, Tensor]]:
    """The optimiser's tensors by the index of their parameter, copied to that parameter's device and memory format.

    A fused optimiser reads them in memory order and ignores their strides. There are none before the first step. Raises
    ValueError if they do not fit the network and the optimiser.
    """
    parameters = dict(enumerate(net.parameters()))
    moments = saved.get("state") if isinstance(saved, Mapping) else None
    if not isinstance(moments, Mapping) or moments.keys() not in (set(), parameters.keys()):
        raise ValueError("optimizer belongs to another network")
    copies: dict[int, dict[str, Tensor]] = {}
    for index, values in moments.items():
        own = moments_like(name_of(optimizer), parameters[index].detach())
        _require_form(values, own, f"optimizer.{index}")
        copies[index] = {name: torch.empty_like(value).copy_(values[name]) for name, value in own.items()}
    return copies


def _last_lr(saved: Mapping[str, Any]) -> float:
    """The lr of the last update, from the saved state of the optimiser. Raises ValueError if it has none."""
    try:
        lr: float = saved["param_groups"][0]["lr"]
    except (LookupError, TypeError):
        raise ValueError("optimizer has no lr") from None
    _require_form(lr, 0.0, "lr")
    return lr


def _require_form(saved: Any, own: Any, name: str) -> None:
    """Raise ValueError unless `saved` has the keys, types and tensor shapes of `own`; numbers must not be negative."""
    if isinstance(own, Mapping):
        if not isinstance(saved, Mapping) or saved.keys() != own.keys():
            raise ValueError(f"{name} has other keys")
        for key, value in own.items():
            _require_form(saved[key], value, f"{name}.{key}")
    elif isinstance(own, Tensor):
        if not _is_alike(saved, own):
            raise ValueError(f"{name} is not a tensor of shape {tuple(own.shape)}")
    elif type(saved) is not type(own) or not saved >= 0:
        raise ValueError(f"{name} is not a valid number")


def _is_alike(saved: Any, own: Tensor) -> bool:
    if not isinstance(saved, Tensor) or saved.is_nested or saved.is_meta or saved.layout != torch.strided:
        return False
    return saved.shape == own.shape and saved.dtype == own.dtype
