"""Renders a document as one self-contained HTML page. It makes no requests, escapes all text and is complete without scripts.

The page's Content-Security-Policy allows only its own style and script, by their hashes. Inline styles in the figures' SVG would
need 'unsafe-inline', so they are converted to SVG attributes; text in figures remains text.
"""

import base64
import hashlib
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.resources import files
from itertools import count
from typing import Any

import jinja2
from markupsafe import Markup, escape

from resnet_lab.presentation.blocks import Bullets, Chart, Document, Heading, Picture, Series, Table, Text
from resnet_lab.text import printable

MOST_POINTS, _FEWEST_POINTS, _MOST_IN_TOTAL = 400, 100, 40_000  # in the page's data: per line, and in total
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_FONT = re.compile(r"((?:(?:italic|oblique|bold|[1-9]00) )*)([\d.]+px) (.+)")
_REFERENCE = re.compile(r"#([\w.-]+)")
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
        "drawing": lambda picture: drawing(picture.svg, f"f{next(numbers)}-"),
    }
    style, script = (files("resnet_lab.report").joinpath(name).read_text() for name in ("page.css", "page.js"))
    policy = f"default-src 'none'; style-src {_hashed(style)}; script-src {_hashed(script)}; base-uri 'none'; form-action 'none'"
    page = environment.get_template("page.html.jinja").render(
        document=document, policy=Markup(policy), style=Markup(style), script=Markup(script)
    )
    return printable(page)


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _is(kind: type) -> Callable[[object], bool]:
    return lambda block: isinstance(block, kind)


def _code(text: str) -> Markup:
    """Escape text, mark up code in backticks, and keep percent signs on the line of their number."""
    escaped = str(escape(text)).replace(" %", "\N{NO-BREAK SPACE}%")
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))


def drawing(svg: str, prefix: str) -> Markup:
    """A figure's SVG with styles as attributes. Ids that it refers to are prefixed with `prefix`, all others are removed."""
    root = ET.fromstring(svg)
    _drop(root, f"{{{_SVG}}}metadata", f"{{{_SVG}}}style")
    root.attrib |= {"stroke-linejoin": "round", "stroke-linecap": "butt"}  # from matplotlib's style element
    referenced = {name for element in root.iter() for value in element.attrib.values() for name in _REFERENCE.findall(value)}
    for element in root.iter():
        element.attrib |= dict(_declarations(element.attrib.pop("style", "")))
        name = element.attrib.pop("id", None)
        if name is not None and name in referenced:
            element.set("id", prefix + name)
        for key, value in element.attrib.items():
            if key == f"{{{_XLINK}}}href" or value.startswith("url("):
                element.set(key, value.replace("#", f"#{prefix}"))
        if element.text and not element.text.strip():
            element.text = None
        element.tail = None
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    return Markup(ET.tostring(root, encoding="unicode"))


def _drop(element: ET.Element, *tags: str) -> None:
    for child in list(element):
        if child.tag in tags:
            element.remove(child)
        else:
            _drop(child, *tags)


def _declarations(style: str) -> Iterator[tuple[str, str]]:
    """The declarations of a style; `font`, which is not an SVG attribute, is split into its parts."""
    for declaration in filter(None, map(str.strip, style.split(";"))):
        name, value = (part.strip() for part in declaration.split(":", 1))
        font = _FONT.fullmatch(value) if name == "font" else None
        if font is None:
            yield name, value
            continue
        for word in font[1].split():
            yield "font-style" if word in ("italic", "oblique") else "font-weight", word
        yield from (("font-size", font[2]), ("font-family", font[3]))


def _data(chart: Chart) -> Markup:
    """The chart as JSON without characters that act as markup, thinned to a limited number of points."""
    shown = [series for series in chart.series if series.steps]
    max_points = max(_FEWEST_POINTS, min(MOST_POINTS, _MOST_IN_TOTAL // max(len(shown), 1)))
    notes, drawn = [], []
    for part, records in (("training", "training records"), ("test", "evaluations")):
        of_part = [series for series in shown if series.part == part]
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
        values=tuple(series.values[index] for index in kept),
    )
