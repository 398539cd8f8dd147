"""The interactive curves in a browser, by pointer and keyboard: every control is tested by what is drawn."""

import csv
import dataclasses
import io
import re
import time
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from resnet_lab.report import html
from tests.builders import compared, document_of, tiny
from tests.report.browser import (
    action_chain,
    box,
    choose_option,
    double_click,
    drawn_lines,
    elements,
    legend_button,
    long_study,
    mouse,
    pixels,
    plot_box,
    points,
    press,
    readout,
    style,
    ticks,
    value_at,
)

SIZES = {"records": 600, "evaluations": 20}  # of the runs on the page
LINES = {
    f"{kind}-{depth} {part}" for kind in ("plain", "residual") for depth in (20, 56) for part in ("training", "test", "running")
}


def runs_of(name):
    return [run for run in long_study(**SIZES).runs if run.name.rsplit("-", 1)[0] == name]


def drag(browser, start, end):
    """Drag the mouse over the first panel, between points as fractions of its width and height."""
    left, top, right, bottom = plot_box(browser)
    places = [(left + x * (right - left), top + y * (bottom - top)) for x, y in (start, end)]
    mouse(browser, ("Pressed", places[0], 1), ("Moved", places[1], 0), ("Released", places[1], 1))


def surface(browser):
    (element,) = elements(browser, ".view > svg")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    return element


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


def test_lines_are_told_apart_by_dashes_width_and_opacity(show, page):
    browser = show(page)
    assert set(drawn_lines(browser)) == LINES
    assert style(browser, ".view .training", "strokeDasharray") == "6px, 3px"
    assert style(browser, ".view .test", "strokeDasharray") == "none"
    assert style(browser, ".view .running", "strokeDasharray") == "none"
    widths = [float(style(browser, f".view .{part}", "strokeWidth")[:-2]) for part in ("training", "test", "running")]
    assert widths[0] >= 2 * widths[1] > 2 * widths[2]
    assert float(style(browser, ".view .running", "strokeOpacity")) < 0.5
    assert all(style(browser, f".view .ink .{part}", "fill") == "none" for part in ("training", "test", "running"))
    (_, y) = points(drawn_lines(browser)["plain-56 training"])[-1]
    clean = np.mean([100 * run.evaluations[-1].train_error for run in runs_of("plain-56")])
    assert value_at(browser, "y", y) == pytest.approx(clean, abs=0.3)


def test_bands_over_seeds_are_filled_with_the_colour_of_their_line(show, page):
    browser = show(page)
    assert len(elements(browser, ".inside .band")) == 8
    assert style(browser, ".inside .band", "fill") == style(browser, ".inside .training", "stroke") != "none"
    assert 0.1 < float(style(browser, ".inside .band", "fillOpacity")) < 0.3
    hide = "document.querySelectorAll('[data-line], .grid').forEach(e => e.remove())"
    browser.execute_script(hide)
    drawn = pixels(browser, ".inside")
    assert ((drawn[..., 0] - drawn[..., 2]) > 15).mean() > 0.01  # an orange tint on white


def test_hovering_shows_a_tooltip_and_the_values_at_the_nearest_step(show, page):
    browser = show(page)
    assert readout(browser).startswith("step 64,000, mean over seeds")
    action_chain(browser).move_to_element_with_offset(surface(browser), -200, 0).perform()
    shown = readout(browser)
    step = int(re.search(r"step ([\d,]+)", shown)[1].replace(",", ""))
    assert 20_000 < step < 60_000
    values = [min(run.evaluations, key=lambda record: abs(record.step - step)).train_error for run in runs_of("plain-20")]
    assert f"plain-20: training {100 * sum(values) / 2:.2f} %, test" in shown
    assert len(elements(browser, ".guide")) == 2
    left, top, right, bottom = box(browser, ".view > svg")
    x, y = (left + right) / 2 - 200, (top + bottom) / 2
    tip = box(browser, ".tip rect")
    assert tip[0] - 20 < x < tip[2] + 20
    assert tip[1] < y < tip[3]
    assert left <= tip[0] <= tip[2] <= right
    texts = [each.text.replace("\N{NO-BREAK SPACE}", " ") for each in elements(browser, ".tip text")]
    assert {"plain-20", "plain-56", "training", f"{100 * sum(values) / 2:.2f} %"} <= set(texts)
    assert "residual-20" not in texts  # those of the panel under the pointer
    assert style(browser, ".tip rect", "fill") == "rgb(255, 255, 255)"
    action_chain(browser).move_to_element(elements(browser, ".swap button")[0]).perform()
    assert elements(browser, ".guide, .tip") == []


