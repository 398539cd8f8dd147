"""Everything of a run that changes while it trains, as one thing that can be saved and restored exactly."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resnet_lab.config.schema import RecipeConfig
from resnet_lab.errors import DivergedError
from resnet_lab.train.schedule import ScheduleState, start


class Window:
    """Sums over the images since the last reading, kept on the device so that a step does not wait for them."""

    def __init__(self, device: torch.device) -> None:
        self.loss_sum = torch.zeros((), device=device)
        self.wrong = torch.zeros((), dtype=torch.int64, device=device)
        self.images = 0
        self.seconds = 0.0

    def add(self, loss: Tensor, wrong: Tensor, num_images: int) -> None:
        """Add a batch's mean loss and number of errors; a short batch weighs as many images as it has."""
        self.loss_sum += loss * num_images
        self.wrong += wrong
        self.images += num_images

    def read(self) -> tuple[float, float]:
        """Error (a fraction) and mean loss per image."""
        return self.wrong.item() / self.images, self.loss_sum.item() / self.images

    def clear(self) -> None:
        """Begin the next window."""
        self.loss_sum.zero_()
        self.wrong.zero_()
        self.images, self.seconds = 0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers, for a checkpoint."""
        return {"loss_sum": self.loss_sum, "wrong": self.wrong, "images": self.images, "seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.loss_sum.copy_(state["loss_sum"])
        self.wrong.copy_(state["wrong"])
        self.images, self.seconds = state["images"], state["seconds"]


@dataclass
class TrainState:
    """A network in training after `step` updates. No random generator is part of it: draws are functions of the step.

    `compiled_batch` is the batch size that the network's blocks are compiled for, None where they are not compiled.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: ScheduleState
    log: Window
    warmup: Window
    found_inf: Tensor
    compiled_batch: int | None = None
    step: int = 0

    def raise_if_diverged(self) -> None:
        """Raise DivergedError if any loss so far was not finite; updates have stopped since, on the device itself."""
        if self.found_inf.item():
            raise DivergedError(
                f"The training loss is not finite at step {self.step} or shortly before: the run has diverged and its weights "
                "are those before that update. A lower lr helps, such as --set recipe.lr=0.05, or the low-lr start for this "
                "depth, --set recipe.warmup.from_depth=8; give it another --study NAME."
            )

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs, as tensors and plain values (loadable with `weights_only=True`)."""
        return {
            "step": self.step,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": dataclasses.asdict(self.schedule),
            "log": self.log.state_dict(),
            "warmup": self.warmup.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become exactly the state that was saved. Raises ValueError where that is of another form, such as another network's.

        Of the optimiser only its tensors are taken, in the memory format of their parameters, which may differ between devices;
        its settings are the recipe's.
        """
        form = self.state_dict()
        for key in form.keys() - {"optimizer"}:
            _require_form(state.get(key), form[key], key)
        load_network(self.net, state)
        moments = _moments(self.net, state.get("optimizer"))
        self.optimizer.load_state_dict({"state": moments, "param_groups": form["optimizer"]["param_groups"]})
        self.step = state["step"]
        self.schedule = ScheduleState(**state["schedule"])
        self.log.load_state_dict(state["log"])
        self.warmup.load_state_dict(state["warmup"])


def new_state(net: nn.Module, recipe: RecipeConfig, depth: int, compiled_batch: int | None = None) -> TrainState:
    """The state before the first step.

    The fused optimiser skips an update on the device where `found_inf` is set, so a NaN never reaches the weights.
    """
    device = next(net.parameters()).device
    optimizer = _make_optimizer(net, recipe)
    found_inf = torch.zeros((), device=device)
    optimizer.found_inf = found_inf  # type: ignore[attr-defined]  # read by its step, as GradScaler sets it
    return TrainState(net, optimizer, start(recipe, depth), Window(device), Window(device), found_inf, compiled_batch)


def load_network(net: nn.Module, state: Mapping[str, Any]) -> None:
    """Give a network the weights of a state that was saved. Raises ValueError where they are of another network."""
    _require_form(state.get("net"), net.state_dict(), "net")
    net.load_state_dict(state["net"])


def _moments(net: nn.Module, saved: Any) -> dict[int, dict[str, Tensor]]:
    """An optimiser's tensors by the number of their parameter, each copied into the device and memory format of that one.

    A fused optimiser takes them as they lie in memory, whatever their shapes and strides are. Before the first step there are
    none. Raises ValueError where they are not one network's.
    """
    parameters = dict(enumerate(net.parameters()))
    moments = saved.get("state") if isinstance(saved, Mapping) else None
    if not isinstance(moments, Mapping) or moments.keys() not in (set(), parameters.keys()):
        raise ValueError("optimizer is not of this network")
    copies: dict[int, dict[str, Tensor]] = {}
    for number, values in moments.items():
        own = parameters[number].detach()
        _require_form(values, dict.fromkeys(values, own), f"optimizer.{number}")
        copies[number] = {name: torch.empty_like(own).copy_(value) for name, value in values.items()}
    return copies


def _require_form(saved: Any, own: Any, name: str) -> None:
    """Raise ValueError where what was saved has not the form of our own: its keys, types, and shapes of tensors."""
    if isinstance(own, Mapping):
        if not isinstance(saved, Mapping) or saved.keys() != own.keys():
            raise ValueError(f"{name} has other parts")
        for key, value in own.items():
            _require_form(saved[key], value, f"{name}.{key}")
    elif isinstance(own, Tensor):
        if not _is_alike(saved, own):
            raise ValueError(f"{name} is not a tensor of {tuple(own.shape)}")
    elif type(saved) is not type(own) or not saved >= 0:
        raise ValueError(f"{name} is not such a number")


def _is_alike(saved: Any, own: Tensor) -> bool:
    if not isinstance(saved, Tensor) or saved.is_nested or saved.is_meta or saved.layout != torch.strided:
        return False
    return saved.shape == own.shape and saved.dtype == own.dtype


def _make_optimizer(net: nn.Module, recipe: RecipeConfig) -> torch.optim.Optimizer:
    """SGD with momentum and weight decay on all parameters, no Nesterov; fused, as every optimiser here has to be."""
    return torch.optim.SGD(net.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=True)
