"""The page in a real browser: no complaint, and mouse, keys and fingers do what they should."""

import base64
import io
import json
import time

import numpy as np
import pytest
from hostile_competition import NAMES
from PIL import Image

from cellflow.comparison.compare import compare
from cellflow.comparison.importers import Sources
from cellflow.data.kaggle import read_train_csv
from cellflow.report.write import report_comparison, report_predictions

pytestmark = pytest.mark.browser

LEFT, RIGHT = '[data-side="0"]', '[data-side="1"]'


@pytest.fixture(scope="module")
def reports(folder, submissions, tmp_path_factory):
    """Three kinds of report by name."""
    out = tmp_path_factory.mktemp("reports")
    truth = folder / "train.csv"
    report_comparison(out / "two.html", compare(submissions, truth), truth)
    report_predictions(out / "one.html", submissions[:1], truth=truth)
    sources = Sources(images=(folder / "train",))
    report_predictions(out / "alone.html", submissions, sources=sources)
    return out


@pytest.fixture
def page(browser, reports):
    """The comparison, open at its first image."""
    browser.open(reports / "two.html")
    browser.wait_for("!viewer.hidden")
    yield browser
    assert browser.errors == []


def pixels(browser, side):
    """Give what a canvas shows, (H, W, 4) uint8."""
    url = browser.evaluate(f"document.querySelector('{side} canvas').toDataURL()")
    content = base64.b64decode(url.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)))


def share_of(browser, side, colour):
    """Give the share of a canvas that is about of a colour."""
    seen = pixels(browser, side)[..., :3].astype(int)
    return float((np.abs(seen - colour).max(axis=-1) < 40).mean())


BLUE, AMBER, VERMILION, WHITE = (86, 180, 233), (255, 176, 0), (255, 97, 64), (255, 255, 255)


def text_of(browser, selector):
    return browser.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")


PHONE = {"width": 390, "height": 844, "phone": True}


@pytest.mark.parametrize("name", ["two", "one", "alone"])
@pytest.mark.parametrize("look", [{}, {"dark": True}, PHONE], ids=["light", "dark", "phone"])
def test_it_opens_without_complaint_and_loads_nothing(browser, reports, tmp_path, name, look):
    browser.open(reports / f"{name}.html", **look)
    browser.wait_for("!viewer.hidden")
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [
        (reports / f"{name}.html").as_uri()[:80]
    ]
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.evaluate("document.title").endswith(": cellflow report")
    browser.screenshot(tmp_path / "shot.png")
    shot = np.asarray(Image.open(tmp_path / "shot.png").convert("L"), float)
    assert (np.median(shot) < 60) == look.get("dark", False)
    assert shot.std() > 10


def test_the_browser_reads_the_cells_that_were_packed(page, folder):
    masks = read_train_csv(folder / "train.csv")[NAMES[0]].masks
    page.evaluate("open(0)")
    assert page.evaluate("state.image.truth.map((cell) => cell.area)") == masks.areas.tolist()
    boxes = page.evaluate("state.image.truth.map((cell) => cell.box)")
    assert boxes[0] == [12, 12, 29, 29]
    levels = page.evaluate("state.image.found.map((one) => one.truthLevels)")
    assert levels == [[10, 0, 0, 0], [10, 10, 10, 0]]


def test_a_toggle_shows_and_hides_its_layer(page):
    page.evaluate("open(0)")
    assert share_of(page, LEFT, AMBER) > 0.005
    page.click('[data-layer="missed"]')
    assert share_of(page, LEFT, AMBER) == 0
    assert page.evaluate("document.querySelector('[data-layer=missed]').ariaPressed") == "false"
    assert share_of(page, LEFT, BLUE) > 0.002
    page.press("h")
    assert share_of(page, LEFT, BLUE) == 0
    assert share_of(page, LEFT, VERMILION) > 0.001
    page.press("s")
    assert np.ptp(pixels(page, LEFT)[..., :3].reshape(-1, 3), axis=1).max() < 12
    page.press("t")
    assert share_of(page, LEFT, WHITE) > 0.005


def test_pointing_at_a_cell_says_its_iou_in_both_pictures(page):
    page.evaluate("open(1)")
    page.point(f"{LEFT} canvas", 20 / 120, 20 / 90)
    assert text_of(page, f"{LEFT} .fact").startswith("prediction 1, hit, IoU 1.000; 249 px")
    assert text_of(page, f"{RIGHT} .fact").startswith("prediction 1, hit, IoU 1.000")
    assert not page.evaluate(f"document.querySelector('{LEFT} .tip').hidden")
    page.point(f"{LEFT} canvas", 60 / 120, 14 / 90)
    assert "true cell 2, missed: best IoU 0." in text_of(page, f"{LEFT} .fact")
    page.point(f"{LEFT} canvas", 30 / 120, 60 / 90)
    assert "missed: nothing found there" in text_of(page, f"{LEFT} .fact")
    page.point("h1")
    assert text_of(page, f"{LEFT} .fact").strip() == ""


def test_a_finger_does_what_the_mouse_does(browser, reports):
    browser.open(reports / "two.html", **PHONE)
    browser.wait_for("!viewer.hidden")
    browser.tap(f"{RIGHT} canvas", 20 / 120, 20 / 90)
    browser.wait_for(f"document.querySelector('{RIGHT} .fact').textContent.includes('IoU 1.000')")
    assert browser.errors == []


