"""Randomly damaged image files either load or raise ImageError, and nothing is printed.

Each chunk of cases runs in its own process with limited memory and time. A failure shows the case
number, which is the random seed. To repeat it, call ``load_image(case(number))``. The fast tests
run 300 cases; ``pytest -m slow tests/integration/test_fuzz_images.py`` runs 10,000.
"""

import io
import json
import os
import random
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

FAST_CASES = 300
SLOW_CASES = 10_000
CHUNK = 2000
MEMORY = 2 * 2**30
SECONDS = 15

#: Numbers that mean something as a size, an offset or a count.
NASTY = (0, 1, 2, 7, 8, 255, 256, 2**15 - 1, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


def _save(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@cache
def whole_files():
    """Return small files of all formats and kinds of pixels, some of formats that are refused."""
    from PIL import Image, features

    Image.init()
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 4), np.uint8)
    noise[:20] = 128
    rgba = Image.fromarray(noise)
    rgb, grey, palette = rgba.convert("RGB"), rgba.convert("L"), rgba.convert("RGB").quantize(16)
    wide = Image.fromarray(noise[..., 0].astype(np.uint16) * 16)
    unit = Image.fromarray(noise[..., 0].astype(np.float32) / 255)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    frames = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    files = {
        "jpeg": _save(rgb, "JPEG", exif=exif),
        "jpeg progressive": _save(rgb, "JPEG", progressive=True, subsampling=0),
        "jpeg cmyk": _save(rgb.convert("CMYK"), "JPEG"),
        "jpeg grey": _save(grey, "JPEG"),
        "mpo": _save(rgb, "MPO", save_all=True, append_images=[rgb]),
        "gif": _save(rgb, "GIF", **frames),
        "gif clear": _save(palette, "GIF", transparency=3),
        "webp": _save(rgb, "WEBP", exif=exif),
        "webp lossless": _save(rgba, "WEBP", lossless=True),
        "webp frames": _save(rgb, "WEBP", **frames),
        "jpeg2000": _save(rgb, "JPEG2000"),
        "ico": _save(rgb, "ICO"),
        "icns": _save(rgb.resize((64, 64)), "ICNS"),
        "png frames": _save(rgb, "PNG", **frames),
        "png wide rgb": _wide_png(noise),
    }
    for name, image in {
        "1": rgb.convert("1"),
        "L": grey,
        "LA": rgba.convert("LA"),
        "P": palette,
        "RGB": rgb,
        "RGBA": rgba,
        "I;16": wide,
    }.items():
        files[f"png {name}"] = _save(image, "PNG", exif=exif)
        if name not in ("LA", "I;16"):
            files[f"bmp {name}"] = _save(image, "BMP")
        for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma", "zstd"):
            files[f"tiff {name} {compression}"] = _save(image, "TIFF", compression=compression)
    files["tiff float"] = _save(unit, "TIFF")
    files["tiff jpeg"] = _save(rgb, "TIFF", compression="jpeg", tiffinfo={274: 6})
    files["tiff group4"] = _save(rgb.convert("1"), "TIFF", compression="group4")
    files["tiff frames"] = _save(rgb, "TIFF", **frames)
    if features.check("avif"):
        files["avif"] = _save(rgba, "AVIF", speed=10, exif=exif)
        files["avif frames"] = _save(rgb, "AVIF", speed=10, **frames)
    return list(files.values())


def _wide_png(pixels):
    """Return a PNG file of 16-bit colours, which Pillow can't write."""
    import cv2

    return cv2.imencode(".png", pixels.astype(np.uint16) * 16)[1].tobytes()


def case(number):
    """Return the damaged file of a number."""
    chance = random.Random(number)
    data = bytearray(chance.choice(whole_files()))
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        # Most of what decoders believe stands in the first bytes.
        end = chance.choice((32, 100, 400, len(data)))
        at = chance.randrange(max(1, min(end, len(data))))
        size = chance.choice((1, 2, 4, 16, 200))
        kind = chance.randrange(6)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            del data[at : at + size]
        elif kind == 2:
            data[at:at] = data[at : at + size]
        elif kind == 3:
            data[at : at + size] = chance.randbytes(size)
        elif kind == 4:
            width = chance.choice((1, 2, 4))
            value = chance.choice(NASTY) % 256**width
            data[at : at + width] = value.to_bytes(width, chance.choice(("big", "little")))
        elif data:
            data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
    return bytes(data)


def run(start, count):
    """Load the cases of a chunk in a limited process; return how many were images."""
    done = subprocess.run(
        [sys.executable, "-W", "always", __file__, str(start), str(count)],
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    last = done.stdout.splitlines()[-1:]
    assert done.returncode == 0, f"exit {done.returncode} after {last}: {done.stderr[-2000:]}"
    assert done.stderr == ""
    return json.loads(last[0])["images"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the process with Linux's means")
@pytest.mark.parametrize("cases", [FAST_CASES, pytest.param(SLOW_CASES, marks=pytest.mark.slow)])
def test_damaged_file_is_an_image_or_an_image_error_and_nothing_is_printed(cases):
    starts = range(0, cases, CHUNK)
    images = sum(run(start, min(CHUNK, cases - start)) for start in starts)
    print(f"{images} of {cases} damaged files are images, the others are refused")
    assert 0.05 * cases < images < 0.95 * cases


def main():
    """Load the cases of a chunk, and say which one is next."""
    import resource

    from emonet.errors import ImageError
    from emonet.pipeline.images import load_image

    whole_files()
    load_image(whole_files()[0])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    start, count = map(int, sys.argv[1:])
    images = 0
    for number in range(start, start + count):
        print(number, flush=True)
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used) + SECONDS, most))
        try:
            pixels = load_image(case(number))
            assert pixels.dtype == np.uint8
            assert pixels.shape[2:] == (3,)
            images += 1
        except ImageError as error:
            if not str(error):
                raise
    print(json.dumps({"images": images}))


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    main()
