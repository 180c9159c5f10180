"""The page of `lth report` in Debian's chromium: it draws, sorts, fits, follows dark mode, and loads nothing.

These tests need chromium and chromium-driver. Without them they are skipped, or fail if LTH_REQUIRE_CHROMIUM is set.
"""
import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

import lth as package
from lth.analysis.html_report.report import write_report
from lth.analysis.plotting.figure_set import figure_set
from lth.runs.run_path import RunPath

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('chromium')]
# As the name of a run, which labels of figures and tables show.
NAME = '<img src=x onerror=document.title=1>%{x}'
# Luminance and contrast of WCAG 2.1 for the texts of elements on the first background that is not transparent.
CONTRASTS = """
const channels = (color) => color.match(/[\\d.]+/g).map(Number);
const luminance = (color) => channels(color).slice(0, 3).map((value) => value / 255)
  .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
  .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
const background = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const color = getComputedStyle(at).backgroundColor;
    if ((channels(color)[3] ?? 1) > 0) return color;
  }
  return 'rgb(255, 255, 255)';
};
const ratio = (first, second) => {
  const [low, high] = [luminance(first), luminance(second)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const texts = [...document.querySelectorAll('h1, h2, h3, p, li, dt, dd, td, th button, summary, a, code, figcaption')];
const labels = [...document.querySelectorAll('.xtick text, .ytick text')];
const marks = [...document.querySelectorAll('.scatterlayer .point')];
return {
  text: Math.min(...texts.map((one) => ratio(getComputedStyle(one).color, background(one)))),
  labels: Math.min(...labels.map((one) => ratio(getComputedStyle(one).fill, background(document.body)))),
  marks: Math.min(...marks.map((one) => ratio(getComputedStyle(one).fill, background(document.body)))),
  background: background(document.body),
};
"""


