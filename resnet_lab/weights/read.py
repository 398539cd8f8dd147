"""Files of weights: whose names they have, which network they hold, and what they cannot tell.

Read are safetensors and torch files under our names, torchvision's, or those of the usual repositories for CIFAR-10.
"""

import argparse
import itertools
import json
import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from resnet_lab.config.blocks import BLOCKS, BlockType
from resnet_lab.config.depths import depth_of
from resnet_lab.config.schema import DataConfig, ModelConfig
from resnet_lab.config.terms import Layout, Shortcut
from resnet_lab.errors import ConfigError, DataError
from resnet_lab.models.resnet import ResNet
from resnet_lab.record.tensors import load_tensors
from resnet_lab.weights.naming import is_ours, named_as_in, to_ours

CONTAINERS = ("state_dict", "net", "model", "model_state_dict", "model_state", "params", "weights")
_WRAPPER = re.compile(r"\b(?:module|_orig_mod)\.")  # of DataParallel and of torch.compile
_BLOCK = re.compile(r"stages\.(\d+)\.(\d+)\..+")
_PROJECTION = re.compile(r"stages\.(\d+)\.(\d+)\.shortcut\..+")
_COUNTER = ".num_batches_tracked"  # has no part in what a network computes, and old files lack it
_LAYOUTS: dict[tuple[int, int], Layout] = {(3, 3): "cifar", (4, 7): "imagenet"}  # stages, side of the stem's filters
_SHOWN = 3
WRITER = "resnet-lab"


class About(BaseModel):
    """What our safetensors say of themselves: the run and step, the network, and the data whose training images have the mean.

    Images are RGB, divided by 255, minus the mean image of the training images that `data` and `seed` name; `images` is the
    sha256 of a folder's, by which it is known.
    """

    model_config = ConfigDict(frozen=True)

    run: str
    step: int
    seed: int
    model: ModelConfig
    data: DataConfig
    images: str | None = None


@dataclass(frozen=True)
class Weights:
    """The tensors of a file under our names; `names` has the file's own for each, `foreign` those that are nobody's.

    `prefix` is what all of the file's names begin with.
    """

    path: Path
    state: dict[str, Tensor]
    names: dict[str, str]
    foreign: tuple[str, ...]
    about: About | None
    prefix: str = ""

    @property
    def are_ours(self) -> bool:
        """Whether the file has our names."""
        return all(map(is_ours, self.bare_names))

    @property
    def bare_names(self) -> list[str]:
        """The file's own names without what they are wrapped in."""
        return [_unwrapped(name).removeprefix(self.prefix) for name in self.names.values()]


@dataclass(frozen=True)
class Form:
    """What names and shapes tell of a network; not whether it is residual where it has no projections."""

    layout: Layout
    block: BlockType
    depth: int
    width: int
    shortcut: Shortcut
    num_classes: int

    def config(self, **untold: Any) -> ModelConfig:
        """The network, with those settings that the file cannot tell: `kind`, `pad_channels`, `stride_on`."""
        told = {key: getattr(self, key) for key in ("layout", "block", "depth", "width", "shortcut")}
        return ModelConfig.model_validate(told | untold)


