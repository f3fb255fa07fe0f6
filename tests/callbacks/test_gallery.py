"""The page opens in a real browser, sorts, filters, enlarges, and makes only the rows on the screen."""

import html
import itertools
import json
import re
import shutil
import subprocess

import pytest
from PIL import Image

from lightning_inpaint.callbacks import CompletionWriter, Gallery, UncertaintyMaps
from lightning_inpaint.callbacks.gallery import _page
from tests.callbacks.made_up import files_below

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --virtual-time-budget=2000"
)
NAMES = ["a", "b", "cat/c", "ü #1 %", "</script><b>"]


def drive(page, tmp_path, script, address="", size="1400,900"):
    """Run a script in the page; returns what it evaluates to."""
    driven = page.with_name("driven.html")
    run = f"document.documentElement.dataset.result = JSON.stringify((() => {{ {script} }})());"
    wait = f"addEventListener('load', () => setTimeout(() => {{ {run} }}, 200));"
    driven.write_text(page.read_text().replace("</body>", f"<script>{wait}</script></body>"))
    command = [
        BROWSER,
        *FLAGS.split(),
        f"--window-size={size}",
        f"--user-data-dir={tmp_path / 'browser'}",
        "--dump-dom",
    ]
    url = driven.as_uri() + address
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=600)
    found = re.search(r'data-result="([^"]*)"', done.stdout)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


@pytest.fixture
def gallery(tmp_path, predict, made_up, made_up_data):
    """A small run; returns its page."""
    data = made_up_data(NAMES, skipped=[("torn", "in/torn.png is not a picture")])
    callbacks = [CompletionWriter(str(tmp_path / "out")), UncertaintyMaps(), Gallery()]
    predict(callbacks, module=made_up(chains=2, failing=["cat/c"]), data=data)
    return tmp_path / "out/index.html"


def test_page_is_self_contained(gallery):
    text = gallery.read_text()
    assert "{{DATA}}" not in text
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", text)
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', text, re.DOTALL)[1])
    assert [each["id"] for each in data["pictures"]] == [*NAMES, "torn"]
    for entry in data["pictures"][:-1]:
        files = itertools.chain.from_iterable(entry["files"])
        for name in (entry["strip"], entry["input"], entry["record"], *files):
            assert (gallery.parent / name).is_file()


def test_strip_holds_all_views(gallery):
    assert "a.webp" in files_below(gallery.parent / "thumbnails")
    with Image.open(gallery.parent / "thumbnails/a.webp") as image:
        assert image.size == (7 * 8, 8)  # original, masked, twice two, uncertainty


@needs_browser
def test_failures_come_first_and_names_are_safe(gallery, tmp_path):
    script = """
      const rows = () => [...document.querySelectorAll(".row")];
      return {
        order: rows().sort((a, b) => parseInt(a.style.top) - parseInt(b.style.top)).map(r => r.dataset.id),
        cells: rows().find(r => r.dataset.id == "a").querySelectorAll(".cell").length,
        curves: rows().find(r => r.dataset.id == "a").querySelectorAll("polyline").length,
        reason: rows().find(r => r.dataset.id == "torn").textContent,
        count: document.getElementById("count").textContent,
        injected: document.querySelectorAll("#list b b").length,
      };"""
    result = drive(gallery, tmp_path, script)
    assert result["order"] == ["torn", "cat/c", "a", "b", "ü #1 %", "</script><b>"]
    assert result["cells"] == 7
    assert result["curves"] == 2
    assert "in/torn.png is not a picture" in result["reason"]
    assert result["count"] == "6 of 6 pictures, 2 failed or skipped"
    assert result["injected"] == 0


@needs_browser
def test_sorting_filtering_and_finding(gallery, tmp_path):
    script = """
      const shown = () => [...document.querySelectorAll(".row")]
        .sort((a, b) => parseInt(a.style.top) - parseInt(b.style.top)).map(r => r.dataset.id);
      const change = (id, value) => {
        const control = document.getElementById(id);
        if (control.type === "checkbox") control.checked = value; else control.value = value;
        control.dispatchEvent(new Event(control.type === "search" ? "input" : "change"));
        return shown();
      };
      return [...["energy-down", "energy-up", "diversity-up", "psnr-down"].map(s => change("sort", s)),
        change("problems", true), (change("problems", false), change("search", "CAT"))];"""
    down, up, diverse, agreeing, problems, found = drive(gallery, tmp_path, script)
    records = {
        name: json.loads((gallery.parent / f"records/{name}.json").read_text())
        for name in NAMES[:4]
    }
    energy = {name: record["completions"][0]["last_energy"] for name, record in records.items()}
    diversity = {name: record["diversity"] for name, record in records.items()}

    def ours(names):
        return [name for name in names if name in records]

    assert ours(up) == sorted(records, key=energy.get)
    assert ours(down) == ours(up)[::-1]
    assert ours(agreeing) == ours(up)
    assert ours(diverse) == sorted(records, key=diversity.get)
    assert all(order[-1] == "torn" for order in (down, up, diverse, agreeing))
    assert sorted(problems) == ["cat/c", "torn"]
    assert found == ["cat/c"]


