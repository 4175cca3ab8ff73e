"""Files of unknown origin are decoded within bounds of format, size, work and memory."""

import io
import logging
import os
import struct
import subprocess
import threading
import time
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, IptcImagePlugin, features

from emonet.errors import ImageError
from emonet.pipeline import decoding
from emonet.pipeline.decoding import DECODER_BYTES, FILES, IMAGES, MAX_FILE_BYTES
from emonet.pipeline.headers import avif_pixels, jpeg_scans, tiff_scan_pixels
from emonet.pipeline.images import MAX_PIXELS, load_image, opened_image
from emonet.support.budget import Budget
from emonet.support.quiet import quiet

# Smooth, so that lossy formats keep it, and different at each edge.
ROWS, COLUMNS = np.mgrid[0:32, 0:48]
PICTURE = np.stack([4 * COLUMNS, 7 * ROWS, 200 - 2 * (ROWS + COLUMNS)], axis=2).astype(np.uint8)
WAIT = 10
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(
        buffer, kind, **options
    )
    return buffer.getvalue()


@contextmanager
def bounds(seconds, peak=2**21):
    """Require a block to be fast and to allocate little."""
    tracemalloc.start()
    started = time.perf_counter()
    try:
        yield
        elapsed, allocated = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert elapsed < seconds
    assert allocated < peak


# Formats


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("BMP", {}, 0),
        ("PNG", {}, 0),
        ("JPEG", {"quality": 100, "subsampling": 0}, 4),
        ("WEBP", {"lossless": True}, 0),
        ("GIF", {}, 48),
        ("TIFF", {}, 0),
        pytest.param("AVIF", {"quality": 100}, 6, marks=needs_avif),
    ],
)
def test_supported_formats_are_decoded_from_every_source(tmp_path, kind, options, tolerance):
    path = tmp_path / "picture"
    path.write_bytes(encoded(PICTURE, kind, **options))
    with Image.open(path) as image:
        for source in (path, path.read_bytes(), image):
            loaded = load_image(source)
            np.testing.assert_allclose(loaded.astype(int), PICTURE, atol=tolerance)


def iptc(content, size):
    """An IPTC file that has another file inside, as a compressed image."""

    def field(tag, data):
        return bytes([0x1C, *tag]) + struct.pack(">H", len(data)) + data

    parts = [content[start : start + 2**14] for start in range(0, len(content), 2**14)]
    return b"".join(
        [
            field((3, 60), b"\1\0"),
            *(field((3, tag), struct.pack(">I", n)) for tag, n in zip((20, 30), size, strict=True)),
            field((3, 120), b"\5"),
            *(field((8, 10), part) for part in parts),
        ]
    )


REFUSED = {
    **{kind: encoded(PICTURE, kind) for kind in ("PPM", "ICO", "TGA", "EPS")},
    "IPTC with EPS": iptc(encoded(PICTURE, "EPS"), (48, 32)),
    "IPTC with PNG": iptc(encoded(Image.fromarray(PICTURE).convert("L"), "PNG"), (48, 32)),
}


@pytest.fixture
def no_processes(monkeypatch):
    def fail(*arguments, **options):
        pytest.fail(f"starts a process: {arguments}")

    monkeypatch.setattr(subprocess.Popen, "__init__", fail)
    for name in ("system", "posix_spawn", "posix_spawnp", "fork", "popen"):
        monkeypatch.setattr(os, name, fail, raising=False)


@pytest.mark.parametrize("name", REFUSED)
def test_other_formats_are_refused_and_start_no_process(tmp_path, name, no_processes):
    Image.init()  # Pillow knows the formats, so that the refusal is emonet's
    data = REFUSED[name]
    assert Image.open(io.BytesIO(data)).format == name.split()[0]
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    for source in (path, data):
        with pytest.raises(ImageError, match="is not in a supported image format: use one of JPEG"):
            load_image(source)


def test_pillow_would_open_the_file_inside_an_iptc_file():
    with IptcImagePlugin.IptcImageFile(io.BytesIO(REFUSED["IPTC with PNG"])) as image:
        np.testing.assert_array_equal(np.asarray(image), Image.fromarray(PICTURE).convert("L"))


