"""The live page of the site, in Chromium: it answers as Python does, offline too.

npm ci --ignore-scripts
pip install playwright && pytest tests/docs/test_browser.py -m slow
"""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.docs.camera import arguments, write_film

from emonet import EmotionRecognizer, load_image, sample_photo

pytestmark = pytest.mark.slow
sync_api = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
pytest.importorskip("mkdocs", reason="needs pip install '.[docs]'")

from tests.docs.browse import CHROMIUM, serving  # noqa: E402

ROOT = Path(__file__).parents[2]
MOST_BYTES = 16_000_000
#: This machine may be busy with other tests.
PATIENCE = 120_000

if CHROMIUM is None or not (ROOT / "node_modules/onnxruntime-web").is_dir():
    pytest.skip("needs Chromium, and npm ci", allow_module_level=True)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The built site, served on this machine."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--no-strict", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with serving(folder) as address:
        yield address


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A film for the fake camera."""
    path = tmp_path_factory.mktemp("film") / "camera.mjpeg"
    write_film(path)
    return path


@pytest.fixture(scope="module")
def browser(film):
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments(film))
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """The live page with its models loaded; nothing may fail or come from elsewhere."""
    context = browser.new_context(permissions=["camera"])
    page, wrong = context.new_page(), []
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda m: m.type in ("error", "warning") and wrong.append(m.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    context.on(
        "request",
        lambda r: r.url.startswith((address, "blob:", "data:")) or wrong.append(r.url),
    )
    page.goto(f"{address}browser/")
    page.wait_for_selector("html[data-emonet=ready]", state="attached")
    page.wrong = wrong
    yield page
    context.close()
    assert not page.wrong


def result(page):
    return page.evaluate("document.getElementById('emonet-faces').result")


def overlap(one, other):
    (x, y, w, h), (x2, y2, w2, h2) = one, other
    across, down = min(x + w, x2 + w2) - max(x, x2), min(y + h, y2 + h2) - max(y, y2)
    shared = max(across, 0) * max(down, 0)
    return shared / (w * h + w2 * h2 - shared)


def sample() -> Image.Image:
    return Image.fromarray(load_image(sample_photo()))


#: Photos whose answer must be Python's: not square, and with a face that is enlarged for the
#: network; a tilted head; a face that fills a large photo.
PHOTOS = {
    "small": lambda: sample().resize((150, 150)).crop((0, 0, 150, 111)),
    "tilted": lambda: sample().rotate(20, Image.Resampling.BICUBIC),
    "slightly tilted": lambda: sample().rotate(9, Image.Resampling.BICUBIC),
    "close": lambda: sample().crop((120, 40, 250, 200)).resize((1040, 1280)),
}


@pytest.mark.parametrize("name", ["sample", *PHOTOS])
def test_the_answer_is_python_s(page, name, tmp_path):
    photo = sample_photo()
    if name == "sample":
        page.get_by_role("button", name="Use the sample photo").click()
    else:
        photo = tmp_path / "photo.png"
        PHOTOS[name]().save(photo)
        page.set_input_files("#emonet-file", photo)
    (expected,) = EmotionRecognizer.from_pretrained("tiny").predict(photo).faces
    page.wait_for_selector("#emonet-faces section")
    (face,) = result(page)
    assert overlap(face["box"], list(expected.box)) >= 0.9
    assert face["label"] == expected.label
    for label, probability in expected.probabilities.items():
        assert abs(face["probabilities"][label] - probability) <= 0.02
    assert page.get_by_role("status").inner_text().startswith(f"One face: {face['label']}")
    assert page.get_by_role("meter").count() == 7


def test_the_camera_follows_a_face(page):
    page.get_by_role("button", name="Start the camera").press("Enter")
    page.wait_for_function("document.getElementById('emonet-rate').textContent.includes('frames')")
    (face,) = result(page)
    assert face["track"] == 1
    assert face["label"] == "happiness"
    page.get_by_role("button", name="Stop the camera").press("Enter")
    page.get_by_role("button", name="Start the camera").wait_for()


def test_it_works_offline_once_it_has_loaded(page):
    page.get_by_text("This page now works offline.").wait_for()
    page.context.set_offline(True)
    page.reload()
    page.wait_for_selector("html[data-emonet=ready]", state="attached")
    page.get_by_role("button", name="Use the sample photo").click()
    page.wait_for_selector("#emonet-faces section")
    assert result(page)[0]["label"] == "happiness"
    page.wrong.clear()  # Chromium reports each address that it can't reach


def test_the_page_is_small_enough(browser, address):
    context, sizes = browser.new_context(service_workers="block"), []
    page = context.new_page()
    page.on("requestfinished", lambda r: sizes.append(len(r.response().body())))
    page.goto(f"{address}browser/")
    page.wait_for_selector("html[data-emonet=ready]", state="attached", timeout=PATIENCE)
    assert 12_000_000 < sum(sizes) <= MOST_BYTES
    context.close()


def test_a_file_that_is_no_photo_is_refused_in_words(page, tmp_path):
    text = tmp_path / "photo.png"
    text.write_text("no photo")
    page.set_input_files("#emonet-file", text)
    page.get_by_text("This file can't be shown").wait_for()
    page.wrong.clear()


def test_it_fits_a_phone(page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.get_by_role("button", name="Use the sample photo").click()
    page.wait_for_selector("#emonet-faces section")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360
