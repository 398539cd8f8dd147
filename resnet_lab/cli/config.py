"""`resnet-lab config`: the settings of a config, and their JSON schema."""

from typing import Annotated

import typer

from resnet_lab.cli import completion, terminal
from resnet_lab.cli.help import Command, group
from resnet_lab.cli.options import Json, Set
from resnet_lab.config.files import json_schema, load_study, presets
from resnet_lab.config.settings import to_toml

app = group("Show presets, settings and their schema.", "resnet-lab config show quick")


@app.command(cls=Command, epilog="Example: resnet-lab config show quick")
def show(
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG", help="Preset name or TOML file (default: list the presets).", autocompletion=completion.configs
        ),
    ] = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Show all settings of a config, with defaults and with durations in steps; without a config, list the presets."""
    if config is None and not overrides:
        _list(as_json)
        return
    study = load_study(config, overrides or ())
    example = study.run(kind=study.sweep.kinds[0], depth=study.sweep.depths[0])
    values = example.model_dump(mode="json", exclude={"model": {"kind", "depth"}}) | {
        "sweep": study.sweep.model_dump(mode="json")
    }
    if slurm := study.slurm().model_dump(mode="json", exclude_defaults=True):
        values["slurm"] = slurm
    if as_json:
        terminal.result_json(values)
        return
    terminal.result(to_toml(values))


@app.command(cls=Command, epilog="Example: resnet-lab config schema > schema.json")
def schema() -> None:
    """Print the JSON schema of config files; every setting is optional, since it has a default or a command-line option."""
    terminal.result_json(json_schema())


def _list(as_json: bool) -> None:
    headers = {name: path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for name, path in presets().items()}
    if as_json:
        terminal.result_json({"presets": headers})
        return
    contents = {name: header.removeprefix(f"{name}: ") for name, header in headers.items()}
    rows = [(name, text[:1].upper() + text[1:]) for name, text in contents.items()]
    terminal.table(("preset", "contents"), rows)
    terminal.note("`resnet-lab config show PRESET` shows the settings of one.")