@pytest.mark.parametrize("name", REFUSED)
def test_lazily_opened_image_of_another_format_is_refused_by_name(name, no_processes):
    Image.init()
    image = Image.open(io.BytesIO(REFUSED[name]))
    with pytest.raises(ImageError, match=f"has the format {name.split()[0]}, which is not supp"):
        load_image(image)


def test_converted_image_of_another_format_is_accepted():
    image = Image.open(io.BytesIO(REFUSED["PPM"])).convert("RGB")
    np.testing.assert_array_equal(load_image(image), PICTURE)


def test_refused_formats_stay_refused_under_a_supported_suffix_and_magic():
    with pytest.raises(ImageError, match=r"can't be read|not in a supported"):
        load_image(b"\x89PNG\r\n\x1a\n" + REFUSED["PPM"])


def compressed_bmp():
    data = bytearray(encoded(Image.fromarray(PICTURE).quantize(32), "BMP"))
    data[30] = 1  # BI_RLE8
    (start,) = struct.unpack_from("<I", data, 10)
    return bytes(data[:start]) + bytes([48, 7, 0, 0]) * 32 + b"\0\1"


@pytest.mark.parametrize("form", [bytes, lambda data: Image.open(io.BytesIO(data))])
def test_compressed_bmp_is_refused(form):
    data = compressed_bmp()
    assert (np.asarray(Image.open(io.BytesIO(data))) == 7).all()  # a whole file
    with pytest.raises(ImageError, match="a compressed BMP is not supported"):
        load_image(form(data))


# Scans


