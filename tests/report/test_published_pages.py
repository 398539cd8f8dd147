"""The pages of reference studies in a browser: sections and figures of real studies, with analyses and varied settings."""

import base64
import re

import pytest

from tests.builders import ROOT
from tests.report.browser import elements

PAGES = {name: ROOT / "reference" / name / "report" / "index.html" for name in ("quick", "cures", "reference")}


@pytest.fixture(params=PAGES)
def published(request):
    return PAGES[request.param].read_text(encoding="utf-8")


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (320, "dark"), (1280, "light"), (1280, "dark")])
def test_axe_finds_no_accessibility_violation(show, published, width, scheme):
    axe = pytest.importorskip("axe_core_python.selenium", reason="axe is not installed: pip install -e '.[dev]'")
    browser = show(published, width=width, scheme=scheme)
    violations = axe.Axe().run(browser)["violations"]
    assert [(each["id"], each["impact"], each["nodes"][0]["html"][:200]) for each in violations] == []


def test_figures_fit_a_phone_and_have_readable_labels(show, published):
    browser = show(published, width=320, scripts=False)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 320
    for still in elements(browser, "figure:not(.folded *) .static"):
        wide, narrow = still.find_elements("css selector", "svg")
        assert (wide.is_displayed(), narrow.is_displayed()) == (False, True)
        sizes = browser.execute_script(
            "const svg = arguments[0], scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;"
            "return [...svg.querySelectorAll('text')].map(e => scale * parseFloat(getComputedStyle(e).fontSize))",
            narrow,
        )
        assert min(sizes) > 7


def test_print_is_a_document_of_few_pages(show):
    browser = show(PAGES["quick"].read_text(encoding="utf-8"))
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 20


@pytest.mark.parametrize(("width", "height"), [(1366, 650), (390, 750)])
def test_first_screen_of_a_laptop_and_of_a_phone_shows_finding_certainty_and_figure(show, published, width, height):
    browser = show(published, width=width)
    layout = "wide" if width > 1000 else "narrow"
    parts = ("h1", ".chips", f".glance .static .{layout}", ".glance .beside table", "header .note")
    bottoms = [each.rect["y"] + each.rect["height"] for part in parts for each in elements(browser, part)[:1]]
    assert len(bottoms) == len(parts)
    first_screen = bottoms if layout == "wide" else bottoms[:3]  # on a phone, the numbers and the note come next
    assert max(first_screen) <= height
    assert max(bottoms) <= 1.5 * height