def read(path: Path) -> Weights:
    """The weights in a `.safetensors` or torch file. Raises ConfigError where there is no file, DataError where it holds none."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name a file of weights in it.")
    if not path.exists():
        raise ConfigError(f"There is no file {path}.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: copy or download it again.")
    tensors, metadata = _safetensors(path) if _is_safetensors(path) else (_tensors(path, _torch(path)), {})
    return _named(path, tensors, _about(path, metadata))


def _is_safetensors(path: Path) -> bool:
    """By what the file begins with: torch writes a zip or a pickle, safetensors a length of eight bytes and JSON."""
    with path.open("rb") as file:
        head = file.read(9)
    return not head.startswith((b"PK", b"\x80")) and (path.suffix == ".safetensors" or head[8:] == b"{")


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise DataError(f"{path} is damaged or no safetensors file ({error}): copy or download it again.") from error


def _torch(path: Path) -> Any:
    content = path.read_bytes()
    try:
        with torch.serialization.safe_globals(_harmless()):
            return load_tensors(content)
    except Exception as error:  # whatever damaged or foreign bytes lead torch to
        if "TorchScript" in str(error):
            raise DataError(
                f"{path} is a TorchScript program: save its weights alone, torch.save(net.state_dict(), FILE)."
            ) from error
        more = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if more is None:
            raise DataError(f"{path} is damaged, or no file that torch.save wrote: copy or download it again.") from error
        raise DataError(
            f"{path} holds more than tensors ({more[1]}), which could run code and is not read: where it comes from, save the "
            "weights alone, torch.save(net.state_dict(), FILE)."
        ) from error


def _harmless() -> list[Any]:
    """What training scripts put beside the weights and torch does not read unasked: their arguments, and numbers of NumPy."""
    number = np.float64(0).__reduce__()[0]
    names = ("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar")  # NumPy 2's and 1's
    return [
        argparse.Namespace,
        np.dtype,
        *((number, name) for name in names),
        *{type(np.dtype(code)) for code in "?bBhHiIlLqQefd"},
    ]


def _tensors(path: Path, loaded: Any) -> dict[str, Tensor]:
    """The state dict in what a torch file holds."""
    while isinstance(loaded, Mapping):
        inner = next((loaded[key] for key in CONTAINERS if isinstance(loaded.get(key), Mapping)), None)
        if inner is None:
            break
        loaded = inner
    if not isinstance(loaded, Mapping) or not loaded or not all(map(_is_named_tensor, loaded.items())):
        raise DataError(
            f"{path} holds no weights: they are tensors by name, alone or under one of {', '.join(CONTAINERS)}; "
            f"here is {_kind_of(loaded)}."
        )
    return dict(loaded)


def _is_named_tensor(item: tuple[object, object]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _kind_of(loaded: object) -> str:
    if not isinstance(loaded, Mapping):
        return f"an object of type {type(loaded).__name__}"
    return f"a table of {_listed(map(str, loaded))}" if loaded else "an empty table"


def _about(path: Path, metadata: Mapping[str, str]) -> About | None:
    """What a file of ours says of itself, None for others."""
    if metadata.get("writer") != WRITER:
        return None
    try:
        plain = {key: metadata[key] for key in ("run", "step", "seed")} | {"images": metadata.get("images")}
        about = About.model_validate_json(json.dumps(plain | {key: json.loads(metadata[key]) for key in ("model", "data")}))
        if about.data.dataset == "auto":
            raise ValueError("a run's data set is decided before it begins")
        return about
    except (KeyError, ValueError, RecursionError) as error:  # a ValidationError is a ValueError
        raise DataError(
            f"{path} was written by a version of resnet-lab that this one cannot read: export it again, or update resnet-lab."
        ) from error


def _named(path: Path, tensors: Mapping[str, Tensor], about: About | None) -> Weights:
    """The tensors under our names, without counters of batches. Raises DataError where a name stands for two of them."""
    state: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    foreign = []
    prefix = _prefix(tensors)
    for name, value in tensors.items():
        if name.endswith(_COUNTER):
            continue
        try:
            ours = to_ours(_unwrapped(name).removeprefix(prefix))
        except (KeyError, ValueError):  # or a number of too many digits
            foreign.append(name)
            continue
        if ours in names:
            raise DataError(f"{path} has one layer's values twice, as {names[ours]} and as {name}: remove one of them.")
        if not value.is_floating_point() or value.layout != torch.strided or value.is_meta:
            raise DataError(f"{path} has no plain floating-point numbers in {name}: save the network in fp32, not quantised.")
        state[ours], names[ours] = value.detach(), name
    return Weights(path, state, names, tuple(foreign), about, prefix)


def _unwrapped(name: str) -> str:
    return _WRAPPER.sub("", name)


def _prefix(names: Iterable[str]) -> str:
    """What all names begin with, such as `model.` or `backbone.`; a network by itself has several parts."""
    parts = [_unwrapped(name).split(".") for name in names]
    same = itertools.takewhile(lambda each: len(set(each)) == 1, zip(*parts, strict=False))
    return "".join(f"{each[0]}." for each in same)


def form(weights: Weights) -> Form:
    """Which network the names and shapes are of. Raises ConfigError where it is of neither layout, or no such network at all."""
    stem, head = _shape(weights, "stem.conv.weight", 4), _shape(weights, "head.weight", 2)
    first = _shape(weights, "stages.0.0.conv1.conv.weight", 4)
    found = {(int(match[1]), int(match[2])) for match in _matches(_BLOCK, weights)}
    stages = [sum(stage == each for stage, _ in found) for each in sorted({stage for stage, _ in found})]
    layout = _LAYOUTS.get((len(stages), stem[2]))
    if layout is None:
        raise ConfigError(
            f"{weights.path} holds a network of {len(stages)} stages with a {stem[2]}x{stem[3]} stem of {stem[0]} filters, which "
            "is none of the paper's: those for CIFAR-10 have 3 stages and a 3x3 stem, those for ImageNet 4 and a 7x7 stem."
        )
    block = _block_type(weights)
    widens = first[0] * BLOCKS[block].expansion != stem[0]
    changing = {(stage, 0) for stage in range(0 if widens else 1, len(stages))}
    projections = {(int(match[1]), int(match[2])) for match in _matches(_PROJECTION, weights)}
    shortcut: Shortcut = "A" if not projections else "B" if projections <= changing else "C"
    return Form(layout, block, _depth(weights.path, layout, block, stages), stem[0], shortcut, head[0])


def _block_type(weights: Weights) -> BlockType:
    """The last type of the table whose parameter is there; that of the first is in all networks."""
    return [name for name, facts in BLOCKS.items() if facts.seen_by in weights.state][-1]


def _matches(pattern: re.Pattern[str], weights: Weights) -> Iterator[re.Match[str]]:
    return (match for match in map(pattern.fullmatch, weights.state) if match)


def _shape(weights: Weights, name: str, dimensions: int) -> tuple[int, ...]:
    value = weights.state.get(name)
    if value is None or value.dim() != dimensions or not value.numel():
        wanted = named_as_in(weights.bare_names, name)
        raise ConfigError(
            f"{weights.path} holds no network of the paper's: it has no {wanted} of {dimensions} dimensions; what it has is "
            f"{_listed([*weights.names.values(), *weights.foreign])}."
        )
    return tuple(value.shape)


def _depth(path: Path, layout: Layout, block: BlockType, stages: list[int]) -> int:
    """Weighted layers of a network with so many blocks in its stages. Raises ConfigError where it is not one of the paper's."""
    depth = depth_of(layout, block, tuple(stages))
    if depth is not None:
        return depth
    rule = "those for CIFAR-10 have as many in every stage" if layout == "cifar" else "no network of Table 1 has these"
    raise ConfigError(f"{path} holds a network with stages of {', '.join(map(str, stages))} {block} blocks, and {rule}.")


