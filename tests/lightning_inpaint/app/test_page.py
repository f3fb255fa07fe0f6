"""The page in a real browser, without network: paint, complete, stop, download, wrong file, keyboard, phone."""

import base64
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
def address(tmp_path_factory):
    """Of the page with a tiny generator."""
    from lightning_inpaint.app import serve
    from lightning_inpaint.generators import save_generator
    from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator

    shape = {"z_dim": 8, "w_dim": 8, "resolution": 8, "mapping_layers": 2}
    generator = StyleGAN2Generator(**shape, num_classes=3, channel_base=64, channel_max=8)
    path = save_generator(generator, tmp_path_factory.mktemp("page") / "tiny.safetensors")
    blocks = serve([str(path)], port=0, block=False)
    yield blocks.local_url
    blocks.close()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as tools:
        one = tools.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield one
        one.close()


# The canvas is drawn without a GPU here, all the time: ten times a second will do.
FEW_FRAMES = """
window.requestAnimationFrame = draw => setTimeout(() => draw(performance.now()), 100);
window.cancelAnimationFrame = clearTimeout;
"""


def opened(context, address):
    context.add_init_script(FEW_FRAMES)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#editor canvas")
    return page


@pytest.fixture
def page(address, browser):
    """The page at a desk; what it asks of other addresses fails the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
    outside = []
    context.route(
        lambda url: not url.startswith((address, "data:", "blob:")),
        lambda route: (outside.append(route.request.url), route.abort()),
    )
    yield opened(context, address)
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


def until(page, condition):
    """Wait for what follows a press of Complete; if what was painted came later than the press, once more."""
    nothing = page.get_by_text("nothing is painted").first
    for _ in range(5):
        assert wait_until(page, lambda: condition() or nothing.is_visible())
        if condition():
            return
        page.locator(".toast-close").first.click()
        nothing.wait_for(state="hidden")
        page.click("#complete")
    raise AssertionError("what is painted does not come to the chains")


def complete(page):
    page.click("#complete")
    until(page, page.locator("#results img").first.is_visible)


def chains(page, number):
    page.locator("#chains input[type=number]").fill(str(number))
    page.locator("#chains input[type=number]").press("Tab")


def walking():
    return [thread for thread in threading.enumerate() if thread.name == "completion"]


def wait_until(page, condition):
    """(A plain sleep would hold up the requests that the test looks at.)"""
    for _ in range(1200):
        if condition():
            return True
        page.wait_for_timeout(100)
    return False


def test_paint_complete_and_download(page, tmp_path):
    chains(page, 1)
    paint(page)
    complete(page)
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


def test_stop_and_leaving_the_page_end_the_chains(page):
    chains(page, 16)
    choose(page, "config", "exact")
    paint(page)
    page.click("#complete")
    until(page, walking)
    page.click("#stop")
    assert wait_until(page, lambda: not walking())
    page.click("#complete")
    assert wait_until(page, walking)
    page.goto("about:blank")
    assert wait_until(page, lambda: not walking())


def test_nothing_painted_is_said(page):
    page.click("#complete")
    page.wait_for_selector("text=nothing is painted")


def test_a_file_that_is_no_picture_is_refused(page, tmp_path):
    """The editor alone emptied itself and said nothing."""
    page.wait_for_timeout(2000)  # the sample is in the editor
    for name in ("wrong.txt", "wrong.png"):
        (tmp_path / name).write_text("no picture")
        page.locator("#editor input[type=file]").first.set_input_files(tmp_path / name)
        page.wait_for_selector(f"#wrong [role=alert] >> text={name}")
        said = page.inner_text("#wrong")
        assert said.startswith(f"{name} is no picture that can be opened here: ")
    chains(page, 1)
    paint(page)  # the picture from before is still there
    complete(page)


PASTE = """data => {
  const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
  const box = new DataTransfer();
  box.items.add(new File([bytes], "pasted.png", {type: "image/png"}));
  const options = {clipboardData: box, bubbles: true, cancelable: true};
  document.body.dispatchEvent(new ClipboardEvent("paste", options));
}"""


def test_pictures_are_opened_and_pasted(page, tmp_path):
    """One from a file, then one from the clipboard over it, which is completed."""
    Image.new("RGB", (30, 30), "teal").save(tmp_path / "first.png")
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    page.wait_for_timeout(2000)  # the sample is in the editor
    page.locator("#editor input[type=file]").first.set_input_files(tmp_path / "first.png")
    page.wait_for_timeout(2000)
    page.evaluate(PASTE, base64.b64encode((tmp_path / "photo.png").read_bytes()).decode())
    page.wait_for_timeout(2000)
    choose(page, "named", "center")
    chains(page, 1)
    complete(page)
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive, archive.open("picture.png") as file:
        np.testing.assert_array_equal(np.asarray(Image.open(file)), photo)


def tab_to(page, selector):
    """Press Tab until the focus is inside."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("s => !!document.activeElement.closest(s)", selector):
            return
    raise AssertionError(f"Tab does not lead to {selector}")


