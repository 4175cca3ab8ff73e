"""Prints how large and how fast the live page of the built site is in Chromium.

    npm ci --ignore-scripts && nox -s docs && pip install playwright
    python -m tests.docs.time_browser site

No test, because speed depends on the machine.
"""

import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright
from tests.docs.browse import CHROMIUM, serving
from tests.docs.camera import arguments, write_film

RUNS = 5
#: Seconds of the camera, of which the first are not counted.
CAMERA, WARM = 15, 5
PATIENCE = 120_000


def main(site: str) -> None:
    """Print bytes, seconds to load, seconds to the first answer, and the camera's frames."""
    with TemporaryDirectory() as folder, serving(site) as root, sync_playwright() as playwright:
        address = f"{root}browser/"
        film = Path(folder) / "camera.mjpeg"
        write_film(film)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments(film))
        loads, answers, sizes = [], [], []
        for run in range(RUNS):
            # Each context has an empty cache.
            context = browser.new_context(permissions=["camera"], service_workers="block")
            page = context.new_page()
            page.set_default_timeout(PATIENCE)
            if run == 0:
                page.on("requestfinished", lambda r: sizes.append(len(r.response().body())))
            loads.append(_load(page, address))
            answers.append(_first_answer(page))
            if run < RUNS - 1:
                context.close()
        rates = _camera(page)
    print(f"{sum(sizes) / 1e6:.1f} MB in {len(sizes)} files")
    print(f"seconds to load: {_middle(loads)}")
    print(f"seconds from the click to the first answer: {_middle(answers)}")
    print(f"camera of 640x480 pixels, frames per second: {_middle(rates)}")


def _load(page: Page, address: str) -> float:
    start = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("html[data-emonet=ready]", state="attached")
    return time.perf_counter() - start


def _first_answer(page: Page) -> float:
    start = time.perf_counter()
    page.get_by_role("button", name="Use the sample photo").click()
    page.wait_for_selector("#emonet-faces section")
    return time.perf_counter() - start


def _camera(page: Page) -> list[float]:
    """Return the rates that the page shows, which are means over 30 frames."""
    page.get_by_role("button", name="Start the camera").click()
    page.wait_for_function("document.getElementById('emonet-rate').textContent.includes('frames')")
    rates = []
    for second in range(CAMERA):
        page.wait_for_timeout(1000)
        if second >= WARM:
            rates.append(float(page.locator("#emonet-rate").inner_text().split()[0]))
    return rates


def _middle(values: list[float]) -> str:
    return f"{statistics.median(values):.2g} ({min(values):.2g} to {max(values):.2g})"


if __name__ == "__main__":
    main(*sys.argv[1:])