def test_arrow_keys_move_through_the_values_of_the_chart(show, page):
    from selenium.webdriver import Keys

    browser = show(page)
    (surface,) = elements(browser, ".view > svg")
    press(surface, Keys.HOME)
    first = surface.get_attribute("aria-valuetext")
    begin = box(browser, ".guide")[0]
    press(surface, Keys.ARROW_RIGHT)
    second = surface.get_attribute("aria-valuetext")
    left, _, right, _ = plot_box(browser)
    assert left - 1 <= begin < box(browser, ".guide")[0] < left + 0.2 * (right - left)
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

    def coloured(name):
        """Whether anything in the figure has the colour of this network."""
        colour = re.findall(r"\d+", style(browser, f"[data-line='{name} training']", "stroke"))
        return lambda: (abs(pixels(browser, ".view > svg") - [int(part) for part in colour]).max(axis=-1) < 25).sum() > 20

    assert shown() == networks
    has_colour = coloured("plain-20")
    assert has_colour()
    legend_button(browser, "plain-20").click()
    assert shown() == networks - {"plain-20"}
    assert "plain-20" not in readout(browser)
    assert not has_colour()  # neither lines, bands nor labels
    assert len(elements(browser, ".inside .band")) == 6
    press(legend_button(browser, "plain-20"), Keys.SPACE)
    assert shown() == networks
    double_click(browser, legend_button(browser, "residual-56"))
    assert shown() == {"residual-56"}
    double_click(browser, legend_button(browser, "residual-56"))
    assert shown() == networks
    action_chain(browser).key_down(Keys.SHIFT).click(legend_button(browser, "plain-56")).key_up(Keys.SHIFT).perform()
    assert shown() == {"plain-56"}
    browser.execute_script("arguments[0].focus()", legend_button(browser, "residual-20"))
    action_chain(browser).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
    assert shown() == {"residual-20"}
    legend_button(browser, "residual-20").click()
    assert shown() == set()
    assert readout(browser) == "No curve is shown."


def test_one_kind_alone_uses_the_full_width(show, page):
    browser = show(page)
    left, _, right, _ = plot_box(browser)
    for name in ("plain-20", "plain-56"):
        legend_button(browser, name).click()
    assert [head.text for head in elements(browser, ".view .head")] == ["residual networks, error in %"]
    wide_left, _, wide_right, _ = plot_box(browser)
    assert wide_right - wide_left > 2 * (right - left)
    assert box(browser, ".view > svg")[2] >= box(browser, ".view")[2] - 1
    (x, _) = points(drawn_lines(browser)["residual-56 test"])[-1]
    assert x > 0.85 * (wide_right - wide_left)


def test_units_of_the_x_axis_and_drops_of_the_learning_rate(show, page):
    browser = show(page)
    start = drawn_lines(browser)
    places = [float(drop.get_attribute("x1")) for drop in elements(browser, ".inside .drop")]
    assert [value_at(browser, "x", place) for place in places] == pytest.approx([32, 48, 32, 48], abs=0.1)  # thousand steps
    choose_option(browser, "epochs")
    assert readout(browser).startswith("epoch ")
    epochs = 64_000 / runs_of("plain-20")[0].config.epoch_steps
    assert value_at(browser, "x", float(elements(browser, ".drop")[0].get_attribute("x1"))) == pytest.approx(epochs / 2, rel=0.01)
    choose_option(browser, "hours")
    assert re.match(r"hour \d\.\d\d", readout(browser))
    assert elements(browser, ".drop") == []
    choose_option(browser, "steps")
    assert drawn_lines(browser) == start


def test_smoothing_is_centred_and_drawn_over_the_faint_raw_line(show, page):
    from selenium.webdriver import Keys

    browser = show(page)
    (slider,) = elements(browser, "input[type=range]")
    press(slider, *[Keys.ARROW_RIGHT] * 5)
    assert slider.get_attribute("aria-valuetext") == "mean of 11 points"
    drawn = drawn_lines(browser)
    assert set(drawn) == LINES | {name.replace("running", "smoothed") for name in LINES if name.endswith("running")}
    raw, smooth = (np.array(points(drawn[f"plain-20 {part}"])) for part in ("running", "smoothed"))
    assert (raw[:, 0] == smooth[:, 0]).all()
    assert smooth[5:-5, 1] == pytest.approx(np.convolve(raw[:, 1], np.full(11, 1 / 11), "valid"), abs=0.2)
    assert smooth[0, 1] == raw[0, 1]  # not drawn towards its later values
    assert float(style(browser, ".inside .smoothed", "strokeOpacity")) > float(
        style(browser, ".inside .running", "strokeOpacity")
    )
    order = [each.get_attribute("class") for each in elements(browser, ".inside [data-line]")]
    assert order.index("running") < order.index("smoothed") < order.index("test") < order.index("training")
    press(slider, Keys.HOME)
    assert set(drawn_lines(browser)) == LINES


