"""A browser, and pages opened in it."""

import shutil

import pytest

from resnet_lab.report import html
from tests.builders import document_of
from tests.report.browser import long_study


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
    opened.set_script_timeout(120)  # axe on a busy machine
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
