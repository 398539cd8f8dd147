"""The page in a browser: with and without scripts, in light and dark, on a phone and in print, and with markup in names.

The interactive curves have tests of their own, in test_curves.py.
"""

import dataclasses
import json
import re
from collections import Counter
from functools import partial

import pytest

from resnet_lab.analysis import surfaces
from resnet_lab.analysis.catalogue.landscape import Landscape
from resnet_lab.presentation.blocks import Illustration, Table
from resnet_lab.report import figures, html
from tests.builders import compared, document_of
from tests.report.browser import elements, long_study, pixels, style

PAYLOAD = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\' style="fill:red" \u2028&amp;'


SIZE_LIMIT = 1_500_000


def page_with_markup_in_names():
    runs = [
        dataclasses.replace(run, environment={"device": PAYLOAD, PAYLOAD: 1})
        for run in long_study(seeds=1, records=30, evaluations=5).runs
    ]
    built = document_of(compared(runs, f"study {PAYLOAD.replace('/', '')}"))  # a folder's name has no slash
    sections = [
        dataclasses.replace(section, blocks=tuple(map(with_markup_in_names, section.blocks))) for section in built.sections
    ]
    return html.render(dataclasses.replace(built, title=f"study {PAYLOAD}", sections=tuple(sections)))


def with_markup_in_names(block):
    if getattr(block, "chart", None) is None:
        return block
    series = tuple(
        dataclasses.replace(each, run=each.run + PAYLOAD, network=each.network + PAYLOAD) for each in block.chart.series
    )
    return dataclasses.replace(block, chart=dataclasses.replace(block.chart, series=series))


@pytest.fixture(scope="module")
def page_with_map():
    """A page with a colour map in its last unfolded section, after figures of lines."""
    comparison = long_study(seeds=1, records=30, evaluations=5)
    losses = tuple(tuple(0.1 * 10 ** (3 * (x * x + y * y)) for x in (-1.0, 0.0, 1.0)) for y in (-1.0, 0.0, 1.0))
    plane = Landscape(
        step=1, dims=2, bn="moving", seed=0, images=1, coordinates=(-1.0, 0.0, 1.0), losses=losses, errors=((0.5,) * 3,) * 3
    )
    table = Table("Losses.", ("run", "loss"), (("plain-20-s0", "0.1"),))
    illustration = Illustration("map", "loss", "Loss.", table, partial(surfaces.contours, {"plain-20-s0": plane}), is_map=True)
    built = document_of(comparison)
    unfolded = [section for section in built.sections if not section.folded]
    last = dataclasses.replace(unfolded[-1], blocks=(figures.on_page(illustration, comparison),))
    return html.render(dataclasses.replace(built, sections=(*unfolded[:-1], last)))


def test_page_makes_no_requests_and_logs_nothing(show, page):
    browser = show(page)
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requested = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    assert [url for url in requested if url != browser.current_url] == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert "unsafe" not in re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]


def test_page_without_scripts_has_all_figures_and_tables(show, page):
    browser = show(page, scripts=False)
    for summary in elements(browser, ".folded > summary"):
        summary.click()
    assert len(elements(browser, ".static .wide")) == page.count('class="static"')
    assert all(
        each.is_displayed() for each in [*elements(browser, ".static"), *elements(browser, "table"), *elements(browser, "td")]
    )
    assert elements(browser, ".live") == []
    figures = elements(browser, "figure")
    assert all(figure.find_elements("css selector", "details table caption") for figure in figures)


def test_printed_page_shows_static_figures_and_folded_sections(show, page):
    browser = show(page)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert all(
        each.is_displayed() for each in [*elements(browser, ".static"), *elements(browser, "section .folded > div > .scroll")]
    )
    assert not any(each.is_displayed() for each in elements(browser, ".live, .swap, .numbers, nav"))
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert not any(details.get_attribute("open") for details in elements(browser, "details"))


