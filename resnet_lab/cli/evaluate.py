"""`resnet-lab evaluate`: the error of weights in a file, or of a run's checkpoint."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnet_lab.cli import terminal
from resnet_lab.cli.options import DataDir, Device, Json, Runs, Threads, kind_of
from resnet_lab.cli.watch import ended_by_ctrl_c
from resnet_lab.config.blocks import StrideOn
from resnet_lab.config.datasets import FileDataset
from resnet_lab.config.terms import Normalisation, Padding
from resnet_lab.errors import ConfigError
from resnet_lab.record.store import RunFolder
from resnet_lab.record.study import DEFAULT_ROOT, find_runs
from resnet_lab.text import percent

if TYPE_CHECKING:
    from resnet_lab.weights.evaluate import Candidate, Measured
    from resnet_lab.weights.known import Known


def evaluate(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="A run as STUDY/RUN or its folder.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A file of weights: .safetensors, or a torch file, of resnet-lab or of others.")
    ] = None,
    at: Annotated[
        int | None, typer.Option("--at", min=0, help="The run's checkpoint of this step (default: its newest).")
    ] = None,
    plain: Annotated[
        bool | None,
        typer.Option("--plain/--residual", help="The file's network: without shortcuts, or with them.", show_default=False),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(help="Check that the file's network has this depth, which is read off the file anyway.")
    ] = None,
    padding: Annotated[Padding | None, typer.Option(help="Where the file's option-A shortcuts put their zero channels.")] = None,
    stride_on: Annotated[StrideOn | None, typer.Option(help="The layer of the file's bottlenecks that has the stride.")] = None,
    normalisation: Annotated[
        Normalisation | None,
        typer.Option(
            help="What the file's network gets: pixels / 255 minus the mean training image; or minus a mean and divided by a "
            "deviation by channel, ImageNet's or the training images' own."
        ),
    ] = None,
    dataset: Annotated[
        FileDataset | None,
        typer.Option(
            help="The images that the file's network is for (default: by its classes). A folder has train/CLASS and val/CLASS."
        ),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=32, help="Side of what the file's network sees of a folder's images, in pixels.")
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(help="Of each test image of a folder: 1, the centre, or 10 crops (default: 1, or as in the run)."),
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="The clean error on the training images too.")] = False,
    runs: Runs = DEFAULT_ROOT,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Evaluate the network in a file, or of a run, on the test images, and say which network it is and how that is known.

    What a file cannot tell is assumed: with resnet-lab's names what resnet-lab does, with others what most repositories for
    CIFAR-10 do, --padding both and --normalisation imagenet. A safetensors file of `resnet-lab export` tells everything.
    """
    kind = kind_of(plain)
    of_file = {
        "--plain/--residual": kind,
        "--depth": depth,
        "--padding": padding,
        "--stride-on": stride_on,
        "--normalisation": normalisation,
        "--dataset": dataset,
        "--image-size": image_size,
    }
    _refuse(run, weights, at, views, [name for name, value in of_file.items() if value is not None])
    folder = None if run is None else _only_run(runs, run)

    from resnet_lab.run.device import Resources
    from resnet_lab.weights.evaluate import from_run, from_weights, measure
    from resnet_lab.weights.known import Choices

    resources = Resources(data_dir, device, threads)
    if folder is not None:
        candidate = from_run(folder, at, views, resources)
    else:
        assert weights is not None
        choices = Choices(kind, depth, padding, stride_on, normalisation, dataset, image_size, views)
        candidate = from_weights(weights, choices, resources, train=train)
    if candidate.is_stand_in:
        terminal.stand_in()
    if not as_json:
        _show_candidate(candidate)
    with ended_by_ctrl_c():
        on_test = measure(candidate, candidate.seen.test, candidate.views)
        if not as_json:
            _show("test", on_test)
        on_train = measure(candidate, candidate.seen.train) if train and candidate.seen.train is not None else None
    if as_json:
        terminal.result_json(_values(candidate, on_test, on_train))
    elif on_train is not None:
        _show("training", on_train)


def _refuse(run: str | None, weights: Path | None, at: int | None, views: int | None, of_file: list[str]) -> None:
    """Raise ConfigError for options that have no meaning together; `of_file` are those given that are of a file alone."""
    if (run is None) == (weights is None):
        raise ConfigError("Name either a run, such as quick/residual-20-s0, or a file with --weights FILE.")
    if views not in (None, 1, 10):
        raise ConfigError(f"--views takes 1 or 10, got {views}.")
    if run is not None and of_file:
        raise ConfigError(f"A run says itself what it is: leave out {', '.join(of_file)}.")
    if weights is not None and at is not None:
        raise ConfigError("--at names a run's checkpoint, and a file of weights has one network: leave it out.")


def _only_run(root: Path, name: str) -> RunFolder:
    name = name.rstrip("/")
    found = find_runs(root, [name])
    if len(found) > 1:
        raise ConfigError(f"{name} has {len(found)} runs: name one of them, such as {name}/{found[0].path.name}.")
    return found[0]


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
        "assumed": f"ASSUMED; else {known.how}",
        "usual": f"as usual; else {known.how}",
        "run": "the run's config",
    }[known.source]


def _show(images: str, measured: "Measured") -> None:
    terminal.sentence(
        f"{images} error {percent(measured.error)}: {measured.wrong:,} of {measured.images:,} images wrong, "
        f"loss {measured.loss:.4f}"
    )
    if not math.isfinite(measured.loss):
        terminal.note(
            "The loss is not finite: the network's outputs, or its weights, are not numbers, and its error means nothing."
        )


def _values(candidate: "Candidate", on_test: "Measured", on_train: "Measured | None") -> dict[str, Any]:
    """Errors are fractions; a loss that is not finite is null."""

    def _measured(measured: "Measured") -> dict[str, Any]:
        loss = measured.loss if math.isfinite(measured.loss) else None
        return {"error": measured.error, "wrong": measured.wrong, "images": measured.images, "loss": loss}

    return {
        "evaluated": candidate.name,
        "network": candidate.model.model_dump(mode="json") | {"num_classes": candidate.num_classes},
        "padding": candidate.value("padding"),
        "normalisation": candidate.value("normalisation"),
        "images": candidate.value("images"),
        "image_size": candidate.seen.test.size,
        "views": candidate.views,
        "known_from": {known.name: known.source for known in candidate.known},
        "assumed": {known.name: known.how for known in candidate.known if known.source == "assumed"},
        "test": _measured(on_test),
        "train": None if on_train is None else _measured(on_train),
    }
