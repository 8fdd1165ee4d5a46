"""The report in a real browser: sorts, filters, opens, downloads, fits a phone, follows the theme."""

import csv
import io
import json
import shutil
import time

import pytest
import report_samples

from reports.page import embedded, history_key, write_page
from reports.tables import EXPORT_COLUMNS

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER),
    reason="needs chromium and chromedriver (Debian: chromium chromium-driver)",
)

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)
REGRESSED = "case-pixel7-ppocr_det-ncnn-1-0-20261020-fp16-t4-cpu"


@pytest.fixture(scope="module")
def night():
    return [*report_samples.nightly(iterations=120), *report_samples.emulated(iterations=20)]


@pytest.fixture(scope="module")
def info():
    return report_samples.night_info(devices=("pixel7", "pi5-qemu"), planned=61)


@pytest.fixture(scope="module")
def address(tmp_path_factory, night, info):
    path = tmp_path_factory.mktemp("report") / "report.html"
    history = {history_key(measurement): report_samples.earlier(measurement) for measurement in night}
    write_page(path, info, night, history=history)
    return path.as_uri()


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(tmp_path_factory, downloads):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, address):
    """The page, fresh, in the light theme; at the end the console must be silent."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    theme(browser, "light")
    browser.get("about:blank")
    browser.get_log("performance")
    browser.get(address)
    browser.execute_script("localStorage.clear(); delete document.documentElement.dataset.theme")
    yield browser
    assert browser.get_log("browser") == []


def theme(browser, name):
    features = [
        {"name": "prefers-color-scheme", "value": name},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def shown_rows(page):
    return page.execute_script(
        "return [...document.querySelectorAll('#cases tbody tr')].filter(r => !r.hidden).length"
    )


def column(page, index):
    rows = "[...document.querySelectorAll('#cases tbody tr')]"
    script = f"return {rows}.map(row => row.cells[arguments[0]].dataset.value)"
    return page.execute_script(script, index)


def head(page, text):
    return next(h for h in page.find_elements(By.CSS_SELECTOR, "#cases thead th") if h.text.startswith(text))


def background(page):
    return page.execute_script("return getComputedStyle(document.body).backgroundColor")


def test_the_page_asks_the_network_for_nothing(page, address):
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith(("data:", "about:"))} == {address}


def test_a_heading_sorts_both_ways_and_leaves_the_unmeasured_last(page):
    page.execute_script("arguments[0].querySelector('button').focus()", head(page, "Latency"))
    page.switch_to.active_element.send_keys(Keys.ENTER)
    assert head(page, "Latency").get_attribute("aria-sort") == "ascending"
    values = column(page, 3)
    measured = [float(value) for value in values if value]
    assert measured == sorted(measured)
    assert values[-4:] == [""] * 4
    page.switch_to.active_element.send_keys(Keys.ENTER)
    assert head(page, "Latency").get_attribute("aria-sort") == "descending"
    values = column(page, 3)
    assert [float(value) for value in values if value] == measured[::-1]
    assert values[-4:] == [""] * 4
    head(page, "Runtime").find_element(By.TAG_NAME, "button").click()
    assert column(page, 1) == sorted(column(page, 1))
    assert head(page, "Latency").get_attribute("aria-sort") == "none"


def test_search_and_choices_filter_together(page, night):
    page.find_element(By.ID, "search").send_keys("SIGSEGV")
    assert shown_rows(page) == 1
    assert page.find_element(By.ID, "shown").text == f"1 of {len(night)}"
    page.find_element(By.ID, "clear").click()
    WebDriverWait(page, 5).until(lambda _: shown_rows(page) == len(night))
    Select(page.find_element(By.CSS_SELECTOR, "select[data-key=runtime]")).select_by_visible_text("mnn@3.6.1")
    Select(page.find_element(By.CSS_SELECTOR, "select[data-key=precision]")).select_by_visible_text("int8")
    assert shown_rows(page) == 4
    page.find_element(By.ID, "search").send_keys("no such thing")
    assert page.find_element(By.ID, "nothing").is_displayed()


def test_a_link_opens_its_drill_down_and_draws_the_samples(page):
    assert not page.find_element(By.ID, REGRESSED).get_attribute("open")
    page.find_element(By.CSS_SELECTOR, f'#matrix a[href="#{REGRESSED}"]').click()
    WebDriverWait(page, 5).until(lambda _: page.find_element(By.ID, REGRESSED).get_attribute("open"))
    figure = page.find_element(By.CSS_SELECTOR, f"#{REGRESSED} figure.strip")
    WebDriverWait(page, 5).until(lambda _: figure.find_elements(By.TAG_NAME, "svg"))
    assert "360 timed samples" in figure.text
    dots = sum(path.get_attribute("d").count("M") for path in figure.find_elements(By.TAG_NAME, "path"))
    assert dots == 3 * (120 + 12)
    assert (
        0 <= page.find_element(By.ID, REGRESSED).location["y"] - page.execute_script("return scrollY") < 200
    )


def test_every_drill_down_draws_without_a_complaint(page):
    page.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    figures = (
        "return [...document.querySelectorAll('figure.strip')].filter(f => !f.querySelector('svg')).length"
    )
    WebDriverWait(page, 10).until(lambda _: page.execute_script(figures) == 0)
    wild = page.execute_script("return document.body.innerHTML.match(/NaN|undefined|Infinity/g)")
    assert set(wild or []) <= {"NaN"}
    assert (
        page.execute_script("return document.querySelectorAll('.strip [d*=NaN], .strip [y1=NaN]').length")
        == 0
    )


def test_an_address_with_a_case_opens_that_case(page, address):
    page.get("about:blank")
    page.get(f"{address}#{REGRESSED}")
    assert page.find_element(By.ID, REGRESSED).get_attribute("open")


def test_a_dot_of_the_trade_off_leads_to_its_case(page):
    dot = page.find_element(By.CSS_SELECTOR, f'#tradeoff svg a[href="#{REGRESSED}"] path')
    assert "ncnn" in dot.find_element(By.XPATH, "..").get_attribute("textContent")
    dot.click()
    WebDriverWait(page, 5).until(lambda _: page.find_element(By.ID, REGRESSED).get_attribute("open"))


def test_the_banner_leads_to_a_folded_section_and_opens_it(page):
    page.find_element(By.CSS_SELECTOR, '.tallies a[href="#unclear"]').click()
    WebDriverWait(page, 5).until(
        lambda _: page.find_element(By.CSS_SELECTOR, "#unclear .changes").is_displayed()
    )


def test_a_reason_is_told_on_hover_focus_and_tap(page):
    reason = page.find_element(By.CSS_SELECTOR, "#matrix .clamp[data-tip*=SIGSEGV]")
    page.execute_script("arguments[0].focus()", reason)
    tip = page.find_element(By.ID, "tip")
    assert tip.text == "the runner died with SIGSEGV while loading the artifact"
    reason.send_keys(Keys.ESCAPE)
    assert not tip.is_displayed()
    reason.click()
    assert tip.is_displayed()


def test_downloads_equal_the_data(page, downloads, night, info):
    expected = json.loads(json.dumps(embedded(info, night)))
    page.find_element(By.CSS_SELECTOR, "[data-download=json]").click()
    assert json.loads(arrived(downloads / f"pocketbench-{info.run_id}.json")) == expected
    page.find_element(By.CSS_SELECTOR, "[data-download=csv]").click()
    lines = list(csv.reader(io.StringIO(arrived(downloads / f"pocketbench-{info.run_id}.csv"))))
    assert tuple(lines[0]) == EXPORT_COLUMNS
    assert len(lines) == len(night) + 1
    assert [line[1] for line in lines[1:]] == [measurement.case.model for measurement in night]
    place = EXPORT_COLUMNS.index("latency_ms_median")
    told = [float(line[place]) if line[place] else None for line in lines[1:]]
    assert told == [m.latency.interval.centre_ms if m.latency else None for m in night]


def arrived(path):
    deadline = time.monotonic() + 15
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [320, 375])
def test_nothing_hangs_over_the_edge_of_a_phone(page, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    page.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    assert page.execute_script("return innerWidth") == width


def test_the_page_follows_the_theme_and_the_button_overrides_it(page):
    light = background(page)
    theme(page, "dark")
    dark = background(page)
    assert light == "rgb(251, 251, 250)"
    assert dark == "rgb(15, 17, 21)"
    page.find_element(By.ID, "theme").click()
    assert background(page) == light
    page.refresh()
    assert background(page) == light
    page.find_element(By.ID, "theme").click()
    assert background(page) == dark


CONTRAST = """
const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgb = (colour) => {
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data];
};
const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) =>
  0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const behind = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = rgb(getComputedStyle(e).backgroundColor);
    if (colour[3] > 250) return colour;
  }
};
const pale = new Set();
for (const e of document.querySelectorAll("main *")) {
  const says = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim());
  if (!says || !e.checkVisibility() || e.closest("svg, [aria-hidden=true], .unseen, option")) continue;
  const [a, b] = [luminance(rgb(getComputedStyle(e).color)), luminance(behind(e))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) pale.add(`${e.tagName}.${e.className} ${ratio.toFixed(2)}`);
}
return [...pale];
"""


@pytest.mark.parametrize("name", ["light", "dark"])
def test_all_text_has_enough_contrast(page, name):
    theme(page, name)
    page.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert page.execute_script(CONTRAST) == []
