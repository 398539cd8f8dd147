"""`resnet-lab summary`: a network's layers and cost, alone or beside its counterpart, and a drawing of both."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from resnet_lab.cli import terminal
from resnet_lab.cli.options import ConfigOption, Depth, Json, Plain, Residual, Set, kind_of, refuse_twice
from resnet_lab.config.blocks import BLOCK_HELP, DEFAULT_BLOCK, BlockType
from resnet_lab.config.files import load_study
from resnet_lab.config.model import ModelConfig
from resnet_lab.config.schema import RunConfig
from resnet_lab.config.terms import Kind, Layout, Shortcut
from resnet_lab.errors import ConfigError

if TYPE_CHECKING:
    from resnet_lab.models.cost import Cost, Layer


LayoutOption = Annotated[
    Layout | None, typer.Option(help="cifar: networks of Sec. 4.2; imagenet: Table 1 (default: the config's, or cifar).")
]
BlockOption = Annotated[BlockType | None, typer.Option(help=f"{BLOCK_HELP} (default: the config's, or {DEFAULT_BLOCK}).")]
ShortcutOption = Annotated[
    Shortcut | None,
    typer.Option(
        help="A: identity; B: projections where shapes change; C: projections everywhere (default: the config's, or A)."
    ),
]
Classes = Annotated[
    int | None,
    typer.Option(min=1, max=2**20, help="Outputs of the final layer (default: the config's, or the layout's 10 or 1000)."),
]
Pair = Annotated[bool, typer.Option("--pair", help="Show the plain and the residual network side by side.")]
Draw = Annotated[Path | None, typer.Option(help="Draw both networks in the style of Fig. 3: FILE.svg, .png or .pdf.")]


def summary(
    depth: Depth = None,
    plain: Plain = False,
    residual: Residual = False,
    layout: LayoutOption = None,
    block: BlockOption = None,
    shortcut: ShortcutOption = None,
    classes: Classes = None,
    pair: Pair = False,
    draw: Draw = None,
    config: ConfigOption = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Show layers, output shapes, parameters, multiply-adds, activations and receptive fields of a network, for one image.

    Classes and image size come from --config or --set data.KEY if given, otherwise from the layout.

    Multiply-adds are those of the convolutions and the final layer, one per multiplication as in the paper.
    Field is the receptive field: the side of the square of pixels that an output depends on, not clipped at the border.
    Activations are the outputs of these layers in fp32; --json lists them by layer.
    """
    from resnet_lab.models.cost import count

    kind = kind_of(plain, residual)
    _refuse(draw, pair=pair, kind=kind)
    study = load_study(config, overrides or ())
    refuse_twice(study, kind=kind, depth=depth, layout=layout, block=block, shortcut=shortcut)
    pair = pair or (draw is not None and kind is None and not study.sets(("model", "kind")))
    run = study.run(kind="residual" if pair else kind, depth=depth, layout=layout, block=block, shortcut=shortcut)
    model = run.model
    sets_data = config is not None or any(override.startswith("data.") for override in overrides or ())
    source = run.data if sets_data else model  # the model has the layout's classes and size
    images = _Input(classes or source.num_classes, source.image_size)
    cost, plain_cost = count(model, *images), count(model.counterpart, *images)
    if draw is not None:
        _draw(model, images, draw)
    if pair:
        _show_pair(images, model, plain_cost, cost, as_json=as_json)
    else:
        _show(images, model, cost, as_json=as_json)
    if run.compute.replicas > 1 and not as_json:
        terminal.note(_replicas(run))


def _refuse(draw: Path | None, *, pair: bool, kind: Kind | None) -> None:
    """Raise ConfigError for a drawing that cannot be written, and for --pair with a kind."""
    if draw is not None and draw.suffix not in (".svg", ".png", ".pdf"):
        raise ConfigError(f"--draw needs a file name ending in .svg, .png or .pdf, got {draw}.")
    if draw is not None and not draw.parent.is_dir():
        raise ConfigError(f"--draw {draw}: the folder {draw.parent} does not exist; create it first.")
    if pair and kind is not None:
        raise ConfigError("--pair shows both networks; drop --plain or --residual.")


class _Input(NamedTuple):
    """The input of a network: number of classes, and height and width of the images in pixels."""

    num_classes: int
    image_size: int


def _show(images: _Input, model: ModelConfig, cost: "Cost", *, as_json: bool) -> None:
    if as_json:
        terminal.result_json(model.model_dump(mode="json") | images._asdict() | dataclasses.asdict(cost))
        return
    rows = [(*_row(layer), f"{layer.receptive_field:,}") for layer in cost.layers]
    rows.append((*_total(model, cost), ""))
    terminal.table(("layer", "operation", "output", "parameters", "multiply-adds", "field"), rows)
    size = images.image_size
    included = "those of batch normalisation" if model.norm == "batch" else "the scalars that replace batch normalisation"
    terminal.note(f"{_title(model)}, for an image of {size}x{size} pixels. Convolution parameters include {included}.")
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
    """Rows of the stem, every block and the head, with both networks' costs."""
    yield _pair_row("stem", _shape(plain.layers[0].output_shape), plain.layers[:1], residual.layers[:1], "")
    for block in residual.blocks:
        of_plain, of_residual = (
            [layer for layer in cost.layers if layer.name.startswith(f"{block.name}.")] for cost in (plain, residual)
        )
        yield _pair_row(block.name, _shape(block.output_shape), of_plain, of_residual, block.shortcut)
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
        parts.append("with zero channels on both sides")
    if model.interventions:
        parts.append(f"({', '.join(f'{name} = {value}' for name, value in model.interventions.items())})")
    return " ".join(parts)


def _replicas(run: RunConfig) -> str:
    batch_size, replicas = run.recipe.batch_size, run.compute.replicas
    over = f"each part of {batch_size // replicas} images" if run.compute.bn == "replica" else "the whole batch"
    return f"In training, a batch of {batch_size} images is split into {replicas} parts; BN statistics are over {over}."


def _memory(cost: "Cost") -> str:
    whole, blocks = (number / 2**20 for number in (cost.activation_bytes, cost.block_activation_bytes))
    return f"Activations take {whole:.2f} MiB per image in fp32; the outputs of the blocks alone take {blocks:.2f} MiB."


def _difference(differences: dict[str, Any]) -> str:
    if not differences["parameters"] and not differences["multiply_adds"]:
        return "equal in parameters and multiply-adds; the shortcuts are the only difference"
    return (
        f"the residual one has {differences['parameters']:,} more parameters and {differences['multiply_adds']:,} more "
        "multiply-adds, due to projections or learnable scales"
    )


def _draw(model: ModelConfig, images: _Input, path: Path) -> None:
    from resnet_lab.models.cost import count
    from resnet_lab.report.architecture import architecture, write

    residual = model if model.kind == "residual" else ModelConfig.model_validate(model.model_dump() | {"kind": "residual"})
    costs: Sequence[Cost] = count(model.counterpart, *images), count(residual, *images)
    write(architecture(model.depth, *costs), path)
    terminal.note(f"Drawing: {path}")
