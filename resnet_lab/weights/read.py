"""Reading files of weights and recognising their network from the names and shapes of the tensors.

Supported are safetensors and torch files with our names, torchvision's, or those of common repositories for CIFAR-10.
"""

import argparse
import itertools
import json
import pickle
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from resnet_lab.config.blocks import BLOCKS, BlockType
from resnet_lab.config.depths import depth_of
from resnet_lab.config.model import ModelConfig
from resnet_lab.config.schema import DataConfig
from resnet_lab.config.terms import Layout, Shortcut
from resnet_lab.errors import ConfigError, DataError
from resnet_lab.models.resnet import ResNet
from resnet_lab.record.tensors import load_tensors
from resnet_lab.text import abridged
from resnet_lab.weights.naming import is_ours, named_as_in, to_ours

CONTAINERS = ("state_dict", "net", "model", "model_state_dict", "model_state", "params", "weights")
_WRAPPER = re.compile(r"\b(?:module|_orig_mod)\.")  # of DataParallel and of torch.compile
_BLOCK = re.compile(r"stages\.(\d+)\.(\d+)\..+")
_PROJECTION = re.compile(r"stages\.(\d+)\.(\d+)\.shortcut\..+")
_COUNTER = ".num_batches_tracked"  # does not affect what a network computes, and old files lack it
_LAYOUTS: dict[tuple[int, int], Layout] = {(3, 3): "cifar", (4, 7): "imagenet"}  # stages, side of the stem's filters
WRITER = "resnet-lab"


class About(BaseModel):
    """The metadata of our safetensors files: the run and the step, the network and its data.

    Inputs are RGB / 255 minus the mean of the training images, which `data` and `seed` determine; `images` is the sha256 that
    identifies a folder's images.
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
    """The tensors of a file under our names; `names` maps these to the file's names, `foreign` has the names not recognised.

    `prefix` is the common prefix of all names in the file.
    """

    path: Path
    state: dict[str, Tensor]
    names: dict[str, str]
    foreign: tuple[str, ...]
    about: About | None
    prefix: str = ""

    @property
    def are_ours(self) -> bool:
        """Whether the file uses our names."""
        return all(map(is_ours, self.bare_names))

    @property
    def bare_names(self) -> list[str]:
        """The file's names without the prefixes of wrappers."""
        return [_unwrapped(name).removeprefix(self.prefix) for name in self.names.values()]


@dataclass(frozen=True)
class Form:
    """What the names and shapes determine of a network. Without projections, they do not show whether it is residual."""

    layout: Layout
    block: BlockType
    depth: int
    width: int
    shortcut: Shortcut
    num_classes: int
    interventions: Mapping[str, Any] = field(default_factory=dict)  # of the metadata, since tensors do not show them

    def config(self, **settings: Any) -> ModelConfig:
        """The network's config, given the settings that tensors do not determine: `kind`, `pad_channels`, `stride_on`."""
        determined = {key: getattr(self, key) for key in ("layout", "block", "depth", "width", "shortcut")}
        return ModelConfig.model_validate(determined | dict(self.interventions) | settings)


