"""`resnet-lab summary`: a network's layers and cost."""

import dataclasses
from typing import Annotated

import typer

from resnet_lab.cli import display
from resnet_lab.cli.options import Json, Set
from resnet_lab.configfile import load_study


def summary(
    depth: Annotated[int | None, typer.Option(help="Weighted layers, 6n+2: 20, 32, 44, 56, 110.")] = None,
    plain: Annotated[
        bool | None, typer.Option("--plain/--residual", help="Without shortcuts, or with them.", show_default=False)
    ] = None,
    config: Annotated[str | None, typer.Option(help="A preset's name or a TOML file; else plateau.")] = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Layers, output shapes, parameters and multiply-adds of a network, for one image.

    Multiply-adds are those of the convolutions and the final layer, counted as in the paper: one for each multiplication.
    """
    from resnet_lab.models.cost import count

    kind = None if plain is None else "plain" if plain else "residual"
    model = load_study(config, overrides or ()).run(kind=kind, depth=depth).model
    cost = count(model)
    if as_json:
        display.result_json(model.model_dump(mode="json") | dataclasses.asdict(cost))
        return
    rows = [
        (layer.name, layer.operation, "x".join(map(str, layer.output_shape)), f"{layer.parameters:,}", f"{layer.multiply_adds:,}")
        for layer in cost.layers
    ]
    rows.append(("total", f"{len(cost.layers)} weighted layers", "", f"{cost.parameters:,}", f"{cost.multiply_adds:,}"))
    display.table(("layer", "operation", "output", "parameters", "multiply-adds"), rows)
    display.note(f"{model.kind} network of depth {model.depth}. Parameters of a convolution include its batch normalisation's.")
