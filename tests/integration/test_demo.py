"""The demo in Chromium: a photo, a webcam that plays a film, and a film.

    pip install playwright && pytest tests/integration/test_demo.py -m slow

Set EMONET_SCREENSHOTS to a folder to look at the page.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emonet import load_image, sample_photo

pytestmark = pytest.mark.slow
sync_api = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("needs Chromium", allow_module_level=True)

#: Milliseconds; this machine may be busy with other tests.
PATIENCE = 60_000


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    (folder / "tmp").mkdir()
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "emonet", "demo", "--model", "tiny", "--port", "0"],
            stdout=file,
            stderr=file,
            env={**os.environ, "TMPDIR": str(folder / "tmp")},
        )
    while not (found := re.search(r"http://\S+", log.read_text())):
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    yield found[0]
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 0
    assert "Traceback" not in log.read_text()
    assert list((folder / "tmp").glob("emonet-*")) == []  # uploaded files are gone


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """The sample photo, moving to and fro, as a camera sends it."""
    import cv2

    photo = load_image(sample_photo())
    path = tmp_path_factory.mktemp("film") / "camera.mjpeg"
    frames = []
    for number in range(20):
        frame = np.full((480, 640, 3), 60, np.uint8)
        left = 100 + 4 * abs(number - 10)
        frame[40:440, left : left + 400] = photo
        frames.append(cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes())
    path.write_bytes(b"".join(frames))
    return path


@pytest.fixture
def page(url, film):
    """A page that records what it asks other servers for, and its errors."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-video-capture={film}",
            ],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(PATIENCE)
        others, errors = [], []
        page.on("request", lambda request: others.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        yield page
        browser.close()
    assert [one for one in others if not one.startswith((url, "data:", "blob:"))] == []
    assert errors == []


def screenshot(page, name: str) -> None:
    if folder := os.environ.get("EMONET_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_a_photo_gets_boxes_probabilities_a_heat_map_and_a_table(page, tmp_path):
    page.get_by_text("does not tell what a person feels").wait_for()
    page.locator(".gallery-item").first.click()
    page.get_by_test_id("label-output-value").get_by_text("happiness").wait_for()
    page.locator("[data-testid=download-link] >> nth=1").wait_for()
    screenshot(page, "photo")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the table").first.click()
    download.value.save_as(tmp_path / "faces.csv")
    header, row = (tmp_path / "faces.csv").read_text().splitlines()
    assert header.startswith("path,")
    assert ",happiness," in row


def test_a_webcam_shows_labels(page):
    page.get_by_role("tab", name="Webcam").click()
    page.get_by_text("Click to Access Webcam").click()
    page.get_by_role("button", name="capture photo").click()
    page.get_by_test_id("label-output-value").get_by_text("happiness").wait_for()
    screenshot(page, "webcam")


def test_a_film_gets_an_annotated_copy_and_a_table(page, film, tmp_path):
    import cv2

    path = tmp_path / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (640, 480))
    frame = np.full((480, 640, 3), 60, np.uint8)
    frame[40:440, 100:500] = load_image(sample_photo())
    for _ in range(12):
        writer.write(frame[..., ::-1])
    writer.release()
    page.get_by_role("tab", name="Film").click()
    page.locator("input[type=file]:not([accept*='image'])").last.set_input_files(path)
    page.locator("video").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the table").last.click()
    download.value.save_as(tmp_path / "faces.csv")
    assert ",happiness," in (tmp_path / "faces.csv").read_text()
    screenshot(page, "film")


def test_a_broken_photo_gets_a_message(page, tmp_path):
    broken = tmp_path / "broken.jpg"
    Image.new("RGB", (64, 64)).save(broken)
    broken.write_bytes(broken.read_bytes()[:300])
    page.locator("input[type=file]").first.set_input_files(broken)
    page.get_by_text(re.compile("can't be|damaged|truncated", re.IGNORECASE)).first.wait_for()
    screenshot(page, "broken")