@pytest.mark.parametrize("width", [320, 800, 1600])
def test_nothing_overflows_the_page_and_no_labels_overlap(show, page, width):
    browser = show(page, width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    clipped = browser.execute_script("""
        const outside = document.querySelector('.view').getBoundingClientRect();
        const texts = [...document.querySelectorAll('.view text')].map(each => each.getBoundingClientRect());
        const out = texts.filter(box => box.left < outside.left - 1 || box.right > outside.right + 1);
        const meet = (a, b) => a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom;
        return [out.length, texts.filter((a, i) => texts.some((b, j) => i < j && meet(a, b))).length];
    """)
    assert clipped == [0, 0]


@pytest.mark.parametrize("width", [320, 390])
def test_static_figures_are_stacked_and_readable_on_a_phone(show, page_with_map, width):
    browser = show(page_with_map, width=width, scripts=False)
    for still in elements(browser, "figure:not(.folded *) .static"):
        wide, narrow = still.find_elements("css selector", "svg")
        assert (wide.is_displayed(), narrow.is_displayed()) == (False, True)
        assert narrow.rect["width"] <= still.rect["width"]
        scale = narrow.rect["width"] / browser.execute_script("return arguments[0].viewBox.baseVal.width", narrow)
        texts = narrow.find_elements("css selector", "text[font-size]")
        assert min(scale * float(text.get_attribute("font-size").removesuffix("px")) for text in texts) > 7
        assert scale * 9 > 9  # the size of most labels


def test_wide_screens_and_print_show_the_wide_figures(show, page):
    browser = show(page, scripts=False)
    assert all(each.is_displayed() for each in elements(browser, "figure:not(.folded *) .wide"))
    assert not any(each.is_displayed() for each in elements(browser, ".static .narrow"))
    show(page, width=320, scripts=False)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    assert all(each.is_displayed() for each in elements(browser, "figure:not(.folded *) .wide"))


def test_dark_mode_leaves_colour_maps_alone_and_has_no_slabs(show, page_with_map):
    drawn = {}
    for scheme in ("light", "dark"):
        browser = show(page_with_map, scheme=scheme, scripts=False)
        drawn[scheme, "map"], drawn[scheme, "lines"] = pixels(browser, ".map.wide"), pixels(browser, ".wide:not(.map)")
        text = browser.execute_script("return getComputedStyle(document.querySelector('.map text')).fill")
        assert text == style(browser, "body", "color")
    card = drawn["dark", "lines"][2, 2]
    assert (card == [22, 24, 28]).all()  # that of the page
    assert (drawn["dark", "map"][2, 2] == card).all()
    yellow = [abs(drawn[scheme, "map"] - [253, 231, 37]).max(axis=-1) < 30 for scheme in ("light", "dark")]
    assert yellow[0].sum() > 500
    assert yellow[0].sum() == pytest.approx(yellow[1].sum(), rel=0.1)
    assert (drawn["dark", "lines"].mean(axis=-1) > 200).sum() > 500  # bright lines and text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_accessibility_violation(show, page, scheme):
    axe = pytest.importorskip("axe_core_python.selenium", reason="axe is not installed: pip install -e '.[dev]'")
    browser = show(page, scheme=scheme)
    dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
    assert dark == (scheme == "dark")
    violations = axe.Axe().run(browser)["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in violations if each["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_first_screen_has_the_finding_its_certainty_the_figure_and_the_numbers(show, page, width):
    browser = show(page, width=width)
    assert browser.find_element("css selector", "h1").text.startswith("Going from 20 to 56 layers")
    chips = elements(browser, ".chips li")
    assert [chip.text.replace("\n", " ").split(":")[0] for chip in chips] == ["plain networks", "residual networks"]
    (drawing,), (table,) = (
        elements(browser, f".glance .{'wide' if width == 1280 else 'narrow'}"),
        elements(browser, ".glance .beside table"),
    )
    for each in (*chips, drawing, table):
        assert each.rect["y"] + each.rect["height"] <= 900
    beside = table.rect["x"] > drawing.rect["x"] + drawing.rect["width"]
    assert beside == (width == 1280)


def test_contents_stay_in_view_and_lead_to_folded_sections(show, page):
    browser = show(page)
    (recipe,) = [link for link in elements(browser, "nav a") if link.text == "Recipe"]
    recipe.click()
    (details,) = [each for each in elements(browser, "details.folded") if "Recipe" in each.text]
    assert details.get_attribute("open")
    top = browser.execute_script("return document.getElementById('recipe').getBoundingClientRect().top")
    assert 0 <= top < 450
    nav = browser.execute_script(
        "const box = document.querySelector('nav').getBoundingClientRect(); return [box.top, box.bottom]"
    )
    assert 0 <= nav[0] < nav[1] <= 900


def test_a_command_can_be_copied(show, page):
    from selenium.webdriver.support.ui import WebDriverWait

    browser = show(page)
    browser.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    browser.execute_script("document.querySelectorAll('details.folded').forEach(each => { each.open = true; })")
    (first, *_) = elements(browser, "button.copy")
    first.click()
    WebDriverWait(browser, 10).until(lambda _: first.text == "copied")
    copied = browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied.startswith("resnet-lab train --config ")


def test_page_has_ordered_headings_landmarks_and_labels(show, page):
    browser = show(page)
    levels = [int(each.tag_name[1]) for each in elements(browser, "h1, h2, h3")]
    assert levels[0] == 1
    assert set(levels[1:]) == {2}
    assert all(len(elements(browser, landmark)) == 1 for landmark in ("header", "nav", "main", "footer"))
    assert browser.execute_script("return document.querySelector('.skip').hash") == "#report"
    ids = Counter(each.get_attribute("id") for each in elements(browser, "[id]"))
    assert max(ids.values()) == 1
    assert all(each.get_attribute("aria-label") for each in elements(browser, ".static[role=img], .live, .view > svg"))


def test_markup_in_names_is_shown_as_text_and_runs_no_script(show):
    text = page_with_markup_in_names()
    assert PAYLOAD not in text
    assert "\u2028" not in "".join(re.findall(r'application/json"[^>]*>(.*?)</script>', text, re.S))
    browser = show(text)
    assert browser.get_log("browser") == []
    assert elements(browser, "img") == []
    assert len(elements(browser, "script")) == 1 + text.count('class="chart"')
    assert any(PAYLOAD.split("\u2028", 1)[0].strip() in button.text for button in elements(browser, ".legend button"))
    assert PAYLOAD.split("\u2028", 1)[0].strip() in browser.find_element("css selector", ".study").text


def test_page_of_24_runs_is_small_and_deterministic():
    comparison = long_study(depths=(20, 32, 44, 56), seeds=3)
    assert len(comparison.runs) == 24
    text = html.render(document_of(comparison))
    assert len(text.encode()) < SIZE_LIMIT
    assert "One in every 4 training records is drawn, and always the last." in text
    assert text == html.render(document_of(comparison))
