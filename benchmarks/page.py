"""The page in Chromium: how long until the first completion is there, and whether memory stays flat.

    python benchmarks/page.py --times 10

Opens the page, puts a mask by name over the example that it begins with, presses Complete and waits for the
completions, again and again, each time in a new visit. Prints seconds from the button to the first look at
the walk and to the completions, and the memory of the server's process. Needs the extras app and browser.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks are not installed

from benchmarks.presets import hardware
from lightning_inpaint.app import serve


def resident() -> int:
    """Megabytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() >> 20


def visit(browser: Any, address: str, chains: int) -> tuple[float, float]:
    """Seconds from the button to the first look, and to the completions."""
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector("#editor canvas")
    page.wait_for_timeout(1500)
    page.locator("#chains input[type=number]").fill(str(chains))
    page.locator("#chains input[type=number]").press("Tab")
    page.locator("#named input").focus()
    page.keyboard.type("right_half")
    page.keyboard.press("Enter")
    page.wait_for_timeout(2000)
    start = time.perf_counter()
    page.click("#complete")
    page.wait_for_selector("#preview img", timeout=300_000)
    first = time.perf_counter() - start
    page.wait_for_selector("#results img", timeout=300_000)
    whole = time.perf_counter() - start
    page.close()
    return first, whole


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--chains", type=int, default=4)
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    print(f"{hardware()}; load before: {os.getloadavg()[0]:.1f}")
    blocks = serve(port=0, block=False)
    print("| visit | first look, s | completions, s | memory, MB |\n|--:|--:|--:|--:|")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for number in range(1, options.times + 1):
            first, whole = visit(browser, blocks.local_url, options.chains)
            print(f"| {number} | {first:.1f} | {whole:.1f} | {resident()} |", flush=True)
        browser.close()
    blocks.close()


if __name__ == "__main__":
    main()