def read(path: Path) -> Weights:
    """Read a `.safetensors` or torch file. Raises ConfigError if there is no such file, DataError if it has no valid weights."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: give a file of weights in it.")
    if not path.exists():
        raise ConfigError(f"File not found: {path}.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: copy or download it again.")
    tensors, metadata = _safetensors(path) if _is_safetensors(path) else (_tensors(path, _torch(path)), {})
    return _named(path, tensors, _about(path, metadata))


def _is_safetensors(path: Path) -> bool:
    """Whether the first bytes are those of safetensors, an eight-byte length and JSON; torch writes a zip file or a pickle."""
    with path.open("rb") as file:
        head = file.read(9)
    return not head.startswith((b"PK", b"\x80")) and (path.suffix == ".safetensors" or head[8:] == b"{")


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise DataError(f"{path} is damaged or not a safetensors file ({error}): copy or download it again.") from error


def _torch(path: Path) -> Any:
    content = path.read_bytes()
    try:
        with torch.serialization.safe_globals(_harmless_types()):
            return load_tensors(content)
    except Exception as error:  # torch raises almost anything for damaged or foreign files
        if "TorchScript" in str(error):
            raise DataError(
                f"{path} is a TorchScript program: save only its weights, with torch.save(net.state_dict(), FILE)."
            ) from error
        unsafe = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if unsafe is None:
            raise DataError(f"{path} is damaged or was not written by torch.save: copy or download it again.") from error
        raise DataError(
            f"{path} contains more than tensors ({unsafe[1]}). Loading it could run code, so it is not read: save only the "
            "weights, with torch.save(net.state_dict(), FILE)."
        ) from error


def _harmless_types() -> list[Any]:
    """Types that training scripts save beside the weights and torch rejects by default: argparse namespaces, NumPy numbers."""
    number = np.float64(0).__reduce__()[0]
    names = ("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar")  # NumPy 2's and 1's
    return [
        argparse.Namespace,
        np.dtype,
        *((number, name) for name in names),
        *{type(np.dtype(code)) for code in "?bBhHiIlLqQefd"},
    ]


def _tensors(path: Path, loaded: Any) -> dict[str, Tensor]:
    """The state dict in the content of a torch file, if necessary inside one of CONTAINERS."""
    while isinstance(loaded, Mapping):
        inner = next((loaded[key] for key in CONTAINERS if isinstance(loaded.get(key), Mapping)), None)
        if inner is None:
            break
        loaded = inner
    if not isinstance(loaded, Mapping) or not loaded or not all(map(_is_named_tensor, loaded.items())):
        raise DataError(
            f"{path} contains no weights: expected a dictionary of tensors by name, possibly under one of the keys "
            f"{', '.join(CONTAINERS)}; found {_description(loaded)}."
        )
    return dict(loaded)


def _is_named_tensor(item: tuple[object, object]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _description(loaded: object) -> str:
    if not isinstance(loaded, Mapping):
        return f"an object of type {type(loaded).__name__}"
    return f"a dictionary with {abridged(list(loaded))}" if loaded else "an empty dictionary"


def _about(path: Path, metadata: Mapping[str, str]) -> About | None:
    """The metadata of a file written by this package; None for other files."""
    if metadata.get("writer") != WRITER:
        return None
    try:
        plain = {key: metadata[key] for key in ("run", "step", "seed")} | {"images": metadata.get("images")}
        about = About.model_validate_json(json.dumps(plain | {key: json.loads(metadata[key]) for key in ("model", "data")}))
        if about.data.dataset == "auto":
            raise ValueError("a run's data set is resolved before it starts")
        return about
    except (KeyError, ValueError, RecursionError) as error:  # a ValidationError is a ValueError
        raise DataError(
            f"{path} was written by an incompatible version of resnet-lab: export it again, or update resnet-lab."
        ) from error


def _named(path: Path, tensors: Mapping[str, Tensor], about: About | None) -> Weights:
    """The tensors under our names, without batch counters. Raises DataError if two tensors have the same translated name."""
    state: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    foreign = []
    prefix = _prefix(tensors)
    for name, value in tensors.items():
        if name.endswith(_COUNTER):
            continue
        try:
            ours = to_ours(_unwrapped(name).removeprefix(prefix))
        except (KeyError, ValueError):  # ValueError: a number with too many digits
            foreign.append(name)
            continue
        if ours in names:
            raise DataError(f"{path} contains the same parameter twice, as {names[ours]} and {name}: remove one of them.")
        if not value.is_floating_point() or value.layout != torch.strided or value.is_meta:
            raise DataError(f"{path} has no dense floating-point numbers in {name}: save the network in fp32, not quantised.")
        state[ours], names[ours] = value.detach(), name
    return Weights(path, state, names, tuple(foreign), about, prefix)


def _unwrapped(name: str) -> str:
    return _WRAPPER.sub("", name)


def _prefix(names: Iterable[str]) -> str:
    """The common prefix of all names, such as `model.` or `backbone.`; a bare network has none."""
    parts = [_unwrapped(name).split(".") for name in names]
    common = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False))
    return "".join(f"{column[0]}." for column in common)


def recognise(weights: Weights) -> Form:
    """Recognise the network from names and shapes, or from the metadata if its settings are not the paper's.

    `network` checks that the tensors fit. Raises ConfigError if it is not one of the paper's.
    """
    stem, head = _shape(weights, "stem.conv.weight", 4), _shape(weights, "head.weight", 2)
    if weights.about is not None and (interventions := weights.about.model.interventions):
        stated = weights.about.model
        return Form(stated.layout, stated.block, stated.depth, stated.width, stated.shortcut, head[0], interventions)
    first = _shape(weights, "stages.0.0.conv1.conv.weight", 4)
    blocks = {(int(match[1]), int(match[2])) for match in _matches(_BLOCK, weights)}
    num_blocks = Counter(stage for stage, _ in blocks)
    stages = [num_blocks[stage] for stage in sorted(num_blocks)]
    layout = _LAYOUTS.get((len(stages), stem[2]))
    if layout is None:
        raise ConfigError(
            f"{weights.path} contains a network with {len(stages)} stages and a {stem[2]}x{stem[3]} stem of {stem[0]} filters. "
            "The paper's networks have 3 stages and a 3x3 stem (CIFAR-10) or 4 stages and a 7x7 stem (ImageNet)."
        )
    block = _block_type(weights)
    widens = first[0] * BLOCKS[block].expansion != stem[0]
    changing = {(stage, 0) for stage in range(0 if widens else 1, len(stages))}
    projections = {(int(match[1]), int(match[2])) for match in _matches(_PROJECTION, weights)}
    shortcut: Shortcut = "A" if not projections else "B" if projections <= changing else "C"
    return Form(layout, block, _depth(weights.path, layout, block, stages), stem[0], shortcut, head[0])


def _block_type(weights: Weights) -> BlockType:
    """The last type in the table whose characteristic parameter is present; that of the first type is in all networks."""
    return [name for name, facts in BLOCKS.items() if facts.seen_by in weights.state][-1]


def _matches(pattern: re.Pattern[str], weights: Weights) -> Iterator[re.Match[str]]:
    return (match for match in map(pattern.fullmatch, weights.state) if match)


def _shape(weights: Weights, name: str, dimensions: int) -> tuple[int, ...]:
    value = weights.state.get(name)
    if value is None or value.dim() != dimensions or not value.numel():
        missing = named_as_in(weights.bare_names, name)
        raise ConfigError(
            f"{weights.path} does not contain one of the paper's networks: it has no {missing} with {dimensions} dimensions. "
            f"Its tensors: {abridged([*weights.names.values(), *weights.foreign])}."
        )
    return tuple(value.shape)


def _depth(path: Path, layout: Layout, block: BlockType, stages: list[int]) -> int:
    """The depth of a network with these numbers of blocks in its stages. Raises ConfigError if it is not one of the paper's."""
    depth = depth_of(layout, block, tuple(stages))
    if depth is not None:
        return depth
    rule = (
        "the paper's networks for CIFAR-10 have the same number in every stage"
        if layout == "cifar"
        else "no network in the paper's Table 1 has these numbers"
    )
    raise ConfigError(f"{path} contains a network with stages of {', '.join(map(str, stages))} {block} blocks, but {rule}.")


