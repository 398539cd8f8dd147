"""The page in a browser: what it shows with and without scripts, by pointer and by keyboard, and what markup in names does."""

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
    """A run with as many records as a real one: errors that fall, the lr divided at a half and at three quarters."""
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


def study(depths=(20, 56), seeds=2, name="study", **sizes):
    kinds = ("plain", "residual")
    return compared([long_run(kind, depth, seed, **sizes) for seed in range(seeds) for kind in kinds for depth in depths], name)


def evil():
    runs = [
        dataclasses.replace(run, environment={"device": PAYLOAD, PAYLOAD: 1})
        for run in study(seeds=1, records=30, evaluations=5).runs
    ]
    built = document_of(dataclasses.replace(compared(runs), study=f"study {PAYLOAD}"))
    sections = [dataclasses.replace(section, blocks=tuple(map(_with_evil_names, section.blocks))) for section in built.sections]
    return html.render(dataclasses.replace(built, sections=tuple(sections)))


def _with_evil_names(block):
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
    return html.render(document_of(study(records=600, evaluations=20)))


@pytest.fixture
def show(browser, tmp_path):
    """Open a page of 1,200 pixels in light colours with scripts on, and hand back the browser."""

    def opened(text, *, width=1200, scheme="light", scripts=True):
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

    yield opened
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def found(browser, selector):
    return browser.find_elements("css selector", selector)


def named(browser, text):
    return next(button for button in found(browser, ".live button") if button.text == text)


def lines(browser):
    """The path of every line that is drawn, by name and part."""
    return dict(
        browser.execute_script(
            "return [...document.querySelectorAll('[data-line]')].map(e => [e.dataset.line, e.getAttribute('d')])"
        )
    )


def readout(browser):
    (element,) = found(browser, ".readout")
    return element.text.replace("\N{NO-BREAK SPACE}", " ")


def press(element, *keys):
    element.send_keys("".join(keys))


def choose(browser, text):
    next(label for label in found(browser, ".bar label") if label.text == text).click()


def actions(browser):
    from selenium.webdriver import ActionChains

    return ActionChains(browser, duration=20)


def test_the_page_asks_for_nothing_and_says_nothing_on_the_console(show, page):
    browser = show(page)
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if url != browser.current_url] == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert "unsafe" not in re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]


def test_the_chart_takes_the_place_of_the_figure_and_gives_it_back(show, page):
    browser = show(page)
    (still, *others), (live,) = found(browser, ".static"), found(browser, ".live")
    assert all(other.is_displayed() for other in others)  # figures without a chart stay as they are
    assert (still.is_displayed(), live.is_displayed()) == (False, True)
    (swap,) = found(browser, ".swap button")
    swap.click()
    assert (still.is_displayed(), live.is_displayed()) == (True, False)
    assert swap.get_attribute("aria-pressed") == "true"
    swap.click()
    assert (still.is_displayed(), live.is_displayed()) == (False, True)


def test_hover_reads_the_values_at_the_nearest_step(show, page):
    browser = show(page)
    assert readout(browser).startswith("step 64,000, mean of the seeds")
    (surface,) = found(browser, ".view > svg")
    actions(browser).move_to_element_with_offset(surface, -200, 0).perform()
    said = readout(browser)
    step = int(re.search(r"step ([\d,]+)", said)[1].replace(",", ""))
    assert 20_000 < step < 60_000
    runs = [
        run for run in study(records=600, evaluations=20).runs if (run.config.model.kind, run.config.model.depth) == ("plain", 20)
    ]
    values = [min(run.train, key=lambda record: abs(record.step - step)).error for run in runs]
    assert f"plain-20: training {100 * sum(values) / 2:.2f} %, test" in said
    assert len(found(browser, ".guide")) == 2
    actions(browser).move_to_element(found(browser, ".swap button")[0]).perform()
    assert found(browser, ".guide") == []


def test_the_chart_is_read_by_arrow_keys(show, page):
    from selenium.webdriver import Keys

    browser = show(page)
    (surface,) = found(browser, ".view > svg")
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
    assert found(browser, ".guide") == []
    outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_the_legend_hides_and_isolates(show, page):
    from selenium.webdriver import Keys

    browser = show(page)
    networks = {"plain-20", "plain-56", "residual-20", "residual-56"}

    def shown():
        drawn = {name.rsplit(" ", 1)[0] for name in lines(browser)}
        pressed = {button.text for button in found(browser, ".legend button[aria-pressed=true]")}
        assert drawn == pressed
        return drawn

    assert shown() == networks
    named(browser, "plain-20").click()
    assert shown() == networks - {"plain-20"}
    assert "plain-20" not in readout(browser)
    press(named(browser, "plain-20"), Keys.SPACE)
    assert shown() == networks
    actions(browser).double_click(named(browser, "residual-56")).perform()
    assert shown() == {"residual-56"}
    actions(browser).double_click(named(browser, "residual-56")).perform()
    assert shown() == networks
    actions(browser).key_down(Keys.SHIFT).click(named(browser, "plain-56")).key_up(Keys.SHIFT).perform()
    assert shown() == {"plain-56"}
    browser.execute_script("arguments[0].focus()", named(browser, "residual-20"))
    actions(browser).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
    assert shown() == {"residual-20"}
    named(browser, "residual-20").click()
    assert shown() == set()
    assert readout(browser) == "No curve is shown."