def with_scans(side, count):
    """A progressive JPEG file whose last scan is repeated."""
    data = encoded(Image.new("RGB", (side, side), "teal"), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + count * data[last:-2] + data[-2:]


@pytest.mark.parametrize("form", [bytes, lambda data: Image.open(io.BytesIO(data))])
def test_jpeg_of_thousands_of_scans_is_refused_at_once(form):
    data = with_scans(1000, 3000)
    assert jpeg_scans(data) > 3000
    with bounds(1), pytest.raises(ImageError, match="too many scans or frames"):
        load_image(form(data))


def test_small_jpeg_of_many_scans_is_decoded():
    assert load_image(with_scans(16, 100)).shape == (16, 16, 3)


def test_usual_progressive_jpeg_is_decoded():
    data = encoded(Image.new("RGB", (3000, 2000), "teal"), "JPEG", progressive=True)
    assert jpeg_scans(data) == 10
    assert load_image(data).shape == (2000, 3000, 3)


SOI, EOI = b"\xff\xd8", b"\xff\xd9"
SCAN = b"\xff\xda\0\x08\1\1\0\0\x3f\0" + b"\x12\xff\0\x34\xff\xd0\x56"  # stuffing, a restart


@pytest.mark.parametrize(
    ("stream", "scans"),
    [
        (b"", 0),
        (SOI + EOI, 0),
        (SOI + SCAN + EOI, 1),
        (SOI + SCAN * 3 + EOI, 3),
        (SOI + SCAN * 3, 3),
        (SOI + SCAN + EOI + SCAN * 5, 1),
        (SOI + b"\xff\xff\xff" + SCAN + EOI, 1),
        # A comment may hold what looks like markers.
        (SOI + b"\xff\xfe\0\x06\xff\xda\xff\xd9" + SCAN + EOI, 1),
        (SOI + b"\xff\xfe\xff\xff" + SCAN, 0),
        (SOI + b"\xff\xda", 1),
        (SOI + b"\xff", 0),
    ],
)
def test_scans_are_counted_as_the_decoder_finds_them(stream, scans):
    assert jpeg_scans(stream) == scans
    assert jpeg_scans(b"\xff\xda" + stream, 2) == scans


def test_usual_jpeg_has_one_scan():
    assert jpeg_scans(encoded(PICTURE, "JPEG")) == 1


def test_scans_of_jpeg_inside_tiff_are_counted():
    data = SOI + SCAN * 4 + EOI
    tags = {256: 10, 257: 20, 259: 7, 278: 20, 273: (0,), 279: (len(data),)}
    assert tiff_scan_pixels(tags, data) == 4 * 200
    assert tiff_scan_pixels({**tags, 259: 5}, data) == 0
    repeated = {**tags, 273: (0,) * 9, 279: (len(data),) * 9}
    assert tiff_scan_pixels(repeated, data) == 9 * 4 * 200
    for sizes in ((), (0,), (len(data), 0), (len(data),) * 2, (-5,), (1.5,)):
        with pytest.raises(ImageError, match="sizes of its strips or tiles are missing"):
            tiff_scan_pixels({**tags, 279: sizes}, data)
    with pytest.raises(ImageError, match="sizes of its strips or tiles are missing"):
        tiff_scan_pixels({tag: tags[tag] for tag in tags if tag != 279}, data)
    overlapping = {**tags, 273: (0, 1), 279: (len(data), len(data) - 1)}
    with pytest.raises(ImageError, match="overlap"):
        tiff_scan_pixels(overlapping, data)


# AVIF


@needs_avif
@pytest.mark.parametrize("form", [bytes, lambda data: Image.open(io.BytesIO(data))])
def test_avif_that_is_larger_than_its_container_says_is_refused(form):
    data = encoded(Image.new("RGB", (64, 48), "teal"), "AVIF")
    at = data.index(b"ispe") + 8
    assert struct.unpack_from(">II", data, at) == (64, 48)
    small = data[:at] + struct.pack(">II", 10, 10) + data[at + 8 :]
    assert Image.open(io.BytesIO(small)).size == (10, 10)
    with pytest.raises(ImageError, match="holds 3072 pixels, more than the limit of 3071"):
        load_image(form(small), max_pixels=3071)
    assert load_image(data, max_pixels=64 * 48).shape == (48, 64, 3)


def with_frames(data, count):
    """An AVIF file whose frame is repeated in the same item."""
    start, end = data.index(b"mdat") + 4, len(data)
    item = data[start:end]
    frame = item[item.index(b"\x32") :]  # the OBU of a frame, with its size
    longer = item + count * frame
    at = data.index(struct.pack(">II", start, len(item)))  # where iloc says how long the item is
    head = data[:at] + struct.pack(">II", start, len(longer)) + data[at + 8 : start - 8]
    return head + struct.pack(">I", len(longer) + 8) + b"mdat" + longer


@needs_avif
@pytest.mark.parametrize("form", [bytes, lambda data: Image.open(io.BytesIO(data))])
def test_avif_of_thousands_of_frames_is_refused_at_once(form):
    data = encoded(Image.new("RGB", (1000, 1000), "teal"), "AVIF")
    assert avif_pixels(data) == (10**6, 10**6)
    assert load_image(with_frames(data, 10)).shape == (1000, 1000, 3)
    assert avif_pixels(with_frames(data, 10)) == (10**6, 11 * 10**6)
    with bounds(1), pytest.raises(ImageError, match="too many scans or frames"):
        load_image(form(with_frames(data, 3000)))


@needs_avif
def test_animated_avif_is_refused():
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("teal", "red")]
    data = encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="only AVIF files with one still picture"):
        load_image(data)


