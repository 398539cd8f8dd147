"""`resnet-lab summary`: a network's layers and cost, alone or beside its plain counterpart, and a drawing of both."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from resnet_lab.cli import terminal
from resnet_lab.cli.options import ConfigOption, Json, Plain, Set, kind_of
from resnet_lab.config.blocks import BLOCK_HELP, DEFAULT_BLOCK, BlockType
from resnet_lab.config.files import load_study
from resnet_lab.config.schema import ModelConfig
from resnet_lab.config.terms import Layout, Shortcut
from resnet_lab.errors import ConfigError

if TYPE_CHECKING:
    from resnet_lab.models.cost import Cost, Layer


def summary(
    depth: Annotated[
        int | None, typer.Option(help="Weighted layers: 20, 32, 44, 56, 110; imagenet: 18, 34, 50, 101, 152.")
    ] = None,
    plain: Plain = None,
    layout: Annotated[
        Layout | None, typer.Option(help="Sec. 4.2's networks or Table 1's (default: the config's, cifar).")
    ] = None,
    block: Annotated[
        BlockType | None,
        typer.Option(help=f"{BLOCK_HELP} (default: the config's, {DEFAULT_BLOCK})."),
    ] = None,
    shortcut: Annotated[
        Shortcut | None, typer.Option(help="Identity, projections where shapes change, or everywhere (default: A).")
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=1, help="Outputs of the final layer (default: the config's, or the layout's 10 or 1000).")
    ] = None,
    pair: Annotated[bool, typer.Option("--pair", help="The plain and the residual network side by side.")] = False,
    draw: Annotated[Path | None, typer.Option(help="Draw both as in the paper's Fig. 3: FILE.svg, .png or .pdf.")] = None,
    config: ConfigOption = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Layers, output shapes, parameters, multiply-adds, activations and receptive fields of a network, for one image.

    Classes and image size are those of --config and of --set data.KEY, if given, else the layout's.

    Multiply-adds are those of the convolutions and the final layer, counted as in the paper: one for each multiplication.
    What a layer sees is its receptive field: the side of the square of pixels that a number of the output depends on, not cut off
    at the border. Activations are the outputs of these layers in fp32; --json has them by layer.
    """
    from resnet_lab.models.cost import count

    _refuse(draw, pair=pair, plain=plain)
    study = load_study(config, overrides or ())
    pair = pair or (draw is not None and plain is None and not study.sets(("model", "kind")))
    kind = "residual" if pair else kind_of(plain)
    run = study.run(kind=kind, depth=depth, layout=layout, block=block, shortcut=shortcut)
    model = run.model
    says_data = config is not None or any(each.startswith("data.") for each in overrides or ())
    source = run.data if says_data else model  # the layout's own classes and size
    images = _Input(classes or source.num_classes, source.image_size)
    cost, counterpart = count(model, *images), count(model.counterpart, *images)
    if draw is not None:
        _draw(model, images, draw)
    if pair:
        _show_pair(images, model, counterpart, cost, as_json=as_json)
    else:
        _show(images, model, cost, as_json=as_json)


def _refuse(draw: Path | None, *, pair: bool, plain: bool | None) -> None:
    """Raise ConfigError for a drawing that cannot be written, and where one network of a pair is named."""
    if draw is not None and draw.suffix not in (".svg", ".png", ".pdf"):
        raise ConfigError(f"--draw takes a file that ends in .svg, .png or .pdf, got {draw}.")
    if draw is not None and not draw.parent.is_dir():
        raise ConfigError(f"--draw {draw}: there is no folder {draw.parent}; make it first.")
    if pair and plain is not None:
        raise ConfigError("--pair shows the plain and the residual network: leave --plain or --residual out.")


class _Input(NamedTuple):
    """What a network is for: images of this size in pixels, of so many classes."""

    num_classes: int
    image_size: int


def _show(images: _Input, model: ModelConfig, cost: "Cost", *, as_json: bool) -> None:
    if as_json:
        terminal.result_json(model.model_dump(mode="json") | images._asdict() | dataclasses.asdict(cost))
        return
    rows = [(*_row(layer), f"{layer.receptive_field:,}") for layer in cost.layers]
    rows.append((*_total(model, cost), ""))
    terminal.table(("layer", "operation", "output", "parameters", "multiply-adds", "sees"), rows)
    size = images.image_size
    terminal.note(
        f"{_title(model)}, an image of {size}x{size} pixels. Parameters of a convolution include its batch normalisation's."
    )
    terminal.note(_memory(cost))