@pytest.fixture(scope='module', name='run')
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two seeds with a control and markup in its name."""

    folder: Path = tmp_path_factory.mktemp('browser') / NAME
    package.find_ticket('lenet-300-100', 'digits', rounds=2, epochs=1, seeds=(0, 1), controls=['reinit'], run=folder)
    return folder


@pytest.fixture(scope='module', name='browser')
def _browser() -> Iterator[webdriver.Chrome]:
    """A browser without a window."""

    chromium, driver = shutil.which('chromium'), shutil.which('chromedriver')
    if chromium is None or driver is None:
        if os.environ.get('LTH_REQUIRE_CHROMIUM'):
            pytest.fail('chromium and chromedriver are not installed: apt-get install chromium chromium-driver')
        pytest.skip('chromium and chromedriver are not installed')
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ('--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'):
        options.add_argument(argument)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield browser
    browser.quit()


@pytest.fixture(name='page')
def _page(browser: webdriver.Chrome, run: Path) -> webdriver.Chrome:
    """The page of the run, opened in light mode and 1,200 pixels wide. What was logged before is forgotten."""

    file = run.parent / 'page.html'
    if not file.exists():
        write_report([RunPath(run)], file)
    show(browser, 'light', 1200)
    for kind in ('browser', 'performance'):
        browser.get_log(kind)
    browser.get(file.as_uri())
    return browser


def show(browser: webdriver.Chrome, scheme: str, width: int) -> None:
    """Set the color scheme and the width of the window."""

    features = [{'name': 'prefers-color-scheme', 'value': scheme}]
    browser.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': features})
    size = {'width': width, 'height': 900, 'deviceScaleFactor': 1, 'mobile': width < 500}
    browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)


def contrasts(page: webdriver.Chrome) -> dict[str, Any]:
    """The least contrasts of the page, when its figures are drawn again in the colors of the page."""

    with contextlib.suppress(TimeoutException):
        WebDriverWait(page, 20).until(lambda page: page.execute_script(CONTRASTS)['labels'] >= 4.5)
    found: dict[str, Any] = page.execute_script(CONTRASTS)
    return found


def column(page: webdriver.Chrome, caption: str, heading: str) -> tuple[Any, list[str]]:
    """The heading of a column and the text of its cells, in the table with this caption."""

    table = page.find_element(By.XPATH, f'//table[caption="{caption}"]')
    headings = table.find_elements(By.TAG_NAME, 'th')
    (place,) = [at for at, one in enumerate(headings) if one.text.startswith(heading)]
    return headings[place], [row.find_elements(By.TAG_NAME, 'td')[place].text
                             for row in table.find_elements(By.CSS_SELECTOR, 'tbody tr')]


def test_the_page_logs_nothing_and_requests_nothing_but_itself(page):
    messages = [json.loads(entry['message'])['message'] for entry in page.get_log('performance')]
    requested = [message['params']['request']['url'] for message in messages
                 if message['method'] == 'Network.requestWillBeSent']
    assert [address for address in requested if not address.startswith(('data:', 'blob:'))] == [page.current_url]
    assert page.get_log('browser') == []


def test_a_request_that_the_page_would_make_is_refused_and_noticed(page):
    page.execute_script("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))")
    assert any('Content Security Policy' in entry['message'] for entry in page.get_log('browser'))


def test_every_figure_is_drawn_with_all_its_points(page, run):
    figures = figure_set([RunPath(run)]).contents
    panels = [panel for figure in figures for panel in figure.panels]
    plots = page.find_elements(By.CSS_SELECTOR, '.plot')
    assert len(plots) == len(panels) > 5
    for plot, panel in zip(plots, panels, strict=True):
        marked = [series for series in panel.series if series.marker != 'none' and series.kind != 'steps']
        drawn = len(plot.find_elements(By.CSS_SELECTOR, '.scatterlayer .point'))
        assert drawn == sum(len(series.points) for series in marked), panel.y.label
        lines = [series for series in panel.series if series.kind != 'points' and len(series.points) > 1]
        assert len(plot.find_elements(By.CSS_SELECTOR, '.scatterlayer .js-line')) >= len(lines)


def test_names_with_markup_are_text_in_tables_legends_and_the_texts_at_points(page, run):
    file, control = run.parent / 'two.html', run.with_name(f'{NAME}-controls') / 'reinit'
    write_report([RunPath(run), RunPath(control)], file)
    page.get(file.as_uri())
    assert page.find_elements(By.TAG_NAME, 'img') == [] and page.title.endswith('lth report')
    assert page.find_element(By.TAG_NAME, 'h3').text == NAME
    plot = page.find_element(By.CSS_SELECTOR, '.plot')
    page.execute_script('Plotly.Fx.hover(arguments[0], [{curveNumber: 1, pointNumber: 0}])', plot)
    assert NAME in plot.find_element(By.CSS_SELECTOR, '.hoverlayer').text.replace('\n', '')


def test_a_label_of_the_legend_hides_and_shows_its_series_in_all_panels_with_the_keyboard(page):
    figure = page.find_element(By.ID, 'figure-0')
    button = figure.find_element(By.CSS_SELECTOR, '.legend [data-label="reinit"]')
    count = 'return document.querySelectorAll("#figure-0 .scatterlayer .point").length'
    before = page.execute_script(count)
    button.send_keys(Keys.ENTER)
    hidden = page.execute_script(count)
    assert button.get_attribute('aria-pressed') == 'false' and before - hidden == 3 * 2
    button.send_keys(Keys.SPACE)
    assert page.execute_script(count) == before


def test_headings_sort_numbers_by_value_with_the_mouse_and_the_keyboard(page):
    heading, cells = column(page, 'Rounds', 'weights')
    assert cells[0] == '50,200'
    heading.find_element(By.TAG_NAME, 'button').click()
    numbers = [int(text.replace(',', '')) for text in column(page, 'Rounds', 'weights')[1]]
    assert numbers == sorted(numbers) and numbers[-1] == 50_200
    assert heading.get_attribute('aria-sort') == 'ascending'
    heading.find_element(By.TAG_NAME, 'button').send_keys(Keys.ENTER)
    numbers = [int(text.replace(',', '')) for text in column(page, 'Rounds', 'weights')[1]]
    assert numbers == sorted(numbers, reverse=True) and heading.get_attribute('aria-sort') == 'descending'


def test_empty_cells_are_sorted_last_in_both_directions(page):
    heading, _ = column(page, 'Rounds', 'verdict')
    for _ in range(2):
        heading.find_element(By.TAG_NAME, 'button').click()
        verdicts = column(page, 'Rounds', 'verdict')[1]
        assert verdicts[0] and verdicts[-1] == ''


@pytest.mark.parametrize('width', [380, 800, 1600])
def test_the_page_does_not_scroll_sideways(page, width):
    show(page, 'light', width)
    page.refresh()
    for details in page.find_elements(By.TAG_NAME, 'summary'):
        details.click()
    assert page.execute_script('return document.documentElement.scrollWidth') <= width
    inside = 'return [...document.querySelectorAll(".plot svg")].every((one) => one.clientWidth <= innerWidth)'
    assert page.execute_script(inside)


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_text_and_marks_have_contrast_in_both_color_schemes(page, scheme):
    show(page, scheme, 1200)
    found = contrasts(page)
    assert found['text'] >= 4.5 and found['labels'] >= 4.5 and found['marks'] >= 3
    assert (found['background'] == 'rgb(255, 255, 255)') == (scheme == 'light')


def test_on_paper_a_dark_page_is_light_and_everything_is_unfolded(page):
    show(page, 'dark', 1200)
    page.execute_script('dispatchEvent(new Event("beforeprint"))')
    page.execute_cdp_cmd('Emulation.setEmulatedMedia', {'media': 'print'})
    found = contrasts(page)
    assert found['background'] == 'rgb(255, 255, 255)' and found['text'] >= 4.5 and found['labels'] >= 4.5
    assert page.find_elements(By.CSS_SELECTOR, 'details:not([open])') == []
    page.execute_script('dispatchEvent(new Event("afterprint"))')
    assert page.find_elements(By.CSS_SELECTOR, 'details[open]') == []
