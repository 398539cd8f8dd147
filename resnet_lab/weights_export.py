"""A run's weights as a file for other tools: under torchvision's names, or as safetensors that say what they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resnet_lab.analysis.subject import Subject, subjects
from resnet_lab.config import ModelConfig
from resnet_lab.errors import CheckpointError, ConfigError, DiskError
from resnet_lab.experiment import Resources
from resnet_lab.models.weights import About, safetensors_file, torchvision_file, unlike_torchvisions
from resnet_lab.record.files import write_atomically
from resnet_lab.record.store import RunFolder

_ENDING = {"torchvision": "pth", "safetensors": "safetensors"}


@dataclass(frozen=True)
class Written:
    """A file of weights, and the run that it is of."""

    path: Path
    run: str
    model: ModelConfig


def write_weights(
    target: Path, folders: Sequence[RunFolder], at: int | None, to: Literal["torchvision", "safetensors"]
) -> Iterator[Written | str]:
    """Write a file for each run, of step `at` or of its newest checkpoint, and yield it, or why there is none.

    The file has the run's name, with the step where that is given. Raises CheckpointError where no run has such a checkpoint,
    DiskError.
    """
    faults = []
    for folder in folders:
        try:
            subject = subjects([folder], at, Resources(device="cpu"))[0]
        except (CheckpointError, ConfigError, DiskError) as error:
            faults.append(str(error))
            if len(folders) > 1:
                yield str(error)
            continue
        yield _write(target, subject, at, to)
    if len(faults) == len(folders):
        raise CheckpointError(faults[0] if len(faults) == 1 else f"None of the {len(faults)} runs has a checkpoint to export.")


def _write(target: Path, subject: Subject, at: int | None, to: Literal["torchvision", "safetensors"]) -> Written:
    config, name = subject.config, subject.name
    if to == "torchvision":
        content = torchvision_file(subject.net)
    else:
        about = About(run=name, step=subject.step, seed=config.seed, model=config.model, data=config.data)
        content = safetensors_file(subject.net, about)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(
            f"{target} cannot be used: {error.strerror or error}. Make room or name another folder with --out."
        ) from error
    path = target / f"{name}{'' if at is None else f'-step-{at}'}.{_ENDING[to]}"
    write_atomically(path, content)
    return Written(path, name, config.model)


def cautions(written: Sequence[Written]) -> Iterator[str]:
    """What files under torchvision's names do not say, a sentence each: which are no networks of torchvision's, or seem to be."""
    groups: dict[str, list[str]] = {}
    for file in written:
        groups.setdefault(_caution(file.model), []).append(file.run)
    for caution, runs in groups.items():
        if caution:
            yield f"{', '.join(runs)}: {caution}"
    if written:
        yield (
            "Images are RGB / 255 minus the mean training image, which the files do not say: "
            f"`resnet-lab evaluate --weights {written[0].path} {' '.join(_options(written[0].model))}`."
        )


def _caution(model: ModelConfig) -> str:
    unlike = unlike_torchvisions(model)
    if unlike:
        return f"under torchvision's names, though torchvision has no such network ({', '.join(unlike)})."
    if model.block == "bottleneck" and model.stride_on == "1x1":
        return (
            "torchvision loads this without an error and computes something else, since its bottlenecks have the stride on the "
            "3x3 layer, and these on the first 1x1."
        )
    return ""


def _options(model: ModelConfig) -> Iterator[str]:
    """The options by which `evaluate` reads a file of this network under foreign names."""
    if model.kind == "plain":
        yield "--plain"
    elif model.shortcut == "A" and model.pad_channels == "end":
        yield "--padding end"
    if model.block == "bottleneck" and model.stride_on == "1x1":
        yield "--stride-on 1x1"
    yield "--normalisation per-pixel"
