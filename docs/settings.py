"""Write docs/settings.md, the reference of all settings, from their schema: python docs/settings.py."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resnet_lab.config.files import json_schema

PAGE = Path(__file__).with_suffix(".md")
HEAD = """# Settings

All settings of config files, with their defaults, as `resnet-lab config schema` states them for editors and programs. On the
command line, `--set KEY=VALUE` overrides a setting. A duration is a number of steps, or text such as `"3 epochs"` or `"50 %"` (of
`recipe.steps`). A preset has values of its own: `resnet-lab config show PRESET`. Settings that do not apply to a network are
refused. `python docs/settings.py` writes this page.
"""
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_OWN_BOUND = 2**31  # larger ones are those of the integers that store a value


def page() -> str:
    """The page as Markdown: a table of the settings of each section."""
    schema = json_schema()
    return "\n".join([HEAD, *_section(schema, schema, "")])


def _section(schema: dict[str, Any], section: dict[str, Any], key: str) -> Iterator[str]:
    """The table of a section's settings, then its sections. `schema` has the definitions; `key` is the section's, with a dot."""
    inner = {name: _sections(schema, field) for name, field in section["properties"].items() if name != "varied"}  # by sweeps
    rows = [_row(f"{key}{name}", section["properties"][name]) for name, sections in inner.items() if not sections]
    if key:
        yield f"## {key.removesuffix('.')}{_alternative(section)}\n\n{section['description']}\n"
    yield from ["| setting | default | values | meaning |", "|---|---|---|---|", *rows, ""] if rows else []
    for name, sections in inner.items():
        for chosen in sections:
            yield from _section(schema, chosen, f"{key}{name}.")


def _sections(schema: dict[str, Any], field: dict[str, Any]) -> list[dict[str, Any]]:
    """The sections that a field may contain; none if it is a setting."""
    references = [choice["$ref"] for choice in field.get("oneOf", [field]) if "$ref" in choice]
    return [schema["$defs"][reference.rpartition("/")[2]] for reference in references]


def _alternative(section: dict[str, Any]) -> str:
    """What tells a section from others with the same key."""
    name = section["properties"].get("name")
    return f": {name['const']}" if name else ""


def _row(key: str, field: dict[str, Any]) -> str:
    default = f"`{json.dumps(field['default'])}`" if field.get("default") is not None else ""
    return f"| `{key}` | {default} | {_values(field)} | {field.get('description', '')} |"


def _values(field: dict[str, Any]) -> str:
    """The values that a setting may have, in words."""
    if "anyOf" in field:
        if any("3 epochs" in choice.get("examples", ()) for choice in field["anyOf"]):
            return "duration"
        return " or ".join(_values(choice) for choice in field["anyOf"] if choice["type"] != "null")
    if "enum" in field:
        return ", ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if field["type"] == "array":
        return f"list: {_values(field['items'])}" if "items" in field else "list"
    kind = {"boolean": "`true`, `false`", "string": "text", "object": "table"}.get(field["type"], field["type"])
    bounds = [f"{sign} {field[bound]:,}" for bound, sign in _BOUNDS.items() if abs(field.get(bound, _OWN_BOUND)) < _OWN_BOUND]
    return " ".join([kind, ", ".join(bounds)]).strip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
