"""Export of runs' weights for other tools: with torchvision's names, or as safetensors with metadata."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_lab.config.model import ModelConfig
from resnet_lab.config.schema import RunConfig
from resnet_lab.config.terms import WeightFiles
from resnet_lab.errors import CheckpointError, ConfigError, DiskError
from resnet_lab.record.checksums import write_files
from resnet_lab.record.store import RunFolder
from resnet_lab.run.device import Resources
from resnet_lab.run.trained import Trained, load_trained
from resnet_lab.weights.read import About
from resnet_lab.weights.write import safetensors_file, torchvision_differences, torchvision_file

_ENDING = {"torchvision": "pth", "safetensors": "safetensors"}


@dataclass(frozen=True)
class Written:
    """An exported file of weights, with the name and the config of its run."""

    path: Path
    run: str
    config: RunConfig


def write_weights(target: Path, folders: Sequence[RunFolder], at: int | None, to: WeightFiles) -> Iterator[Written | str]:
    """Write a file for each run, from the checkpoint of step `at` (default: the newest), and yield it, or the reason for none.

    Files are named after the run, with the step if `at` is given. Raises CheckpointError if no run has such a checkpoint,
    ConfigError if the only run cannot be exported, DiskError.
    """
    failures: list[CheckpointError | ConfigError | DiskError] = []
    for folder in folders:
        try:
            network = load_trained([folder], at, Resources(device="cpu"))[0]
            if to == "torchvision":
                _require_known_network(network)
        except (CheckpointError, ConfigError, DiskError) as error:
            failures.append(error)
            if len(folders) > 1:
                yield str(error)
            continue
        yield _write(target, network, at, to)
    if len(failures) == len(folders) == 1:
        raise failures[0]
    if len(failures) == len(folders):
        raise CheckpointError(f"None of the {len(folders)} runs has a checkpoint to export.")


def _require_known_network(network: Trained) -> None:
    """Raise ConfigError for a network that reads its parameters, under torchvision's names, in a way that other tools do not."""
    settings = [f"model.{name} = {value}" for name, value in network.config.model.interventions.items() if name != "init"]
    if settings:
        raise ConfigError(
            f"{network.folder.path} has {', '.join(settings)}, which a file with torchvision's names cannot state: use "
            "--to safetensors."
        )


def _write(target: Path, network: Trained, at: int | None, to: WeightFiles) -> Written:
    config, name = network.config, network.name
    if to == "torchvision":
        content = torchvision_file(network.net)
    else:
        digests = network.folder.read_image_digests()
        about = About(
            run=name,
            step=network.step,
            seed=config.seed,
            model=config.model,
            data=config.data,
            images=None if digests is None else digests.files,
        )
        content = safetensors_file(network.net, about)
    file = f"{name}{'' if at is None else f'-step-{at}'}.{_ENDING[to]}"
    write_files(target, {file: content}, "--out")
    return Written(target / file, name, config)


def cautions(written: Sequence[Written]) -> Iterator[str]:
    """Warnings about files with torchvision's names, which carry no metadata.

    They name networks that torchvision lacks or would compute differently, and how to evaluate the files.
    """
    groups: dict[str, list[str]] = {}
    for file in written:
        groups.setdefault(_caution(file.config.model), []).append(file.run)
    for caution, runs in groups.items():
        if caution:
            yield f"{', '.join(runs)}: {caution}"
    first_by_options = {tuple(_options(file.config)): file for file in reversed(written)}
    yield from map(_how_to_evaluate, reversed(first_by_options.values()))


def _how_to_evaluate(file: Written) -> str:
    """How to evaluate a file, and all others with the same options."""
    note = f"{file.run} and similar runs: the files do not record the normalisation (RGB / 255 minus the mean training image)"
    facts = file.config.data.facts
    if facts.is_stand_in:
        return f"{note}, nor that the images are the synthetic stand-in: evaluate the run itself, or a safetensors file of it."
    command = shlex.join(["resnet-lab", "evaluate", "--weights", str(file.path), *_options(file.config)])
    if facts.is_folder:
        return f"{note}: evaluate with `{command} --data-dir FOLDER`, which estimates the mean from 1,000 random training images."
    return f"{note}: evaluate with `{command}`."


def _caution(model: ModelConfig) -> str:
    differences = torchvision_differences(model)
    if differences:
        return f"the file has torchvision's names, but torchvision has no such network ({', '.join(differences)})."
    if model.block_facts.chooses_stride and model.stride_on == "1x1":
        return (
            "torchvision loads this file without an error but computes different outputs: its bottlenecks have the stride on the "
            "3x3 layer, these on the first 1x1 layer."
        )
    return ""


def _options(config: RunConfig) -> Iterator[str]:
    """The options that `evaluate` needs for a file of this run without metadata."""
    model, data = config.model, config.data
    if model.kind == "plain":
        yield "--plain"
    elif model.shortcut == "A" and model.pad_channels == "end":
        yield from ("--padding", "end")
    if model.block_facts.chooses_stride and model.stride_on == "1x1":
        yield from ("--stride-on", "1x1")
    yield from ("--normalisation", "per-pixel")
    if data.facts.is_folder or model.layout == "imagenet":  # otherwise recognised by the number of classes
        yield from ("--dataset", data.dataset)
    if data.facts.is_folder:
        yield from ("--image-size", str(data.image_size))
        yield from ("--views", str(config.evaluation.final_test_views))
