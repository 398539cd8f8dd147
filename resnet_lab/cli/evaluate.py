"""`resnet-lab evaluate`: the error of a run's checkpoint or of a weights file."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnet_lab.cli import completion, terminal
from resnet_lab.cli.options import Device, ImagesDir, Json, Plain, Residual, Runs, Threads, kind_of
from resnet_lab.cli.watch import exits_on_ctrl_c
from resnet_lab.config.blocks import STRIDE_BLOCKS, StrideOn
from resnet_lab.config.datasets import FileDataset
from resnet_lab.config.terms import Normalisation, Padding
from resnet_lab.errors import ConfigError
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import DEFAULT_ROOT, find_runs
from resnet_lab.text import percent

if TYPE_CHECKING:
    from resnet_lab.weights.evaluate import Candidate, Measured
    from resnet_lab.weights.known import Known


RunArgument = Annotated[
    str | None, typer.Argument(metavar="RUN", help="Run as STUDY/RUN, or its folder.", autocompletion=completion.runs)
]
WeightsFile = Annotated[
    Path | None, typer.Option(help="Weights file to evaluate: .safetensors or a torch file, from resnet-lab or other tools.")
]
At = Annotated[int | None, typer.Option("--at", min=0, help="Step of the run's checkpoint (default: the newest checkpoint).")]
FileDepth = Annotated[int | None, typer.Option(help="Require this depth of the file's network, which is read from its tensors.")]
FilePadding = Annotated[Padding | None, typer.Option(help="Position of the zero channels in the file's option-A shortcuts.")]
FileStride = Annotated[StrideOn | None, typer.Option(help=f"Layer with the stride in the file's {STRIDE_BLOCKS}.")]
FileNormalisation = Annotated[
    Normalisation | None,
    typer.Option(
        metavar="NAME",
        help="Input normalisation of the file's network. `per-pixel`: pixels / 255 minus the mean training image; `imagenet`, "
        "`channel`: standardised by channel with ImageNet's or the training images' mean and deviation.",
    ),
]
FileImages = Annotated[
    FileDataset | None,
    typer.Option(
        metavar="NAME",
        help="Data set of the file's network: `cifar10`, `cifar100`, or `folder`, with train/CLASS/ and val/CLASS/ (default: by "
        "the number of classes).",
    ),
]
FileImageSize = Annotated[
    int | None, typer.Option(min=32, max=4096, help="Input size of the file's network on a folder's images, in pixels.")
]
Views = Annotated[
    int | None,
    typer.Option(help="Crops per test image of a folder: 1 (centre) or 10 (default: 1, or the run's setting)."),
]
OnTraining = Annotated[bool, typer.Option("--train", help="Also report the clean error on the training images.")]


def evaluate(
    run: RunArgument = None,
    weights: WeightsFile = None,
    at: At = None,
    plain: Plain = False,
    residual: Residual = False,
    depth: FileDepth = None,
    padding: FilePadding = None,
    stride_on: FileStride = None,
    normalisation: FileNormalisation = None,
    dataset: FileImages = None,
    image_size: FileImageSize = None,
    views: Views = None,
    train: OnTraining = False,
    runs: Runs = DEFAULT_ROOT,
    data_dir: ImagesDir = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure the test error of a run or a weights file, and report which network it is and how that is known.

    Properties that a file does not contain are assumed; a safetensors file of `resnet-lab export` contains them all.
    Files with resnet-lab's names get resnet-lab's conventions, others --padding both and --normalisation imagenet.
    """
    kind = kind_of(plain, residual)
    file_options = {
        "--plain/--residual": kind,
        "--depth": depth,
        "--padding": padding,
        "--stride-on": stride_on,
        "--normalisation": normalisation,
        "--dataset": dataset,
        "--image-size": image_size,
    }
    _refuse(run, weights, at, views, [name for name, value in file_options.items() if value is not None])
    folder = None if run is None else _only_run(runs, run)

    from resnet_lab.run.device import Resources
    from resnet_lab.weights.evaluate import from_run, from_weights
    from resnet_lab.weights.known import Choices

    resources = Resources(data_dir, device, threads)
    if folder is not None:
        candidate = from_run(folder, at, views, resources)
    else:
        assert weights is not None
        choices = Choices(kind, depth, padding, stride_on, normalisation, dataset, image_size, views)
        candidate = from_weights(weights, choices, resources, train=train)
    _evaluate(candidate, train=train, as_json=as_json)