def test_lines_and_seeds_can_be_chosen(show, page):
    browser = show(page)
    choose_option(browser, "running")
    assert set(drawn_lines(browser)) == {name for name in LINES if not name.endswith("running")}
    choose_option(browser, "training")
    assert set(drawn_lines(browser)) == {name for name in LINES if name.endswith("test")}
    assert elements(browser, ".inside .running, .inside .training") == []
    choose_option(browser, "each seed")
    assert len(drawn_lines(browser)) == 8
    assert elements(browser, ".inside .band") == []
    choose_option(browser, "1")
    assert {name.split()[0][-3:] for name in drawn_lines(browser)} == {"-s0"}
    choose_option(browser, "mean with range")
    assert elements(browser, ".inside .band") == []
    assert "mean over seeds" not in readout(browser)


def test_loss_is_drawn_on_request(show, page):
    browser = show(page)
    choose_option(browser, "loss")
    assert "plain-20: training 0.1000, test 0.1000, running 1.000." in readout(browser)
    assert elements(browser, ".view .head")[0].text == "plain networks, loss"
    drawn = drawn_lines(browser)
    assert value_at(browser, "y", points(drawn["plain-20 running"])[-1][1]) == pytest.approx(1, abs=0.02)
    assert value_at(browser, "y", points(drawn["plain-20 training"])[-1][1]) == pytest.approx(0.1, abs=0.02)


def test_logarithmic_axis_has_equal_distances_for_equal_ratios(show, page):
    browser = show(page)
    (before,) = (points(drawn_lines(browser)["plain-20 test"]),)
    linear = [value_at(browser, "y", y) for _, y in before]
    choose_option(browser, "log scale")
    after = points(drawn_lines(browser)["plain-20 test"])
    assert [value_at(browser, "y", y, log=True) for _, y in after] == pytest.approx(linear, rel=0.02)
    slope = np.diff(list(ticks(browser, "y").values())) / np.diff(np.log(list(ticks(browser, "y"))))
    assert slope == pytest.approx(slope[0], rel=0.02)
    choose_option(browser, "log scale")
    assert points(drawn_lines(browser)["plain-20 test"]) == before


def test_dragging_zooms_to_the_rectangle_and_a_double_click_resets(show, page):
    browser = show(page)
    start, (left, _, right, _) = drawn_lines(browser), plot_box(browser)
    surface(browser)
    drag(browser, (0.5, 0.4), (0.75, 0.8))
    numbers = ticks(browser, "x")
    assert 31 < min(numbers) < max(numbers) < 49  # half and three quarters of 64 thousand steps
    assert value_at(browser, "x", 48) == pytest.approx(32, abs=0.5)
    path = points(drawn_lines(browser)["plain-56 test"])
    assert path[0][0] < 0  # its start is outside, and is not drawn over the axis:
    assert plot_box(browser)[0] == pytest.approx(left, abs=1)
    margin = pixels(browser, ".view > svg")[30:300, :18]
    assert np.ptp(margin[..., 0] - margin[..., 2]) < 10  # no colour
    double_click(browser, surface(browser))
    assert drawn_lines(browser) == start
    assert plot_box(browser)[2] == pytest.approx(right, abs=1)


def test_flat_drag_zooms_time_alone_and_errors_fill_the_height(show, page):
    browser = show(page)
    surface(browser)
    drag(browser, (0.75, 0.5), (1.0, 0.51))
    assert max(ticks(browser, "y")) < 45  # errors have fallen below
    lowest = max(y for _, y in points(drawn_lines(browser)["residual-20 running"])[-100:])
    _, top, _, bottom = plot_box(browser)
    assert lowest > 26 + 0.85 * (bottom - top)


def test_keys_and_buttons_zoom_follow_the_position_and_reset(show, page):
    from selenium.webdriver import Keys

    browser = show(page)
    start = drawn_lines(browser)
    chart = surface(browser)
    press(chart, Keys.HOME, "+", "+")
    assert max(ticks(browser, "x")) <= 17  # a quarter of 64 thousand steps
    press(chart, *[Keys.PAGE_UP] * 4)
    assert min(ticks(browser, "x")) > 5  # the view has moved with the position
    left, _, right, _ = plot_box(browser)
    assert left <= box(browser, ".guide")[0] <= right + 1
    press(chart, "-", "-", "-")
    assert drawn_lines(browser) == start
    (zoom_in,) = elements(browser, "button[aria-label='Zoom in']")
    (undo,) = elements(browser, "button[aria-label='Reset zoom']")
    assert not undo.is_enabled()
    zoom_in.click()
    assert drawn_lines(browser) != start
    undo.click()
    assert drawn_lines(browser) == start
    press(chart, "+", "0")
    assert drawn_lines(browser) == start