def network(weights: Weights, config: ModelConfig, num_classes: int) -> ResNet:
    """The network with these weights, on the CPU in fp32.

    Raises ConfigError if tensors are missing, unexpected or of the wrong shape; the message lists the first of them by the names
    in the file.
    """
    with torch.device("meta"):
        net = ResNet(config, num_classes)
    expected = {name: value for name, value in net.state_dict().items() if not name.endswith(_COUNTER)}
    problems = list(_problems(weights, expected))
    if problems:
        is_complete = set(expected) == set(weights.state) and not weights.foreign
        summary = "does not contain the paper's network" if is_complete else "does not contain a complete network"
        raise ConfigError(f"{weights.path} {summary} of depth {config.depth}: {'; '.join(problems)}.")
    net.to_empty(device="cpu")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    net.load_state_dict(weights.state, strict=False)
    return net.move(torch.device("cpu"))


def _problems(weights: Weights, expected: Mapping[str, Tensor]) -> Iterator[str]:
    missing = [named_as_in(weights.bare_names, name) for name in expected if name not in weights.state]
    unexpected = [*(name for ours, name in weights.names.items() if ours not in expected), *weights.foreign]
    misshapen = [
        f"{weights.names[name]} has shape {_sizes(weights.state[name])} instead of {_sizes(value)}"
        for name, value in expected.items()
        if name in weights.state and weights.state[name].shape != value.shape
    ]
    if missing:
        yield f"missing {abridged(missing)}"
    if unexpected:
        yield f"unexpected {abridged(unexpected)}"
    if misshapen:
        yield abridged(misshapen)


def _sizes(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "scalar"