@needs_avif
def test_damaged_avif_headers_are_numbers_or_image_errors():
    random = np.random.default_rng(0)
    whole = encoded(PICTURE, "AVIF")
    for _ in range(500):
        data = bytearray(whole[: random.integers(len(whole) // 2, len(whole) + 1)])
        for place in random.integers(0, len(data), 3):
            data[place] = random.integers(256)
        try:
            assert min(avif_pixels(bytes(data))) >= 0
        except ImageError as error:
            assert "one still picture" in str(error)  # noqa: PT017


# Files that change, and large files


@pytest.mark.parametrize("share", [0, 0.5])
@pytest.mark.parametrize("moment", ["after stat", "after open"])
def test_file_that_shrinks_while_it_is_read_is_refused(tmp_path, monkeypatch, share, moment):
    path = tmp_path / "picture.bmp"
    path.write_bytes(encoded(PICTURE, "BMP"))
    size = int(path.stat().st_size * share)
    owner, name = (decoding, "read_bounded") if moment == "after stat" else (os, "fstat")
    usual = getattr(owner, name)

    def shrinking(*arguments):
        if moment == "after stat":
            os.truncate(path, size)
            return usual(*arguments)
        status = usual(*arguments)
        os.truncate(path, size)
        return status

    monkeypatch.setattr(owner, name, shrinking)
    with pytest.raises(ImageError, match=r"picture\.bmp (is empty|is truncated|can't be read)"):
        load_image(path)


def test_file_that_grows_while_it_is_read_is_decoded_or_refused(tmp_path, monkeypatch):
    path = tmp_path / "picture.bmp"
    path.write_bytes(encoded(PICTURE, "BMP"))
    usual = decoding.read_bounded

    def growing(*arguments):
        os.truncate(path, 3 * 2**30)
        return usual(*arguments)

    monkeypatch.setattr(decoding, "read_bounded", growing)
    with bounds(1), pytest.raises(ImageError, match=r"picture\.bmp"):
        load_image(path)


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_lazily_opened_file_that_shrinks_does_not_end_the_process(tmp_path, kind):
    path = tmp_path / "picture"
    path.write_bytes(encoded(PICTURE, kind))
    with Image.open(path) as image:
        os.truncate(path, 200)
        with pytest.raises(ImageError, match="The PIL image is truncated or damaged"):
            load_image(image)


@pytest.mark.parametrize("form", [Path, str])
def test_file_of_three_gigabytes_is_refused_at_once(tmp_path, form):
    path = tmp_path / "huge.png"
    path.write_bytes(encoded(PICTURE, "PNG"))
    os.truncate(path, 3 * 2**30)  # sparse
    with bounds(1), pytest.raises(ImageError, match="is larger than 256 MiB: resize it"):
        load_image(form(path))


def test_lazily_opened_file_of_three_gigabytes_is_refused_at_once(tmp_path):
    path = tmp_path / "huge.png"
    path.write_bytes(encoded(PICTURE, "PNG"))
    os.truncate(path, 3 * 2**30)
    refused = pytest.raises(ImageError, match="is larger than 256 MiB: resize it")
    with Image.open(path) as image, bounds(5, MAX_FILE_BYTES + 2**21), refused:
        load_image(image)


@pytest.mark.parametrize("start", [b"RIFF\0\0\0\0WEBPVP8 ", b"\0\0\0\x1cftypavif"])
def test_large_file_of_a_format_whose_decoder_copies_it_is_refused(start):
    data = start + bytes(2**26)
    with pytest.raises(ImageError, match="is larger than 64 MiB, the limit of its format"):
        load_image(data)


# Memory


def test_documentation_names_the_sizes():
    assert FILES.total + IMAGES.total == 1.25 * 2**30
    page = Path(__file__).parents[2] / "docs" / "how-to" / "memory-and-threads.md"
    text = page.read_text(encoding="utf-8")
    megapixels = {kind: IMAGES.total // size // 10**6 for kind, size in DECODER_BYTES.items()}
    assert megapixels["AVIF"] == megapixels["HEIF"]
    for part in (
        "1.25 GiB",
        f"| WebP | {megapixels['WEBP']} megapixels | 64 MiB |",
        f"| AVIF, HEIF | {megapixels['AVIF']} megapixels | 64 MiB |",
        f"| others | {MAX_PIXELS // 10**6} megapixels | {MAX_FILE_BYTES >> 20} MiB |",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("BMP", {}), ("GIF", {})],
)
def test_largest_images_of_other_formats_fit_into_the_memory(kind, options):
    data = encoded(PICTURE, kind, **options)
    with Image.open(io.BytesIO(data)) as image:
        image._size = (8900, 10_000)
        assert decoding._needed_bytes(image, data, MAX_PIXELS) <= IMAGES.total


def test_image_that_needs_more_memory_than_there_is_is_refused(monkeypatch):
    monkeypatch.setattr(decoding, "IMAGES", Budget(2**20))
    data = encoded(Image.new("RGB", (300, 300)), "WEBP")
    with pytest.raises(ImageError, match=r"WEBP with 300x300 pixels needs 1 MiB, more than the"):
        load_image(data)


def test_share_of_an_image_is_held_while_it_is_used_and_given_back_after():
    free = IMAGES._free
    data = encoded(Image.new("RGB", (100, 80), "teal"), "PNG")
    with opened_image(data) as (pixels, _):
        assert IMAGES._free == free - pixels.nbytes
        assert FILES._free == FILES.total
    assert IMAGES._free == free
    with pytest.raises(ImageError):
        load_image(data[:100])
    assert (FILES._free, IMAGES._free) == (FILES.total, free)


def started(function):
    """Start a thread; return it and an event that is set when the function has returned."""
    done = threading.Event()

    def run():
        function()
        done.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, done


def reserve(budget, size):
    with budget.reserve(size):
        pass


def test_thread_waits_until_a_share_is_released():
    budget = Budget(100)
    with budget.reserve(60):
        reserve(budget, 40)  # fits beside the other share
        thread, done = started(lambda: reserve(budget, 41))
        assert not done.wait(0.1)
    assert done.wait(WAIT)
    thread.join()


def test_thread_waits_until_a_share_shrinks():
    budget = Budget(100)
    with budget.reserve(100) as shrink:
        thread, done = started(lambda: reserve(budget, 60))
        shrink(50)
        assert not done.wait(0.1)
        shrink(40)
        assert done.wait(WAIT)
        shrink(90)  # a share does not grow again
        reserve(budget, 60)
    reserve(budget, 100)
    thread.join()


def test_share_is_released_after_an_error():
    budget = Budget(100)
    with pytest.raises(ZeroDivisionError), budget.reserve(100):
        raise ZeroDivisionError
    reserve(budget, 100)


def test_share_above_the_total_is_the_total():
    budget = Budget(100)
    with budget.reserve(10**9) as shrink:
        shrink(70)
        reserve(budget, 30)
    reserve(budget, 100)


def test_threads_together_stay_within_the_total():
    budget, lock = Budget(100), threading.Lock()
    held, highest = 0, 0

    def use(size):
        nonlocal held, highest
        with budget.reserve(size):
            with lock:
                held += size
                highest = max(highest, held)
            time.sleep(0.001)
            with lock:
                held -= size

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, np.random.default_rng(0).integers(1, 101, 200).tolist()))
    assert 50 < highest <= 100
    assert budget._free == 100


# Silence


def test_warnings_of_a_decoding_thread_are_dropped_and_others_come_through():
    inside, go_on = threading.Event(), threading.Event()

    def decode():
        with quiet():
            inside.set()
            assert go_on.wait(WAIT)
            warnings.warn("of the decoder", stacklevel=1)
            logging.getLogger("PIL.TiffImagePlugin").warning("of the decoder")
        warnings.warn("after decoding", stacklevel=1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with ThreadPoolExecutor(1) as threads:
            future = threads.submit(decode)
            assert inside.wait(WAIT)
            warnings.warn("of the caller", stacklevel=1)
            go_on.set()
            future.result(WAIT)
    assert [str(one.message) for one in caught] == ["of the caller", "after decoding"]


def test_log_records_of_a_decoding_thread_are_dropped(caplog):
    logger = logging.getLogger("PIL.TiffImagePlugin")
    with quiet():
        with quiet():
            logger.warning("first")
        logger.warning("second")  # still quiet
        with ThreadPoolExecutor(1) as threads:
            threads.submit(logger.warning, "of another thread").result(WAIT)
    logger.warning("after")
    assert [record.message for record in caplog.records] == ["of another thread", "after"]


def test_filters_of_the_caller_stay_and_the_own_one_is_not_repeated():
    with warnings.catch_warnings(action="error"):
        before = list(warnings.filters)
        for _ in range(3):
            load_image(encoded(PICTURE, "PNG"))
        assert [one for one in warnings.filters if one in before] == before
        assert len(warnings.filters) <= len(before) + 1
        with pytest.raises(UserWarning):
            warnings.warn("of the caller", stacklevel=1)


# Depth


def grey(values, kind, **options):
    """The values of an image of 16-bit grey, loaded from a file."""
    data = encoded(np.asarray(values, np.uint16), kind, **options)
    loaded = load_image(data)
    assert (loaded == loaded[:, :, :1]).all()
    return loaded[:, :, 0]


RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_eight_bits_in_sixteen_with_an_outlier_keep_their_values(kind):
    values = RAMP % 256
    values[3, 3] = 256
    expected = np.minimum(values, 255)
    np.testing.assert_array_equal(grey(values, kind), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_twelve_bits_in_sixteen_are_read_by_the_bits_in_use(kind):
    np.testing.assert_array_equal(grey(RAMP, kind), RAMP >> 4)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_full_sixteen_bits_keep_their_high_bytes(kind):
    np.testing.assert_array_equal(grey(RAMP << 4, kind), RAMP >> 4)


def test_dark_tiff_is_read_by_its_largest_possible_value():
    dark = RAMP % 128
    np.testing.assert_array_equal(grey(dark, "TIFF"), dark)
    declared = grey(dark, "TIFF", tiffinfo={281: 4095})
    np.testing.assert_array_equal(declared, dark >> 4)


def test_dark_tiff_of_twelve_bits_is_read_by_its_bits():
    dark = (RAMP % 128).reshape(-1, 2)
    packed = np.stack([dark[:, 0] >> 4, (dark[:, 0] & 15) << 4 | dark[:, 1] >> 8, dark[:, 1] & 255])
    data = bytearray(encoded(packed.T.reshape(64, 96).astype(np.uint8), "TIFF"))
    (entries,) = struct.unpack_from("<I", data, 4)
    for entry in range(entries + 2, entries + 2 + 12 * data[entries], 12):
        (tag,) = struct.unpack_from("<H", data, entry)
        if tag in (256, 258):  # the width, the bits
            struct.pack_into("<I", data, entry + 8, {256: 64, 258: 12}[tag])
    loaded = load_image(bytes(data))
    np.testing.assert_array_equal(loaded[:, :, 0], RAMP % 128 >> 4)


@pytest.mark.parametrize("depth", [8, 12, 16])
def test_sixteen_bit_colours_are_read_by_the_bits_in_use(depth):
    cv2 = pytest.importorskip("cv2")
    colours = PICTURE.astype(np.uint16) << depth - 8
    data = cv2.imencode(".png", colours[:, :, ::-1])[1].tobytes()
    np.testing.assert_array_equal(load_image(data), PICTURE)


@pytest.mark.parametrize("mode", ["F", "F big"])
def test_float_tiff_of_0_to_1_is_scaled(mode):
    values = (PICTURE[:, :, 0] / 255).astype(np.float32)
    data = encoded(values, "TIFF", big_tiff=mode == "F big")
    np.testing.assert_array_equal(load_image(data)[:, :, 2], PICTURE[:, :, 0])


@pytest.mark.parametrize("worst", [2, -1, np.nan, np.inf])
def test_float_tiff_of_other_values_is_refused(worst):
    values = np.full((8, 8), 0.5, np.float32)
    values[5, 5] = worst
    with pytest.raises(ImageError, match=r"must have finite values in 0\.\.1"):
        load_image(encoded(values, "TIFF"))


# Orientation and transparency


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        pytest.param("AVIF", {}, marks=needs_avif),
    ],
)
def test_images_are_turned_upright_as_pillow_does(kind, options, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(PICTURE, kind, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert expected.shape == ((32, 48, 3) if orientation < 5 else (48, 32, 3))
    for source in (data, Image.open(io.BytesIO(data))):
        np.testing.assert_array_equal(load_image(source), expected)


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})]
)
def test_transparent_pixels_are_laid_over_white(kind, options):
    alpha = (ROWS * 8 % 256).astype(np.uint8)[:, :, np.newaxis]
    loaded = load_image(encoded(np.concatenate([PICTURE, alpha], axis=2), kind, **options))
    share = alpha / 255
    np.testing.assert_allclose(loaded, PICTURE * share + 255 * (1 - share), atol=1)
