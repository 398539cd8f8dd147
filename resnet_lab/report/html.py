"""Renders a document as one self-contained HTML page. It makes no requests, escapes all text and is complete without scripts.

The page's Content-Security-Policy allows only its own style and script, by their hashes.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.resources import files
from itertools import count
from typing import Any

import jinja2
from markupsafe import Markup, escape

from resnet_lab.presentation.blocks import Bullets, Chart, Document, Heading, Picture, Series, Table, Text
from resnet_lab.report.drawing import drawings
from resnet_lab.text import printable

MOST_POINTS, _FEWEST_POINTS, _MOST_IN_TOTAL = 400, 100, 40_000  # in the page's data: per line, and in total
_STYLES = ("page.css", "curves/curves.css")
_SCRIPTS = (
    "curves/elements.js",
    "curves/data.js",
    "curves/scales.js",
    "curves/panels.js",
    "curves/state.js",
    "curves/download.js",
    "curves/pointer.js",
    "curves/controls.js",
    "curves/explore.js",
    "page.js",
)
_IN_JSON = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def render(document: Document) -> str:
    """Render the page; the same document gives the same bytes."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("resnet_lab", "report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    kinds = {"text": Text, "heading": Heading, "bullets": Bullets, "table": Table, "picture": Picture}
    environment.tests |= {name: _is(kind) for name, kind in kinds.items()}
    numbers = count(1)
    environment.filters |= {
        "capitalised": lambda text: text[:1].upper() + text[1:],
        "code": _code,
        "data": _data,
        "drawing": lambda picture: Markup(drawings(picture, next(numbers))),
    }
    style, script = _joined(_STYLES), f"(() => {{\n{_joined(_SCRIPTS)}}})();"
    policy = f"default-src 'none'; style-src {_hashed(style)}; script-src {_hashed(script)}; base-uri 'none'; form-action 'none'"
    page = environment.get_template("page.html.jinja").render(
        document=document, policy=Markup(policy), style=Markup(style), script=Markup(script)
    )
    return printable(page)


def _joined(names: Sequence[str]) -> str:
    return "\n".join(files("resnet_lab.report").joinpath(name).read_text(encoding="utf-8") for name in names)


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _is(kind: type) -> Callable[[object], bool]:
    return lambda block: isinstance(block, kind)


def _code(text: str) -> Markup:
    """Escape text, mark up code in backticks, and keep percent signs on the line of their number."""
    escaped = str(escape(text)).replace(" %", "\N{NO-BREAK SPACE}%")
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))


def _data(chart: Chart) -> Markup:
    """The chart as JSON without characters that act as markup, thinned to a limited number of points."""
    shown = [series for series in chart.series if series.steps]
    max_points = max(_FEWEST_POINTS, min(MOST_POINTS, _MOST_IN_TOTAL // max(len(shown), 1)))
    notes, drawn = [], []
    for parts, records in ((("running",), "training records"), (("training", "test"), "evaluations")):
        of_part = [series for series in shown if series.part in parts]
        stride = -(-max((len(series.steps) for series in of_part), default=0) // max_points) or 1
        notes += [f"One in every {stride} {records} is drawn, and always the last."] if stride > 1 else []
        drawn += [vars(thinned(series, stride)) for series in of_part]
    values: dict[str, Any] = {**vars(chart), "series": drawn, "note": " ".join(notes)}
    return Markup(json.dumps(values, separators=(",", ":")).translate(_IN_JSON))


def thinned(series: Series, stride: int) -> Series:
    """Keep every `stride`-th point of a series and the last one; runs with equal records keep the same steps."""
    kept = [index for index in range(len(series.steps)) if (index + 1) % stride == 0 or index + 1 == len(series.steps)]
    return replace(
        series,
        steps=tuple(series.steps[index] for index in kept),
        hours=tuple(series.hours[index] for index in kept),
        errors=tuple(series.errors[index] for index in kept),
        losses=tuple(series.losses[index] for index in kept),
    )
