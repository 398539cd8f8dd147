"""A document as one self-contained HTML page: no script, no request, everything from disk escaped."""

import re
from collections.abc import Callable
from importlib.metadata import version

import jinja2
from markupsafe import Markup, escape

from resnet_lab.report.blocks import Bullets, Document, Picture, Table, Text


def render(document: Document) -> str:
    """The page; the same bytes for the same document."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("resnet_lab", "report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    kinds = {"text": Text, "bullets": Bullets, "table": Table, "picture": Picture}
    environment.tests |= {name: _is(kind) for name, kind in kinds.items()}
    environment.filters |= {"code": _code, "drawing": _drawing}
    template = environment.get_template("page.html.jinja")
    return template.render(document=document, version=version("resnet-lab"))


def _is(kind: type) -> Callable[[object], bool]:
    return lambda block: isinstance(block, kind)


def _code(text: str) -> Markup:
    """Escape, then show what stands between backticks as code; a percent sign stays on the line of its number."""
    escaped = str(escape(text)).replace(" %", "\N{NO-BREAK SPACE}%")
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))


def _drawing(picture: Picture) -> Markup:
    """The figure's SVG; matplotlib has escaped the texts in it itself."""
    return Markup(picture.svg)