def network(weights: Weights, config: ModelConfig, num_classes: int) -> ResNet:
    """This network with the weights, on the CPU in fp32.

    Raises ConfigError that names the first tensors which are missing, too many or of another shape, as the file calls them.
    """
    with torch.device("meta"):
        net = ResNet(config, num_classes)
    expected = {name: value for name, value in net.state_dict().items() if not name.endswith(_COUNTER)}
    problems = list(_problems(weights, expected))
    if problems:
        is_whole = set(expected) == set(weights.state) and not weights.foreign
        what = "holds another network than the paper's" if is_whole else "does not hold a whole network"
        raise ConfigError(f"{weights.path} {what} of depth {config.depth}: it has {'; '.join(problems)}.")
    net.to_empty(device="cpu")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    net.load_state_dict(weights.state, strict=False)
    return net.move(torch.device("cpu"))


def _problems(weights: Weights, expected: Mapping[str, Tensor]) -> Iterator[str]:
    missing = [named_as_in(weights.bare_names, name) for name in expected if name not in weights.state]
    too_many = [*(name for ours, name in weights.names.items() if ours not in expected), *weights.foreign]
    differing = [
        f"{weights.names[name]} of shape {_sizes(weights.state[name])} where {_sizes(value)} belongs"
        for name, value in expected.items()
        if name in weights.state and weights.state[name].shape != value.shape
    ]
    if missing:
        yield f"no {_listed(missing)}"
    if too_many:
        yield f"{_listed(too_many)}, which such a network does not have"
    if differing:
        yield _listed(differing)


def _sizes(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "one number"


def _listed(items: Iterable[str]) -> str:
    """The first few, and how many more."""
    items = list(items)
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
