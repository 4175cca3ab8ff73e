"""Makes the pictures of the home page and the gallery: ``python docs/images/gallery.py``.

Options:
    --film FILM  also plot the timeline of this film of one person
    --site SITE  also photograph the live page of the built site, in Chromium (needs playwright)

All photos are in the public domain. ``sources/`` holds those that don't come with emonet:

- ``hopper.jpg``: Grace Hopper, photographed by James S. Davis for the US Navy
- ``lovelace.webp``: a drawing of Ada Lovelace
- ``cameraman.webp``: scikit-image's ``camera``, CC0, by Lav Varshney
- ``cat.webp``: scikit-image's ``chelsea``, CC0, by Stefan van der Walt
"""

import argparse
import functools
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

import emonet

FOLDER = Path(__file__).parent
SOURCES = FOLDER / "sources"
#: Size of a picture of the gallery.
SIZE = (400, 400)


def sample():
    """Return emonet's sample photo, of Eileen Collins."""
    return Image.open(emonet.sample_photo()).convert("RGB")


def source(name):
    """Return a photo in ``sources/``."""
    return Image.open(SOURCES / name).convert("RGB")


def square(image, left, top, side):
    """Return a square part of an image in the gallery's size."""
    return image.crop((left, top, left + side, top + side)).resize(SIZE, Image.Resampling.LANCZOS)


def group():
    """Return two portraits side by side."""
    both = Image.new("RGB", (2 * SIZE[0], SIZE[1]))
    both.paste(square(source("hopper.jpg"), 45, 25, 450), (0, 0))
    both.paste(square(sample(), 0, 0, 370), (SIZE[0], 0))
    return both


def masked():
    """Return the sample with a mask drawn over nose and mouth."""
    image = sample()
    outline = [(146, 124), (222, 124), (224, 150), (200, 178), (166, 178), (142, 150)]
    ImageDraw.Draw(image).polygon(outline, fill=(150, 190, 220))
    return image


def sunglasses():
    """Return the sample with sunglasses drawn over the eyes."""
    image = sample()
    canvas = ImageDraw.Draw(image)
    for left in (150, 189):
        canvas.rounded_rectangle((left, 98, left + 33, 122), 8, fill=(15, 15, 15))
    canvas.line((183, 104, 189, 104), fill=(15, 15, 15), width=4)
    return image


def small():
    """Return the sample with a face of 9 pixels, on a white ground."""
    image = Image.new("RGB", SIZE, "white")
    image.paste(sample().resize((40, 40), Image.Resampling.LANCZOS), (180, 180))
    return image


#: Each picture of the gallery, by the name of its file.
PICTURES = {
    "group": group,
    "dark": lambda: ImageEnhance.Brightness(sample()).enhance(0.12),
    "tilted": lambda: sample().rotate(45, Image.Resampling.BICUBIC),
    "sideways": lambda: sample().rotate(90),
    "upside-down": lambda: sample().rotate(180),
    "blurred": lambda: sample().filter(ImageFilter.GaussianBlur(6)),
    "small": small,
    "mask": masked,
    "sunglasses": sunglasses,
    "drawing": lambda: square(source("lovelace.webp"), 100, 180, 320),
    "profile": lambda: square(source("cameraman.webp"), 90, 30, 300),
    "cat": lambda: square(source("cat.webp"), 60, 0, 300),
}


def save(image, name, limit=60_000):
    """Save a picture with the best quality that stays below a number of bytes."""
    path = FOLDER / name
    for quality in range(88, 20, -4):
        image.save(path, quality=quality)
        if path.stat().st_size < limit:
            return
    raise SystemExit(f"{name} has more than {limit} bytes")


def gallery(recognizer):
    """Save each picture as it is annotated, and print what was found."""
    for name, picture in PICTURES.items():
        image = picture()
        result = recognizer.predict(np.asarray(image))
        found = ", ".join(f"{face.label} {face.score:.0%}" for face in result.faces)
        print(f"{name}: {found or 'no face'}", flush=True)
        save(result.draw(), f"gallery-{name}.webp", 40_000)


def home(recognizer):
    """Save the pictures of the home page, and the one for links in social media."""
    image = group()
    result = recognizer.predict(np.asarray(image))
    drawn = result.draw(bars=True)
    save(drawn, "home-group.webp")
    social = Image.new("RGB", (1200, 630), "white")
    social.paste(drawn.resize((1200, 600), Image.Resampling.LANCZOS), (0, 15))
    save(social, "social.jpg")
    why = recognizer.explain(np.asarray(image)).draw()
    save(why, "home-explain.webp")


def film(recognizer, path):
    """Save the timeline of a film."""
    from emonet.video.plots import plot_timeline

    frames = recognizer.stream_video(path, every=2, smoothing="centred")
    plot = FOLDER / "home-film.png"
    plot_timeline(emonet.timeline(frames, per=0.25), plot, 0.25)
    save(Image.open(plot).convert("RGB"), "home-film.webp")
    plot.unlink()


def live_page(site):
    """Save a picture of the live page, which has classified the sample photo."""
    from playwright.sync_api import sync_playwright

    class Handler(SimpleHTTPRequestHandler):
        def guess_type(self, path):
            """Know .mjs, which some systems do not."""
            return "text/javascript" if str(path).endswith(".mjs") else super().guess_type(path)

        def log_message(self, *_):
            """Say nothing about every request."""

    serve = functools.partial(Handler, directory=site)
    server = ThreadingHTTPServer(("127.0.0.1", 0), serve)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(f"http://127.0.0.1:{server.server_port}/browser/")
        page.wait_for_selector("html[data-emonet=ready]", state="attached")
        page.get_by_role("button", name="Use the sample photo").click()
        page.wait_for_function("document.getElementById('emonet-faces').result")
        shot = FOLDER / "home-browser.png"
        page.screenshot(path=shot)
        browser.close()
    server.shutdown()
    save(Image.open(shot).convert("RGB"), "home-browser.webp")
    shot.unlink()


def main():
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--film", help="a film of one person")
    parser.add_argument("--site", help="folder of the built site")
    options = parser.parse_args()
    if options.site:
        live_page(options.site)
    recognizer = emonet.EmotionRecognizer.from_pretrained()
    if options.film:
        film(recognizer, options.film)
    gallery(recognizer)
    home(recognizer)


if __name__ == "__main__":
    main()
