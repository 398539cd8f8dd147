"""What the tests in a browser share: long runs, and ways to look at what is drawn."""

import dataclasses
import io
import math

import numpy as np
from PIL import Image

from resnet_lab.record.lines import EvalRecord, TrainRecord
from tests.builders import compared, made_run

STEPS = 64_000
SCHEDULE = {"name": "milestones", "milestones": [32_000, 48_000]}


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
        made_run(kind, depth, seed, recipe__steps=STEPS, recipe__schedule=SCHEDULE),
        train=[TrainRecord(step, error(step), 1.0, lr(step), 6400, 3.0) for step in steps],
        evaluations=[EvalRecord(step, error(step), 0.1, 10_000, None, None, error(step) + 0.02, 0.1, 1.0) for step in checks],
    )


def long_study(depths=(20, 56), seeds=2, name="study", **sizes):
    kinds = ("plain", "residual")
    return compared([long_run(kind, depth, seed, **sizes) for seed in range(seeds) for kind in kinds for depth in depths], name)


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


def style(browser, selector, name):
    """A computed style of the first element that a selector finds."""
    return browser.execute_script("return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", selector, name)


def box(browser, selector):
    """Left, top, right and bottom of the first element that a selector finds, in pixels of the window."""
    script = "const b = document.querySelector(arguments[0]).getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]"
    return tuple(browser.execute_script(script, selector))


def plot_box(browser):
    """Left, top, right and bottom of the axes of the first panel, in pixels of the window."""
    script = """
        const inside = document.querySelector('.inside'), matrix = inside.parentNode.getScreenCTM();
        const [x, y, width, height] = ['x', 'y', 'width', 'height'].map(side => inside[side].baseVal.value);
        return [matrix.e + x, matrix.f + y, matrix.e + x + width, matrix.f + y + height];
    """
    return tuple(browser.execute_script(script))


def mouse(browser, *events):
    """Press, move and release the mouse: each event is its type, the point in the window, and which click it is."""
    for kind, (x, y), count in events:
        event = {"type": f"mouse{kind}", "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": count}
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", event)


def double_click(browser, element):
    """Click twice, however slow the machine is."""
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    left, top, width, height = browser.execute_script(
        "const b = arguments[0].getBoundingClientRect(); return [b.left, b.top, b.width, b.height]", element
    )
    place = (left + width / 2, top + height / 2)
    mouse(browser, *((kind, place, count) for count in (1, 2) for kind in ("Pressed", "Released")))


def pixels(browser, selector):
    """What is drawn of an element, as RGB values of shape (height, width, 3)."""
    browser.execute_script("document.querySelector(arguments[0]).scrollIntoView()", selector)
    image = Image.open(io.BytesIO(browser.find_element("css selector", selector).screenshot_as_png))
    return np.asarray(image.convert("RGB")).astype(int)


def ticks(browser, axis):
    """The numbers at the x or y axis of the first panel, with their positions in the panel."""
    script = """
        return [...document.querySelector('.view g').querySelectorAll(arguments[0])].map(
            each => [each.textContent, each.x.baseVal[0].value, each.y.baseVal[0].value]);
    """
    return {float(text): (x if axis == "x" else y - 4) for text, x, y in browser.execute_script(script, f".{axis}-tick")}


def value_at(browser, axis, place, log=False):
    """The value at a position, by the ticks of an axis."""
    known = ticks(browser, axis)
    values = np.log10(list(known)) if log else list(known)
    slope, offset = np.polyfit(list(known.values()), values, 1)
    return float(10 ** (slope * place + offset) if log else slope * place + offset)


def points(path):
    """The points of an SVG path of straight lines."""
    return [tuple(map(float, pair.split())) for pair in path.strip("MZ").replace("M", "L").split("L")]
