"""The page in a browser: with and without scripts, by pointer and by keyboard, and with markup in names."""

import dataclasses
import json
import math
import re
import shutil
from collections import Counter

import pytest

from resnet_lab.record.lines import EvalRecord, TrainRecord
from resnet_lab.report import html
from tests.builders import compared, document_of, made_run

PAYLOAD = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\' style="fill:red" \u2028&amp;'


STEPS = 64_000


SIZE_LIMIT = 1_500_000


def long_run(kind, depth, seed=0, records=1280, evaluations=64):
    """A run with as many records as a real one: errors fall; the learning rate drops at a half and at three quarters."""
    level = 0.1 + depth / 1000 + (0.1 if kind == "plain" else 0) + seed / 100

    def error(step):
        return level + 0.6 * math.exp(-9 * step / STEPS) + 0.01 * math.sin(step / 90 + seed)

    def lr(step):
        return 0.1 * 0.1 ** (2 * step > STEPS) * 0.1 ** (4 * step > 3 * STEPS)

    steps = [STEPS * number // records for number in range(1, records + 1)]
    checks = [STEPS * number // evaluations for number in range(1, evaluations + 1)]
    return dataclasses.replace(
        made_run(kind, depth, seed, recipe__steps=STEPS),
        train=[TrainRecord(step, error(step), 1.0, lr(step), 6400, 3.0) for step in steps],
        evaluations=[EvalRecord(step, error(step), 0.1, 10_000, None, None, error(step) + 0.02, 0.1, 1.0) for step in checks],
    )


def long_study(depths=(20, 56), seeds=2, name="study", **sizes):
    kinds = ("plain", "residual")
    return compared([long_run(kind, depth, seed, **sizes) for seed in range(seeds) for kind in kinds for depth in depths], name)


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
def browser():
    """One headless chromium for all tests of this module."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install -e '.[dev]'")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def page():
    return html.render(document_of(long_study(records=600, evaluations=20)))


@pytest.fixture
def show(browser, tmp_path):
    """Open a page, by default 1,200 pixels wide, in light colours and with scripts; returns the browser."""

    def open_page(text, *, width=1200, scheme="light", scripts=True):
        path = tmp_path / "page.html"
        path.write_text(text)
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get(path.as_uri())
        return browser

    yield open_page
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def elements(browser, selector):
    return browser.find_elements("css selector", selector)


def legend_button(browser, text):
    return next(button for button in elements(browser, ".live button") if button.text == text)


def drawn_lines(browser):
    """The SVG path of every line of the chart, by its name."""
    return dict(
        browser.execute_script(
            "return [...document.querySelectorAll('[data-line]')].map(e => [e.dataset.line, e.getAttribute('d')])"
        )
    )


def readout(browser):
    (element,) = elements(browser, ".readout")
    return element.text.replace("\N{NO-BREAK SPACE}", " ")


def press(element, *keys):
    element.send_keys("".join(keys))


def choose_option(browser, text):
    next(label for label in elements(browser, ".bar label") if label.text == text).click()


def action_chain(browser):
    from selenium.webdriver import ActionChains

    return ActionChains(browser, duration=20)


def test_page_makes_no_requests_and_logs_nothing(show, page):
    browser = show(page)
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requested = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    assert [url for url in requested if url != browser.current_url] == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert "unsafe" not in re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]


def test_chart_replaces_the_figure_and_can_be_swapped_back(show, page):
    browser = show(page)
    (still,), (live,) = elements(browser, "figure:has(.chart) .static"), elements(browser, ".live")
    others = elements(browser, "figure:not(:has(.chart), .folded *) .static")
    assert others
    assert all(other.is_displayed() for other in others)  # figures without a chart stay as they are
    assert (still.is_displayed(), live.is_displayed()) == (False, True)
    (swap,) = elements(browser, ".swap button")
    swap.click()
    assert (still.is_displayed(), live.is_displayed()) == (True, False)
    assert swap.get_attribute("aria-pressed") == "true"
    swap.click()
    assert (still.is_displayed(), live.is_displayed()) == (False, True)


def test_hovering_shows_the_values_at_the_nearest_step(show, page):
    browser = show(page)
    assert readout(browser).startswith("step 64,000, mean over seeds")
    (surface,) = elements(browser, ".view > svg")
    action_chain(browser).move_to_element_with_offset(surface, -200, 0).perform()
    shown = readout(browser)
    step = int(re.search(r"step ([\d,]+)", shown)[1].replace(",", ""))
    assert 20_000 < step < 60_000
    runs = [
        run
        for run in long_study(records=600, evaluations=20).runs
        if (run.config.model.kind, run.config.model.depth) == ("plain", 20)
    ]
    values = [min(run.train, key=lambda record: abs(record.step - step)).error for run in runs]
    assert f"plain-20: training {100 * sum(values) / 2:.2f} %, test" in shown
    assert len(elements(browser, ".guide")) == 2
    action_chain(browser).move_to_element(elements(browser, ".swap button")[0]).perform()
    assert elements(browser, ".guide") == []


def test_arrow_keys_move_through_the_values_of_the_chart(show, page):
    from selenium.webdriver import Keys

    browser = show(page)
    (surface,) = elements(browser, ".view > svg")
    press(surface, Keys.HOME)
    first = surface.get_attribute("aria-valuetext")
    press(surface, Keys.ARROW_RIGHT)
    second = surface.get_attribute("aria-valuetext")
    assert first.startswith("step ")
    assert readout(browser).startswith(second)
    assert float(surface.get_attribute("aria-valuenow")) > float(surface.get_attribute("aria-valuemin"))
    press(surface, Keys.ARROW_LEFT)
    assert surface.get_attribute("aria-valuetext") == first
    press(surface, Keys.ESCAPE)
    assert elements(browser, ".guide") == []
    outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_legend_hides_and_isolates_networks_by_mouse_and_keyboard(show, page):
    from selenium.webdriver import Keys

    browser = show(page)
    networks = {"plain-20", "plain-56", "residual-20", "residual-56"}

    def shown():
        drawn = {name.rsplit(" ", 1)[0] for name in drawn_lines(browser)}
        pressed = {button.text for button in elements(browser, ".legend button[aria-pressed=true]")}
        assert drawn == pressed
        return drawn

    assert shown() == networks
    legend_button(browser, "plain-20").click()
    assert shown() == networks - {"plain-20"}
    assert "plain-20" not in readout(browser)
    press(legend_button(browser, "plain-20"), Keys.SPACE)
    assert shown() == networks
    action_chain(browser).double_click(legend_button(browser, "residual-56")).perform()
    assert shown() == {"residual-56"}
    action_chain(browser).double_click(legend_button(browser, "residual-56")).perform()
    assert shown() == networks
    action_chain(browser).key_down(Keys.SHIFT).click(legend_button(browser, "plain-56")).key_up(Keys.SHIFT).perform()
    assert shown() == {"plain-56"}
    browser.execute_script("arguments[0].focus()", legend_button(browser, "residual-20"))
    action_chain(browser).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
    assert shown() == {"residual-20"}
    legend_button(browser, "residual-20").click()
    assert shown() == set()
    assert readout(browser) == "No curve is shown."


def test_controls_for_axis_smoothing_and_seeds_redraw_the_chart(show, page):
    from selenium.webdriver import Keys

    browser = show(page)
    start = drawn_lines(browser)
    assert len(elements(browser, ".band")) == len(start) == 8
    assert len(elements(browser, ".drop")) == 4
    choose_option(browser, "epochs")
    assert readout(browser).startswith("epoch ")
    choose_option(browser, "hours")
    assert re.match(r"hour \d\.\d\d", readout(browser))
    assert elements(browser, ".drop") == []
    choose_option(browser, "steps")
    assert drawn_lines(browser) == start
    (slider,) = elements(browser, "input[type=range]")
    press(slider, Keys.PAGE_UP, Keys.PAGE_UP)
    smooth = drawn_lines(browser)
    assert {name for name in start if smooth[name] != start[name]} == {name for name in start if name.endswith("training")}
    assert re.fullmatch(r"mean of the last \d+ points", slider.get_attribute("aria-valuetext"))
    press(slider, Keys.HOME)
    choose_option(browser, "each seed")
    assert len(drawn_lines(browser)) == 16
    assert elements(browser, ".band") == []
    choose_option(browser, "1")
    assert {name.split()[0][-3:] for name in drawn_lines(browser)} == {"-s0"}
    choose_option(browser, "mean with range")
    assert elements(browser, ".band") == []
    assert "mean over seeds" not in readout(browser)


def test_page_without_scripts_has_all_figures_and_tables(show, page):
    browser = show(page, scripts=False)
    assert len(elements(browser, ".static svg")) == page.count('class="static"')
    for summary in elements(browser, ".folded > summary"):
        summary.click()
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


def test_figure_on_a_narrow_screen_scrolls_and_stays_readable(show, page):
    browser = show(page, width=320, scripts=False)
    for still in elements(browser, "figure:not(.folded *) .static"):
        assert still.get_attribute("tabindex") == "0"
        (drawing,) = still.find_elements("css selector", "svg")
        scale = drawing.rect["width"] / browser.execute_script("return arguments[0].viewBox.baseVal.width", drawing)
        assert 9 * scale > 7  # the size of the labels
        assert still.rect["width"] <= drawing.rect["width"]


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
    (drawing,), (table,) = elements(browser, ".glance .static svg"), elements(browser, ".glance > .scroll table")
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
    browser = show(page)
    browser.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    browser.execute_script("document.querySelectorAll('details.folded').forEach(each => { each.open = true; })")
    (first, *_) = elements(browser, "button.copy")
    first.click()
    assert first.text == "copied"
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
