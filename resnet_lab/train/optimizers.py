"""The optimisers: SGD as in the paper, AdamW, and Muon.

Muon: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; its scale: Liu et al. 2025, arXiv 2502.16982. AdamW:
Loshchilov and Hutter 2019, arXiv 1711.05101.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from resnet_lab.config.schema import RecipeConfig
from resnet_lab.config.terms import Optimizer as OptimizerName

BETA_2 = 0.999  # of AdamW


def make_optimizer(net: nn.Module, recipe: RecipeConfig) -> "torch.optim.Optimizer | Muon":
    """The recipe's optimiser of all parameters. torch's must be fused to respect `found_inf`."""
    if recipe.optimizer == "muon":
        return Muon(net, recipe)
    if recipe.optimizer == "adamw":
        return _adamw(net.parameters(), recipe)
    return torch.optim.SGD(net.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=True)


def _adamw(parameters: Iterable[Tensor], recipe: RecipeConfig) -> torch.optim.AdamW:
    betas = recipe.momentum, BETA_2
    return torch.optim.AdamW(parameters, lr=recipe.lr, betas=betas, weight_decay=recipe.weight_decay, fused=True)


class Muon:
    """Muon for the convolutions, whose kernels it takes as matrices `(C_out, k k C_in)`, and AdamW for all other parameters.

    It has the interface of torch's optimisers, as far as the training needs it. torch's Muon is not fused, so a step first reads
    `found_inf`, for which it waits for the device.
    """

    def __init__(self, net: nn.Module, recipe: RecipeConfig) -> None:
        self.found_inf = torch.zeros(())
        self._parameters = list(net.parameters())
        self._matrices = {
            index: nn.Parameter(_as_matrix(parameter.detach(), parameter))
            for index, parameter in enumerate(self._parameters)
            if _is_kernel(parameter)
        }
        self._others = {index: parameter for index, parameter in enumerate(self._parameters) if index not in self._matrices}
        self._muon = torch.optim.Muon(
            self._matrices.values(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        self._adamw = _adamw(self._others.values(), recipe)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Of both optimisers."""
        return [*self._muon.param_groups, *self._adamw.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Remove all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def step(self) -> None:
        """Update all parameters, unless `found_inf` is set."""
        if self.found_inf.item():
            return
        for index, matrix in self._matrices.items():
            kernel = self._parameters[index]
            assert kernel.grad is not None
            matrix.grad = _as_matrix(kernel.grad, kernel)
        self._muon.step()  # type: ignore[no-untyped-call]
        self._adamw.step()

    def state_dict(self) -> dict[str, Any]:
        """In the form of torch's optimisers: tensors by the index of their parameter, and the lr of each group."""
        moments = {
            index: {"momentum_buffer": _as_kernel(self._muon.state[matrix]["momentum_buffer"], self._parameters[index])}
            for index, matrix in self._matrices.items()
            if matrix in self._muon.state
        }
        moments |= {index: self._adamw.state[other] for index, other in self._others.items() if other in self._adamw.state}
        return {"state": moments, "param_groups": [{"lr": group["lr"]} for group in self.param_groups]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state from `state_dict`, whose tensors have the memory format of their parameters."""
        for group, saved in zip(self.param_groups, state["param_groups"], strict=True):
            group["lr"] = saved["lr"]
        for index, values in state["state"].items():
            if index in self._matrices:
                buffer = _as_matrix(values["momentum_buffer"], self._parameters[index])
                self._muon.state[self._matrices[index]] = {"momentum_buffer": buffer}
            else:
                self._adamw.state[self._others[index]] = dict(values)


def name_of(optimizer: torch.optim.Optimizer | Muon) -> OptimizerName:
    """The setting that gives this optimiser."""
    names: dict[type, OptimizerName] = {torch.optim.SGD: "sgd", torch.optim.AdamW: "adamw", Muon: "muon"}
    return names[type(optimizer)]


def moments_like(optimizer: OptimizerName, parameter: Tensor) -> dict[str, Tensor]:
    """Tensors of the shapes, types and formats of those that the optimiser keeps for a parameter, by name."""
    if optimizer == "sgd" or (optimizer == "muon" and _is_kernel(parameter)):
        return {"momentum_buffer": parameter}
    return {"step": torch.zeros((), device=parameter.device), "exp_avg": parameter, "exp_avg_sq": parameter}


def _is_kernel(parameter: Tensor) -> bool:
    return parameter.dim() == 4


def _as_matrix(value: Tensor, kernel: Tensor) -> Tensor:
    """A tensor of a kernel's shape `(C_out, C_in, k, k)` as a matrix, with columns in the order in which the kernel is stored.

    For the kernel itself this is a view.
    """
    if kernel.is_contiguous(memory_format=torch.channels_last):
        value = value.permute(0, 2, 3, 1)
    return value.reshape(len(value), -1)


def _as_kernel(matrix: Tensor, kernel: Tensor) -> Tensor:
    """The inverse of `_as_matrix`."""
    out_channels, in_channels, height, width = kernel.shape
    if kernel.is_contiguous(memory_format=torch.channels_last):
        return matrix.view(out_channels, height, width, in_channels).permute(0, 3, 1, 2)
    return matrix.view(kernel.shape)