def test_the_keyboard_alone_goes_through_images_and_cells(page):
    page.evaluate("document.querySelector('.opener').focus()")
    page.press("Enter")
    assert page.evaluate("document.activeElement.tagName") == "CANVAS"
    page.press("ArrowRight")
    first = text_of(page, f"{LEFT} .fact")
    assert "cell" in first or "prediction" in first
    page.press("ArrowLeft")
    assert text_of(page, f"{LEFT} .fact") != first
    page.press("Escape")
    assert text_of(page, f"{LEFT} .fact").strip() == ""
    assert text_of(page, "#position") == "1 of 4"
    page.press("j")
    assert text_of(page, "#position") == "2 of 4"
    page.press("k")
    page.press("k")
    assert text_of(page, "#position") == "1 of 4"
    page.press("+")
    assert text_of(page, "#zoom") == "200 %"
    page.press("-")
    page.press("-")
    assert text_of(page, "#zoom") == "100 %"


def test_a_higher_threshold_turns_hits_into_misses(page):
    page.evaluate("open(1)")
    assert text_of(page, f"{LEFT} .counts") == "1 hit, 3 missed, 1 spurious"
    page.evaluate("threshold.focus()")
    for _ in range(9):
        page.press("ArrowRight")
    assert text_of(page, "#threshold-shown") == "0.95"
    assert text_of(page, f"{LEFT} .counts") == "1 hit, 3 missed, 1 spurious"
    assert text_of(page, f"{RIGHT} .counts") == "3 hits, 1 missed, 0 spurious"


def test_another_model_or_the_bare_image_can_be_chosen(page):
    page.evaluate("open(1)")
    page.evaluate(f"document.querySelector('{LEFT} select').focus()")
    page.press("ArrowUp")
    page.wait_for(f"document.querySelector('{LEFT} select').value === '-1'")
    assert text_of(page, f"{LEFT} .counts") == ""
    assert np.ptp(pixels(page, LEFT)[..., :3].reshape(-1, 3), axis=1).max() < 12


def test_zooming_keeps_the_point_and_dragging_moves(page):
    page.evaluate("open(1)")
    x, y = page.place_of(f"{LEFT} canvas", 20 / 120, 20 / 90)
    page.mouse("mousePressed", x, y, clicks=1)
    page.mouse("mouseReleased", x, y, clicks=1)
    page.mouse("mousePressed", x, y, clicks=2)
    page.mouse("mouseReleased", x, y, clicks=2)
    assert text_of(page, "#zoom") == "200 %"
    page.mouse("mouseMoved", x + 1, y)
    assert text_of(page, f"{LEFT} .fact").startswith("prediction 1, hit")
    before = page.evaluate("state.centre.x")
    page.mouse("mousePressed", x, y, clicks=1)
    page.mouse("mouseMoved", x - 80, y, clicks=1)
    page.mouse("mouseReleased", x - 80, y, clicks=1)
    assert page.evaluate("state.centre.x") > before


def test_the_list_sorts_filters_and_opens_images(page):
    order = "[...document.querySelectorAll('#image-list tbody tr')].map((r) => +r.dataset.image)"
    worst_first = page.evaluate(order)
    page.click('[data-column="0"]')
    assert page.evaluate(order) == worst_first[::-1]
    head = "document.querySelector('#image-list th')"
    assert page.evaluate(f"{head}.ariaSort") == "descending"
    page.click('.filter [data-kind="cort"]')
    shown = page.evaluate("visibleRows().map((row) => +row.dataset.image)")
    assert sorted(shown) == [1, 3]
    assert text_of(page, "#position").endswith("of 2")
    page.click('tr[data-image="3"] .opener')
    assert text_of(page, "#image-name") == f"{NAMES[3]}, cort"
    page.click('#difference [data-image="1"]')
    assert text_of(page, "#image-name") == f"{NAMES[1]}, cort"


def test_without_truth_cells_are_shared_or_alone(browser, reports):
    browser.open(reports / "alone.html")
    browser.wait_for("!viewer.hidden")
    browser.evaluate("open(0)")
    assert text_of(browser, f"{LEFT} .counts") == "1 shared, 1 alone"
    browser.point(f"{LEFT} canvas", 60 / 120, 33 / 90)
    assert "alone: best IoU" in text_of(browser, f"{LEFT} .fact")
    assert browser.evaluate("document.querySelector('[data-layer=truth]')") is None
    assert browser.errors == []


def test_an_image_without_picture_and_one_with_are_both_drawn(page):
    page.evaluate("open(1)")
    page.wait_for("state.image.picture.complete")
    time.sleep(0.05)
    for layer in "hms":
        page.evaluate(f"document.querySelector('{LEFT} canvas').focus()")
        page.press(layer)
    assert pixels(page, LEFT)[..., 0].std() > 10
    page.evaluate("open(0)")
    assert pixels(page, LEFT).max() == 0


@pytest.mark.real_data
def test_a_real_comparison_opens_and_answers(browser, real_data, tmp_path):
    root = real_data / "sartorius"
    submissions = [root / f"predictions/{name}.csv" for name in ("mask_rcnn", "cellpose_finetuned")]
    truth = root / "train.csv"
    report_comparison(tmp_path / "r.html", compare(submissions, truth), truth)
    browser.open(tmp_path / "r.html")
    browser.wait_for("!viewer.hidden && state.image.picture.complete")
    assert browser.errors == []
    assert "mask_rcnn is better than cellpose_finetuned" in text_of(browser, "h1")
    assert "exactly 100 cells on 3 images (3 of shsy5y)" in text_of(browser, ".remarks")
    assert pixels(browser, LEFT)[..., 0].std() > 10