@needs_browser
def test_a_picture_opens_large_with_a_slider(gallery, tmp_path):
    script = """
      const at = id => document.getElementById(id);
      const first = at("after").src;
      at("choices").querySelectorAll("button")[1].click();
      at("slider").value = 20; at("slider").dispatchEvent(new Event("input"));
      const result = {open: at("dialog").open, name: at("name").textContent, first, second: at("after").src,
        before: at("before").style.background, clip: at("veil").style.clipPath,
        choices: at("choices").children.length};
      at("next").click();
      return {...result, next: at("name").textContent};"""
    result = drive(gallery, tmp_path, script, "#" + "a")
    assert result["open"]
    assert result["name"] == "a"
    assert result["first"].endswith("/composites/a_c01.png")
    assert result["second"].endswith("/raw/a_c01.png")
    assert "inputs/a.png" in result["before"]
    assert "80%" in result["clip"]
    assert result["choices"] == 5
    assert result["next"] == "b"


@needs_browser
def test_nothing_is_cut_on_a_phone(gallery, tmp_path):
    script = """
      const at = id => document.getElementById(id);
      const beyond = [...document.querySelectorAll("header *, .row, .row *, dialog *")].filter(each =>
        !each.closest("svg, #before, details") && each.getBoundingClientRect().right > innerWidth + 1);
      const widths = ["scroller", "dialog", "numbers"].map(id => at(id).scrollWidth - at(id).clientWidth);
      const page = document.documentElement.scrollWidth - document.documentElement.clientWidth;
      return {beyond: beyond.map(each => each.outerHTML.slice(0, 80)), widths, page, narrow: narrow.matches};"""
    result = drive(gallery, tmp_path, script, "#a", size="500,844")
    assert result == {"beyond": [], "widths": [0, 0, 0], "page": 0, "narrow": True}


@needs_browser
def test_a_large_picture_is_compared_at_the_originals_size(tmp_path, predict, made_up):
    callbacks = [CompletionWriter(str(tmp_path / "out")), Gallery()]
    predict(callbacks, module=made_up(chains=2), names=["big", "small"])
    with Image.open(tmp_path / "out/masked/big.webp") as masked:
        assert masked.size == (24, 20)
        assert masked.mode == "RGBA"
        assert masked.getpixel((2, 2))[3] == 255
        assert masked.getpixel((20, 2))[3] == 0
    assert not (tmp_path / "out/masked/small.webp").exists()
    script = """
      const at = id => document.getElementById(id), seen = [at("before").style.background];
      at("original").click();
      seen.push(at("before").style.background);
      at("choices").querySelectorAll("button")[1].click();
      seen.push(at("before").style.background);
      const links = [...document.querySelectorAll("#numbers a")].map(each => each.getAttribute("href"));
      return {seen, links};"""
    result = drive(tmp_path / "out/index.html", tmp_path, script, "#big")
    names = ["masked/big.webp", "originals/big.webp", "thumbnails/big.webp"]
    assert all(name in shown for name, shown in zip(names, result["seen"], strict=True))
    assert result["links"] == [f"{k}/big_c0{n}.png" for n in (1, 2) for k in ("composites", "raw")]


@needs_browser
def test_an_empty_list_says_why_and_how_to_get_back(gallery, tmp_path):
    script = """
      const at = id => document.getElementById(id);
      at("search").value = "zebra"; at("search").dispatchEvent(new Event("input"));
      const words = at("nothing").hidden ? "" : at("reason").textContent;
      at("clear").click();
      return {words, after: at("nothing").hidden, settings: at("settings").textContent};"""
    result = drive(gallery, tmp_path, script)
    assert result["words"] == "No picture has “zebra” in its name."
    assert result["after"]
    assert "data.kind" in result["settings"]


@needs_browser
def test_five_thousand_pictures_make_few_rows(tmp_path):
    curve = {
        "steps": list(range(0, 320, 10)),
        "energies": [[1000.0 / (i + 1) for i in range(32)]] * 4,
    }
    pictures = [
        {"id": f"{i:05d}", "index": i, "status": "ok", "energy": i * 7 % 5000, "psnr": 30.0}
        | {
            "diversity": 0.1,
            "label": 1,
            "strip": "s.webp",
            "shown": 4,
            "spread": None,
            "input": "i.png",
        }
        | {"files": [["c.png", "r.png"]] * 4, "record": "r.json", "curve": curve}
        for i in range(5000)
    ]
    page = tmp_path / "index.html"
    page.write_text(_page({"title": "Many", "left_out": 0, "pictures": pictures}))
    assert page.stat().st_size < 16e6
    script = """
      const start = performance.now();
      const before = document.querySelectorAll(".row").length;
      document.getElementById("sort").value = "energy-up";
      document.getElementById("sort").dispatchEvent(new Event("change"));
      scrollTo(0, document.body.scrollHeight); fill();
      const rows = [...document.querySelectorAll(".row")];
      const last = rows.reduce((a, b) => parseInt(a.style.top) > parseInt(b.style.top) ? a : b);
      return {before, after: rows.length, last: last.dataset.id};"""
    result = drive(page, tmp_path, script)
    assert result["before"] < 40
    assert result["after"] < 40
    assert int(result["last"]) * 7 % 5000 == 4999


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_axe_finds_no_serious_fault(gallery, width, scheme):
    """Neither in the list nor in the details, where nothing is cut either."""
    tools = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed"
    )
    with tools.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.goto(gallery.as_uri())
        page.wait_for_selector("#scroller .thumb")
        for opened in (False, True):
            if opened:
                page.locator("#scroller .thumb").first.click()
                page.wait_for_selector("#dialog[open]")
            found = axe.Axe().run(page).response["violations"]
            serious = [each["id"] for each in found if each["impact"] in ("serious", "critical")]
            assert serious == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        browser.close()