def _evaluate(candidate: "Candidate", *, train: bool, as_json: bool) -> None:
    """Measure a network's errors; show each as soon as it is measured, or all as JSON at the end."""
    from resnet_lab.weights.evaluate import measure

    if candidate.is_stand_in:
        terminal.stand_in()
    if not as_json:
        _show_candidate(candidate)
    with exits_on_ctrl_c():
        with terminal.working("Evaluating the test images"):
            on_test = measure(candidate, candidate.inputs.test, candidate.views)
        if not as_json:
            _show("test", on_test)
        on_train = None
        if train and candidate.inputs.train is not None:
            with terminal.working("Evaluating the training images"):
                on_train = measure(candidate, candidate.inputs.train)
    if as_json:
        terminal.result_json(_values(candidate, on_test, on_train))
    elif on_train is not None:
        _show("training", on_train)


def _refuse(run: str | None, weights: Path | None, at: int | None, views: int | None, file_options: list[str]) -> None:
    """Raise ConfigError for options that exclude each other; `file_options` are the given ones that apply to files only."""
    if (run is None) == (weights is None):
        raise ConfigError("Name either a run, such as quick/residual-20-s0, or a file with --weights FILE.")
    if views not in (None, 1, 10):
        raise ConfigError(f"--views must be 1 or 10, got {views}.")
    if run is not None and file_options:
        raise ConfigError(f"A run already defines its network; drop {', '.join(file_options)}.")
    if weights is not None and at is not None:
        raise ConfigError("--at selects a checkpoint of a run, but a weights file has only one network; drop --at.")


def _only_run(root: Path, name: str) -> RunFolder:
    name = name.rstrip("/")
    folders = find_runs(root, [name])
    if len(folders) > 1:
        raise ConfigError(f"{name} has {len(folders)} runs: name one of them, such as {name}/{folders[0].path.name}.")
    return folders[0]


def _show_candidate(candidate: "Candidate") -> None:
    terminal.result(candidate.name)
    rows = [(known.name, _value(known), _how(known)) for known in candidate.known]
    terminal.table(("", "value", "known from"), rows)


def _value(known: "Known") -> str:
    words = {"end": "at the end", "both": "both sides"}
    return words.get(str(known.value), str(known.value))


def _how(known: "Known") -> str:
    return {
        "tensors": f"the file: {known.how}",
        "metadata": "the file's metadata",
        "option": "given",
        "assumed": f"ASSUMED; change with {known.how}",
        "usual": f"by convention; change with {known.how}",
        "run": "the run's config",
    }[known.source]


def _show(images: str, measured: "Measured") -> None:
    terminal.sentence(
        f"{images} error {percent(measured.error)}: {measured.wrong:,} of {measured.images:,} images wrong, "
        f"loss {measured.loss:.4f}"
    )
    if not math.isfinite(measured.loss):
        terminal.note(
            "The loss is not finite: the network's weights or outputs contain NaN or infinity, so the error is meaningless."
        )


def _values(candidate: "Candidate", on_test: "Measured", on_train: "Measured | None") -> dict[str, Any]:
    """The result as JSON. Errors are fractions; a loss that is not finite is null."""

    def _measured(measured: "Measured") -> dict[str, Any]:
        loss = measured.loss if math.isfinite(measured.loss) else None
        return {"error": measured.error, "wrong": measured.wrong, "images": measured.images, "loss": loss}

    return {
        "evaluated": candidate.name,
        "network": candidate.model.model_dump(mode="json") | {"num_classes": candidate.num_classes},
        "padding": candidate.value("padding"),
        "normalisation": candidate.value("normalisation"),
        "images": candidate.value("images"),
        "image_size": candidate.inputs.test.size,
        "views": candidate.views,
        "known_from": {known.name: known.source for known in candidate.known},
        "assumed": {known.name: known.how for known in candidate.known if known.source == "assumed"},
        "test": _measured(on_test),
        "train": None if on_train is None else _measured(on_train),
    }