def test_state_is_in_the_address_and_is_restored_on_load_and_by_back(show, page):
    browser = show(page)
    start, address = drawn_lines(browser), browser.current_url
    choose_option(browser, "epochs")
    choose_option(browser, "log scale")
    legend_button(browser, "residual-20").click()
    surface(browser)
    drag(browser, (0.2, 0.5), (0.6, 0.51))
    changed, shared = drawn_lines(browser), browser.current_url
    assert shared.startswith(f"{address}#chart=")
    browser.get("about:blank")
    browser.get(shared)
    assert drawn_lines(browser) == changed
    chosen = browser.execute_script("return [...document.querySelectorAll('.bar input:checked')].map(e => e.value)")
    assert {"epochs", "log scale", "error"} <= set(chosen)
    assert box(browser, ".live")[1] < 900  # in view
    browser.get("about:blank")
    browser.get(address)
    choose_option(browser, "loss")
    browser.back()
    assert drawn_lines(browser) == start
    assert browser.current_url == address
    browser.forward()
    assert "training 0.1" in readout(browser)
    browser.get(f"{address}#chart=0&unit=fortnights&width=x&zoom-x=9,1&without-networks=none")  # of another version, or by hand
    browser.refresh()
    assert drawn_lines(browser) == start


@pytest.fixture
def downloaded(browser, tmp_path):
    """Click a download button; returns the file's content."""
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path / "files")})

    def download(form):
        next(button for button in elements(browser, ".actions button") if button.text == form).click()
        path = tmp_path / "files" / f"curves.{form.lower()}"
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        return path.read_bytes()

    return download


def test_picture_and_data_can_be_downloaded_without_relaxing_the_policy(show, page, downloaded):
    browser = show(page, scheme="dark")
    legend_button(browser, "residual-56").click()
    root = ET.fromstring(downloaded("SVG"))
    lines = [each for each in root.iter() if each.get("data-line")]
    assert {each.get("data-line") for each in lines} == set(drawn_lines(browser))
    dashes = {each.get("data-line").split()[1]: each.get("stroke-dasharray") for each in lines}
    assert dashes == {"training": "6px, 3px", "test": "none", "running": "none"}
    assert root.find(".//*[@class='head']").get("fill") == "rgb(28, 30, 33)"  # dark on white, also from a dark page
    assert root.get("fill") == "rgb(28, 30, 33)"
    image = Image.open(io.BytesIO(downloaded("PNG"))).convert("RGB")
    width, height = (round(2 * float(root.get(side))) for side in ("width", "height"))
    assert image.size == (width, height)
    painted = np.asarray(image).astype(int)
    assert (painted[:20] == 255).all(axis=-1).mean() > 0.8
    wanted = [int(value) for value in re.findall(r"\d+", lines[0].get("stroke"))]
    assert (abs(painted - wanted).max(axis=-1) < 12).sum() > 100
    rows = list(csv.DictReader(io.StringIO(downloaded("CSV").decode())))
    assert {row["name"] for row in rows} == {"plain-20", "plain-56", "residual-20"}
    last = [row for row in rows if (row["name"], row["series"]) == ("plain-20", "training")][-1]
    errors = [100 * run.evaluations[-1].train_error for run in runs_of("plain-20")]
    assert [float(last[key]) for key in ("lowest", "error_percent", "highest")] == pytest.approx(
        [min(errors), np.mean(errors), max(errors)], abs=0.01
    )
    assert browser.get_log("browser") == []


def test_notice_on_synthetic_images_is_part_of_the_downloaded_picture(show, downloaded):
    runs = [
        dataclasses.replace(run, config=run.config.model_copy(update={"data": tiny(data__dataset="synthetic").data}))
        for run in long_study(seeds=1, records=30, evaluations=5).runs
    ]
    browser = show(html.render(document_of(compared(runs))))
    assert elements(browser, ".view .notice-in-chart")[0].is_displayed()
    root = ET.fromstring(downloaded("SVG"))
    (notice,) = [each for each in root.iter() if each.get("class") == "notice-in-chart"]
    assert notice.text == "SYNTHETIC STAND-IN, NOT CIFAR-10"
    assert notice.get("fill") == "rgb(156, 17, 39)"


@pytest.mark.parametrize("width", [320, 390])
def test_panels_are_one_below_the_other_on_a_phone(show, page, width):
    browser = show(page, width=width)
    heads = elements(browser, ".view .head")
    assert heads[0].location["x"] == heads[1].location["x"]
    assert heads[0].location["y"] + 200 < heads[1].location["y"]
    assert box(browser, ".view > svg")[2] <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_line_contrasts_with_the_background(show, page, scheme):
    browser = show(page, scheme=scheme)
    choose_option(browser, "running")
    drawn = pixels(browser, ".inside")
    background = np.median(drawn.reshape(-1, 3), axis=0)
    furthest = abs(drawn - background).sum(axis=-1)
    assert (furthest > 250).mean() > 0.005
    assert (background.mean() > 128) == (scheme == "light")
