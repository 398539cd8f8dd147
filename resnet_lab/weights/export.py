"""A run's weights as a file for other tools: under torchvision's names, or as safetensors that say what they are."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_lab.config.schema import ModelConfig, RunConfig
from resnet_lab.config.terms import WeightFiles
from resnet_lab.errors import CheckpointError, ConfigError, DiskError
from resnet_lab.record.store import RunFolder
from resnet_lab.record.sums import write_listed
from resnet_lab.run.device import Resources
from resnet_lab.run.trained import Trained, load_trained
from resnet_lab.weights.read import About
from resnet_lab.weights.write import safetensors_file, torchvision_file, unlike_torchvisions

_ENDING = {"torchvision": "pth", "safetensors": "safetensors"}


@dataclass(frozen=True)
class Written:
    """A file of weights, and the run that it is of."""

    path: Path
    run: str
    config: RunConfig


def write_weights(target: Path, folders: Sequence[RunFolder], at: int | None, to: WeightFiles) -> Iterator[Written | str]:
    """Write a file for each run, of step `at` or of its newest checkpoint, and yield it, or why there is none.

    The file has the run's name, with the step where that is given. Raises CheckpointError where no run has such a checkpoint,
    DiskError.
    """
    faults = []
    for folder in folders:
        try:
            network = load_trained([folder], at, Resources(device="cpu"))[0]
        except (CheckpointError, ConfigError, DiskError) as error:
            faults.append(str(error))
            if len(folders) > 1:
                yield str(error)
            continue
        yield _write(target, network, at, to)
    if len(faults) == len(folders):
        raise CheckpointError(faults[0] if len(faults) == 1 else f"None of the {len(faults)} runs has a checkpoint to export.")


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
    write_listed(target, {file: content}, "--out")
    return Written(target / file, name, config)


def cautions(written: Sequence[Written]) -> Iterator[str]:
    """What files under torchvision's names do not say, a sentence each: which are no networks of torchvision's, or seem to be."""
    groups: dict[str, list[str]] = {}
    for file in written:
        groups.setdefault(_caution(file.config.model), []).append(file.run)
    for caution, runs in groups.items():
        if caution:
            yield f"{', '.join(runs)}: {caution}"
    alike = {tuple(_options(file.config)): file for file in reversed(written)}
    yield from map(_how_to_evaluate, reversed(alike.values()))


def _how_to_evaluate(file: Written) -> str:
    said = f"{file.run} and those like it: images are RGB / 255 minus the mean training image, which no such file says"
    facts = file.config.data.facts
    if facts.is_stand_in:
        return f"{said}; nor that the images are the synthetic stand-in: `evaluate` takes the run for it, or a safetensors file."
    command = shlex.join(["resnet-lab", "evaluate", "--weights", str(file.path), *_options(file.config)])
    if facts.is_folder:
        return f"{said}: `{command} --data-dir FOLDER`, which takes the mean of 1,000 training images that it draws anew."
    return f"{said}: `{command}`."


def _caution(model: ModelConfig) -> str:
    unlike = unlike_torchvisions(model)
    if unlike:
        return f"under torchvision's names, though torchvision has no such network ({', '.join(unlike)})."
    if model.block_facts.chooses_stride and model.stride_on == "1x1":
        return (
            "torchvision loads this without an error and computes something else, since its bottlenecks have the stride on the "
            "3x3 layer, and these on the first 1x1."
        )
    return ""


def _options(config: RunConfig) -> Iterator[str]:
    """The options by which `evaluate` reads a file of this run under foreign names."""
    model, data = config.model, config.data
    if model.kind == "plain":
        yield "--plain"
    elif model.shortcut == "A" and model.pad_channels == "end":
        yield from ("--padding", "end")
    if model.block_facts.chooses_stride and model.stride_on == "1x1":
        yield from ("--stride-on", "1x1")
    yield from ("--normalisation", "per-pixel")
    if data.facts.is_folder or model.layout == "imagenet":  # else seen by its classes
        yield from ("--dataset", data.dataset)
    if data.facts.is_folder:
        yield from ("--image-size", str(data.image_size))
        yield from ("--views", str(config.evaluation.final_test_views))