def test_by_keyboard_alone(page, tmp_path):
    tab_to(page, "#named")
    page.keyboard.type("center")
    page.keyboard.press("Enter")
    page.wait_for_timeout(1500)
    tab_to(page, "#complete")
    page.keyboard.press("Enter")
    until(page, page.locator("#results img").first.is_visible)
    with page.expect_download() as download:
        tab_to(page, "#download")
        page.keyboard.press("Enter")
    assert download.value.suggested_filename.endswith(".zip")


def choose(page, dropdown, name):
    page.locator(f"#{dropdown} input").focus()
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.wait_for_timeout(1500)


def test_more_like_the_chosen_one(page):
    chains(page, 2)
    choose(page, "named", "right_half")
    complete(page)
    chosen = page.locator("#results .thumbnail-item img").nth(1)
    caption = chosen.get_attribute("alt")
    chosen.click()
    page.wait_for_timeout(1000)
    page.click("#more")
    page.wait_for_function(
        "document.querySelectorAll('#results .grid-container .thumbnail-item').length == 4",
        timeout=120_000,
    )
    shown = page.locator("#results .grid-container .thumbnail-item img")
    assert shown.nth(3).get_attribute("alt") == caption


def test_a_second_visitor_waits(page, address, browser):
    """One job at a time: the other's begins when the first has ended."""
    chains(page, 16)
    choose(page, "config", "exact")
    choose(page, "named", "right_half")
    page.click("#complete")
    until(page, walking)
    context = browser.new_context()
    other = opened(context, address)
    chains(other, 1)
    choose(other, "named", "center")
    other.click("#complete")
    other.wait_for_selector("#bar >> text=Waiting: one picture is completed at a time")
    for _ in range(10):
        assert len(walking()) <= 1
        page.wait_for_timeout(100)
    assert not other.locator("#results img").count()
    page.click("#stop")
    until(other, other.locator("#results img").first.is_visible)
    context.close()


def faults(page):
    """What axe finds that is serious: rule, and the first place."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed"
    )
    found = axe.Axe().run(page).response["violations"]
    return [
        (each["id"], each["nodes"][0]["target"])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


@pytest.fixture(scope="module")
def completed(address, browser):
    """A page with completions."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, bypass_csp=True)
    one = opened(context, address)
    chains(one, 2)
    choose(one, "named", "right_half")
    complete(one)
    yield one
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_axe_finds_no_serious_fault(completed, scheme, width):
    completed.emulate_media(color_scheme=scheme)
    completed.set_viewport_size({"width": width, "height": 1000})
    completed.wait_for_timeout(500)
    assert completed.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    assert faults(completed) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_on_a_phone(address, browser, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    one = opened(context, address)
    assert one.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