def _show_pair(images: _Input, model: ModelConfig, plain: "Cost", residual: "Cost", *, as_json: bool) -> None:
    differences = {
        "parameters": residual.parameters - plain.parameters,
        "multiply_adds": residual.multiply_adds - plain.multiply_adds,
        "shortcuts": {block.name: block.shortcut for block in residual.blocks},
    }
    if as_json:
        beside = {"plain": dataclasses.asdict(plain), "differences": differences}
        terminal.result_json(model.model_dump(mode="json") | images._asdict() | dataclasses.asdict(residual) | beside)
        return
    rows = [*_pair_rows(plain, residual), _pair_row("total", "", plain.layers, residual.layers, "")]
    header = ("part", "output", "plain parameters", "residual", "plain 10^6 mult.", "residual", "shortcut")
    terminal.table(header, rows)
    terminal.note(f"{_title(model.counterpart)} and {_title(model)}: {_difference(differences)}.")


def _pair_rows(plain: "Cost", residual: "Cost") -> "Iterator[tuple[str, ...]]":
    """The stem, every block and the head of both networks."""
    yield _pair_row("stem", _shape(plain.layers[0].output_shape), plain.layers[:1], residual.layers[:1], "")
    for block in residual.blocks:
        ours, theirs = ([layer for layer in cost.layers if layer.name.startswith(f"{block.name}.")] for cost in (plain, residual))
        yield _pair_row(block.name, _shape(block.output_shape), ours, theirs, block.shortcut)
    yield _pair_row("head", _shape(plain.layers[-1].output_shape), plain.layers[-1:], residual.layers[-1:], "")


def _pair_row(
    name: str, shape: str, plain: "Sequence[Layer]", residual: "Sequence[Layer]", shortcut: str
) -> tuple[str, str, str, str, str, str, str]:
    parameters = [f"{sum(layer.parameters for layer in layers):,}" for layers in (plain, residual)]
    multiply_adds = [f"{sum(layer.multiply_adds for layer in layers) / 1e6:,.2f}" for layers in (plain, residual)]
    return name, shape, parameters[0], parameters[1], multiply_adds[0], multiply_adds[1], shortcut


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _row(layer: "Layer") -> tuple[str, str, str, str, str]:
    return (
        layer.name.removesuffix(".conv"),
        layer.operation,
        _shape(layer.output_shape),
        f"{layer.parameters:,}",
        f"{layer.multiply_adds:,}",
    )


def _total(model: ModelConfig, cost: "Cost") -> tuple[str, str, str, str, str]:
    projections = len(cost.layers) - model.depth
    layers = f"{model.depth} weighted layers" + (f", {projections} projections" if projections else "")
    return "total", layers, "", f"{cost.parameters:,}", f"{cost.multiply_adds:,}"


def _title(model: ModelConfig) -> str:
    parts = [model.kind, "network of depth", str(model.depth)]
    if model.layout == "imagenet":
        parts.append("for ImageNet (a 3x3 max pooling of stride 2 follows the stem)")
    if model.block != DEFAULT_BLOCK:
        parts.append(f"of {model.block} blocks")
    if model.block_facts.chooses_stride:
        parts.append(f"(stride on the {'first 1x1' if model.stride_on == '1x1' else '3x3'} layer)")
    if model.shortcut != "A":
        parts.append(f"with shortcuts of option {model.shortcut}")
    elif model.kind == "residual" and model.pad_channels == "both":
        parts.append("with zero channels on both sides of the identity's")
    return " ".join(parts)


def _memory(cost: "Cost") -> str:
    whole, blocks = (number / 2**20 for number in (cost.activation_bytes, cost.block_activation_bytes))
    return f"Outputs of all layers take {whole:.2f} MiB an image in fp32, those of the blocks alone {blocks:.2f} MiB."


def _difference(differences: dict[str, Any]) -> str:
    if not differences["parameters"] and not differences["multiply_adds"]:
        return "equal in parameters and multiply-adds; the shortcuts are the only difference"
    return (
        f"the residual one has {differences['parameters']:,} more parameters and {differences['multiply_adds']:,} more "
        "multiply-adds, those of its projections"
    )


def _draw(model: ModelConfig, images: _Input, path: Path) -> None:
    from resnet_lab.models.cost import count
    from resnet_lab.report.architecture import architecture, write

    residual = model if model.kind == "residual" else ModelConfig.model_validate(model.model_dump() | {"kind": "residual"})
    costs: Sequence[Cost] = count(model.counterpart, *images), count(residual, *images)
    write(architecture(model.depth, *costs), path)
    terminal.note(f"Drawn: {path}")