def test_axis_smoothing_and_seeds_change_the_drawing(show, page):
    from selenium.webdriver import Keys

    browser = show(page)
    start = lines(browser)
    assert len(found(browser, ".band")) == len(start) == 8
    assert len(found(browser, ".drop")) == 4
    choose(browser, "epochs")
    assert readout(browser).startswith("epoch ")
    choose(browser, "hours")
    assert re.match(r"hour \d\.\d\d", readout(browser))
    assert found(browser, ".drop") == []
    choose(browser, "steps")
    assert lines(browser) == start
    (slider,) = found(browser, "input[type=range]")
    press(slider, Keys.PAGE_UP, Keys.PAGE_UP)
    smooth = lines(browser)
    assert {name for name in start if smooth[name] != start[name]} == {name for name in start if name.endswith("training")}
    assert re.fullmatch(r"mean of the last \d+ points", slider.get_attribute("aria-valuetext"))
    press(slider, Keys.HOME)
    choose(browser, "each seed")
    assert len(lines(browser)) == 16
    assert found(browser, ".band") == []
    choose(browser, "1")
    assert {name.split()[0][-3:] for name in lines(browser)} == {"-s0"}
    choose(browser, "mean with range")
    assert found(browser, ".band") == []
    assert "mean of the seeds" not in readout(browser)


def test_without_scripts_all_figures_and_tables_are_there(show, page):
    browser = show(page, scripts=False)
    assert len(found(browser, ".static svg")) == page.count('class="static"')
    assert all(each.is_displayed() for each in [*found(browser, ".static"), *found(browser, "table"), *found(browser, "td")])
    assert found(browser, ".live") == []
    figures = found(browser, "figure")
    assert all(figure.find_elements("css selector", "details table caption") for figure in figures)


def test_print_shows_the_static_figure_and_open_tables(show, page):
    browser = show(page)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert all(each.is_displayed() for each in [*found(browser, ".static"), *found(browser, "details table")])
    assert not any(each.is_displayed() for each in [*found(browser, ".live"), *found(browser, ".swap")])
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert not any(details.get_attribute("open") for details in found(browser, "details"))


@pytest.mark.parametrize("width", [320, 800, 1600])
def test_nothing_is_wider_than_the_page_or_on_top_of_another(show, page, width):
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


def test_on_a_narrow_screen_a_figure_scrolls_in_its_box_and_stays_readable(show, page):
    browser = show(page, width=320, scripts=False)
    for still in found(browser, ".static"):
        assert still.get_attribute("tabindex") == "0"
        (drawing,) = still.find_elements("css selector", "svg")
        scale = drawing.rect["width"] / browser.execute_script("return arguments[0].viewBox.baseVal.width", drawing)
        assert 9 * scale > 7  # the size of the labels
        assert still.rect["width"] < drawing.rect["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(show, page, scheme):
    axe = pytest.importorskip("axe_core_python.selenium", reason="axe is not installed: pip install -e '.[dev]'")
    browser = show(page, scheme=scheme)
    dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
    assert dark == (scheme == "dark")
    violations = axe.Axe().run(browser)["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in violations if each["impact"] in ("serious", "critical")] == []


def test_headings_are_in_order_and_landmarks_and_labels_are_there(show, page):
    browser = show(page)
    levels = [int(each.tag_name[1]) for each in found(browser, "h1, h2, h3")]
    assert levels[0] == 1
    assert set(levels[1:]) == {2}
    assert all(len(found(browser, landmark)) == 1 for landmark in ("header", "nav", "main", "footer"))
    assert browser.execute_script("return document.querySelector('.skip').hash") == "#report"
    ids = Counter(each.get_attribute("id") for each in found(browser, "[id]"))
    assert max(ids.values()) == 1
    assert all(each.get_attribute("aria-label") for each in found(browser, ".static[role=img], .live, .view > svg"))


def test_markup_in_names_does_nothing(show):
    text = evil()
    assert PAYLOAD not in text
    assert "\u2028" not in "".join(re.findall(r'application/json"[^>]*>(.*?)</script>', text, re.S))
    browser = show(text)
    assert browser.get_log("browser") == []
    assert found(browser, "img") == []
    assert len(found(browser, "script")) == 1 + text.count('class="chart"')
    assert any(PAYLOAD.split("\u2028", 1)[0].strip() in button.text for button in found(browser, ".legend button"))
    assert PAYLOAD.split("\u2028", 1)[0].strip() in browser.find_element("css selector", "h1").text


def test_a_study_of_24_runs_is_small_and_the_same_twice():
    comparison = study(depths=(20, 32, 44, 56), seeds=3)
    assert len(comparison.runs) == 24
    text = html.render(document_of(comparison))
    assert len(text.encode()) < SIZE_LIMIT
    assert "One in every 4 training records is drawn, and always the last." in text
    assert text == html.render(document_of(comparison))
