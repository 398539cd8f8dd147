"""Figures as SVG elements of the page: small, without inline styles, and in both layouts.

The page's Content-Security-Policy would need 'unsafe-inline' for inline styles, so they are converted to SVG attributes. Text in
figures remains text.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from resnet_lab.presentation.blocks import Picture

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_FONT = re.compile(r"((?:(?:italic|oblique|bold|[1-9]00) )*)([\d.]+px) (.+)")
_COORDINATES = ("d", "x", "y", "transform")
_NUMBER = re.compile(r"-?\d+\.\d+")
_LONG = 400  # characters: a path of many points, unlike a marker
_SPACES = re.compile(r" +(?=[A-Za-z ])|(?<=[A-Za-z]) +| +$")
_REFERENCE = re.compile(r"#([\w.-]+)")


def drawings(picture: Picture, number: int) -> str:
    """The figure in both layouts; the style sheet shows the one that fits the screen. `number` makes its ids unique."""
    colours = " map" if picture.is_map else ""
    wide = drawing(picture.svg, f"f{number}-", f"wide{colours}")
    return wide + drawing(picture.narrow_svg, f"f{number}n-", f"narrow{colours}")


def drawing(svg: str, prefix: str, classes: str) -> str:
    """A figure's SVG with styles as attributes, black as the colour of the text around it, and coordinates of two decimals, of
    one in long paths.

    Ids that it refers to are prefixed with `prefix`, all others are removed, and so is what draws nothing.
    """
    root = ET.fromstring(svg)
    _drop(root, f"{{{_SVG}}}metadata", f"{{{_SVG}}}style")
    for element in root.iter():
        element.attrib |= dict(_declarations(element.attrib.pop("style", "")))
        element.attrib |= {key: _shorter(key, value) for key, value in element.attrib.items()}
        element.text = None if element.text and not element.text.strip() else element.text
        element.tail = None
    _rename(root, prefix)
    _simplify(root)
    families = [element.attrib.pop("font-family") for element in root.iter() if "font-family" in element.attrib]
    root.attrib |= {"font-family": families[0]} if families else {}
    root.attrib |= {"stroke-linejoin": "round", "stroke-linecap": "butt"}  # from matplotlib's style element
    root.attrib |= {"fill": "currentColor", "class": classes}
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    return ET.tostring(root, encoding="unicode")


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


def _shorter(key: str, value: str) -> str:
    if key in _COORDINATES:
        decimals = 1 if key == "d" and len(value) > _LONG else 2
        value = _NUMBER.sub(lambda number: f"{float(number[0]):.{decimals}f}".rstrip("0").rstrip("."), value)
        return _SPACES.sub("", value) if key == "d" else value
    return "currentColor" if value == "#000000" else value


def _rename(root: ET.Element, prefix: str) -> None:
    """Prefix the ids that the drawing refers to, and remove the others."""
    referenced = {name for element in root.iter() for value in element.attrib.values() for name in _REFERENCE.findall(value)}
    for element in root.iter():
        name = element.attrib.pop("id", None)
        if name is not None and name in referenced:
            element.set("id", prefix + name)
        for key, value in element.attrib.items():
            if key == f"{{{_XLINK}}}href" or value.startswith("url("):
                element.set(key, value.replace("#", f"#{prefix}"))


def _simplify(element: ET.Element) -> None:
    """Replace groups without attributes by their content, and remove empty groups and paths."""
    children = []
    for child in element:
        _simplify(child)
        if child.tag == f"{{{_SVG}}}g" and not child.attrib:
            children += list(child)
        elif child.tag != f"{{{_SVG}}}path" or child.get("d"):
            children.append(child)
    element[:] = children
