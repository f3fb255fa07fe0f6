"""The page in a real browser, without network: paint, complete, stop, download, wrong file, keyboard, phone."""

import shutil
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

gradio = pytest.importorskip("gradio", reason="gradio is not installed: pip install -e .[app]")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.skipif(
        BROWSER is None, reason="there is no Chromium here: apt-get install chromium"
    ),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def address():
    from lightning_inpaint.app import serve

    blocks = serve(port=0, block=False)
    yield blocks.local_url
    blocks.close()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as tools:
        one = tools.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture
def page(address, browser):
    """The page at a desk; what it asks of other addresses fails the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
    outside = []
    context.route(
        lambda url: not url.startswith((address, "data:", "blob:")),
        lambda route: (outside.append(route.request.url), route.abort()),
    )
    one = context.new_page()
    one.goto(address)
    one.wait_for_selector("#editor canvas")
    yield one
    context.close()
    assert not outside


def paint(page):
    box = page.locator("#editor canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.wait_for_timeout(1000)
    page.mouse.move(x - 40, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 20, steps=8)
    page.mouse.up()
    page.wait_for_timeout(500)


def chains(page, number):
    page.locator("#chains input[type=number]").fill(str(number))
    page.locator("#chains input[type=number]").press("Tab")


def walking():
    return [thread for thread in threading.enumerate() if thread.name == "completion"]


def wait_until(page, condition):
    """(A plain sleep would hold up the requests that the test looks at.)"""
    for _ in range(300):
        if condition():
            return True
        page.wait_for_timeout(100)
    return False


def test_paint_complete_and_download(page, tmp_path):
    chains(page, 1)
    paint(page)
    page.click("#complete")
    page.wait_for_selector("#results img", timeout=120_000)
    assert "1 completion" in page.inner_text("#words")
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert "records/picture.json" in archive.namelist()
        pictures = []
        for name in ("picture.png", "mask.png", "composites/picture_c01.png"):
            with archive.open(name) as file:
                pictures.append(np.asarray(Image.open(file)))
    picture, mask, completed = pictures
    assert 0 < (mask > 0).mean() < 0.5
    np.testing.assert_array_equal(completed[mask == 0], picture[mask == 0])


def test_stop_ends_the_chains(page):
    chains(page, 16)
    paint(page)
    page.click("#complete")
    assert wait_until(page, walking)
    page.click("#stop")
    assert wait_until(page, lambda: not walking())


def test_leaving_the_page_ends_the_chains(page):
    chains(page, 16)
    paint(page)
    page.click("#complete")
    assert wait_until(page, walking)
    page.goto("about:blank")
    assert wait_until(page, lambda: not walking())


def test_nothing_painted_is_said(page):
    page.click("#complete")
    page.wait_for_selector("text=nothing is painted")


def test_a_file_that_is_no_picture_is_refused(page, tmp_path):
    (tmp_path / "wrong.txt").write_text("no picture")
    page.locator("#editor input[type=file]").first.set_input_files(tmp_path / "wrong.txt")
    page.wait_for_timeout(1500)
    assert page.locator("#complete").is_enabled()


def test_by_keyboard_alone(page):
    chains(page, 1)
    page.locator("#named input").focus()
    page.keyboard.type("center")
    page.keyboard.press("Enter")
    page.wait_for_timeout(1500)
    page.locator("#complete").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#results img", timeout=120_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_on_a_phone(address, browser, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    one = context.new_page()
    one.goto(address)
    one.wait_for_selector("#editor canvas")
    assert one.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
