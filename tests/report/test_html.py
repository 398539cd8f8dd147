"""The page as HTML: well formed and self-contained; thinned series; drawings within the page."""

import re
from html.parser import HTMLParser

import pytest

from resnet_lab.presentation.blocks import Series
from resnet_lab.report import html
from resnet_lab.report.drawing import drawing
from tests.builders import compared, document_of, four_runs


class BalancedTags(HTMLParser):
    """Fails if a tag is closed that is not open, or in the wrong order."""

    VOID = ("meta", "br", "hr", "img", "input", "link")

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def comparison():
    return compared(four_runs(), "study")


def test_page_is_well_formed_and_loads_nothing_from_outside(comparison):
    page = html.render(document_of(comparison))
    assert "default-src 'none'" in page
    assert not re.search(r"<link|<img|\ssrc=|@import|url\((?!#)", page)
    assert {link for link in re.findall(r'href="([^"]*)"', page) if not link.startswith("#")} == set()
    BalancedTags().feed(page)
    for title in ("Curves", "Errors", "Verdict and its rule"):
        assert re.search(f"<h2[^>]*><a[^>]*>{title}</a></h2>", page)
    for title in ("Recipe", "Departures from the paper", "Environment and data", "Runs"):
        assert re.search(f"<summary><h2[^>]*>{title}</h2></summary>", page)


def test_thinned_series_has_equal_steps_and_the_last_point():
    def series(length):
        steps = tuple(range(10, 10 * length + 1, 10))
        values = tuple(map(float, steps))
        return Series("r", "n", "plain", 0, "training", "#000", steps, values, values, values)

    assert html.thinned(series(9), 1) == series(9)
    assert html.thinned(series(9), 4).steps == (40, 80, 90)
    assert html.thinned(series(8), 4).errors == (40.0, 80.0)


def test_svg_styles_become_attributes_and_ids_get_a_prefix():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><defs><style>*{}</style>'
        '<path id="a" d="M 0.123456 10 L -3 4.5 z "/></defs><g id="b"><g><path d=""/></g>'
        '<use xlink:href="#a" style="fill: #123456; stroke-width: 2"/></g>'
        '<text style="font: bold 9px \'A B\', serif">style="x" &lt;b&gt;</text></svg>'
    )
    drawn = drawing(svg, "f1-", "wide")
    assert 'xlink:href="#f1-a" fill="#123456" stroke-width="2"' in drawn
    assert drawn.count("<path") == 1
    assert 'd="M0.12 10L-3 4.5z" id="f1-a"' in drawn
    assert "<g" not in drawn
    assert 'id="b"' not in drawn
    assert 'font-weight="bold" font-size="9px">style="x" &lt;b&gt;</text>' in drawn
    assert drawn.count("font-family=\"'A B', serif\"") == 1
    assert "<style" not in drawn
