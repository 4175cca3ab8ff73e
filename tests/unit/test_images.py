"""Whatever people hand in becomes one RGB uint8 array, or an ImageError that says why not."""

import io
import math
import struct
import time
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.conftest import Frame, Tensor

from emonet.errors import EmonetError, ImageError
from emonet.pipeline.images import MAX_PIXELS, is_single_image, load_image, source_path

# Six colours in an order that no rotation or reflection maps to itself.
COLOURS = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 0], [0, 0, 0], [255, 255, 255]]],
    np.uint8,
)
PICTURE = COLOURS.repeat(16, axis=0).repeat(16, axis=1)


def pil(array, mode=None):
    from PIL import Image

    image = Image.fromarray(array)
    return image if mode is None else image.convert(mode)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    (pil(image) if isinstance(image, np.ndarray) else image).save(buffer, kind, **options)
    return buffer.getvalue()


def png_that_declares(width, height):
    """A PNG file of some 70 bytes: all of its header and next to none of its pixels."""

    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 16)), chunk(b"IEND", b"")]
    )


def opened(file):
    """A PIL image whose pixels are still in its file."""
    from PIL import Image

    return Image.open(io.BytesIO(file.read_bytes()))


@pytest.mark.parametrize(
    "form",
    [Path, str, Path.read_bytes, opened, lambda _: pil(PICTURE), lambda _: PICTURE],
    ids=["path", "str", "bytes", "opened", "pil", "array"],
)
def test_every_form_of_a_picture_gives_the_same_array(form, tmp_path):
    file = tmp_path / "picture.png"
    file.write_bytes(encoded(PICTURE))
    loaded = load_image(form(file))
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, PICTURE)


def test_rgb_uint8_array_is_returned_without_a_copy():
    assert load_image(PICTURE) is PICTURE


def test_array_turned_round_from_bgr_is_taken_as_it_is():
    bgr = PICTURE[:, :, ::-1].copy()
    np.testing.assert_array_equal(load_image(bgr[:, :, ::-1]), PICTURE)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 7, 255]], np.uint8), [0, 7, 255]),
        (np.array([[[0], [7], [255]]], np.uint8), [0, 7, 255]),
        (np.array([[0, 0x07FF, 0xFFFF]], np.uint16), [0, 7, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float64), [0, 128, 255]),
    ],
    ids=["uint8", "one channel", "uint16", "float32", "float64"],
)
def test_grey_array_of_each_dtype_becomes_eight_bit_rgb(array, expected):
    loaded = load_image(array)
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, np.repeat([[[v] for v in expected]], 3, axis=2))


def test_float_rgb_array_of_0_to_1_is_scaled():
    np.testing.assert_array_equal(load_image(PICTURE / 255), PICTURE)


@pytest.mark.parametrize("form", ["array", "png"])
def test_transparency_is_laid_over_white(form):
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0] = 200
    rgba[0, :, 3] = 0, 255, 102  # 102 / 255 is 40 %
    loaded = load_image(rgba if form == "array" else encoded(rgba))
    expected = [[[255, 255, 255], [200, 0, 0], [233, 153, 153]]]
    np.testing.assert_allclose(loaded, expected, atol=1)


def test_grey_with_alpha_is_laid_over_white():
    grey_alpha = np.array([[[10, 0], [10, 255], [0, 102]]], np.uint8)
    loaded = load_image(encoded(pil(grey_alpha, "LA")))
    np.testing.assert_allclose(loaded, np.repeat([[[255], [10], [153]]], 3, axis=2), atol=1)


def test_palette_picture_shows_its_colours():
    np.testing.assert_array_equal(load_image(encoded(pil(PICTURE).quantize(8))), PICTURE)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_palette_entry_is_white(kind):
    image = pil(PICTURE).quantize(8)
    clear = image.getpixel((0, 0))
    expected = PICTURE.copy()
    expected[:16, :16] = 255
    loaded = load_image(encoded(image, kind, transparency=clear))
    np.testing.assert_array_equal(loaded, expected)


def test_partly_transparent_palette_is_laid_over_white():
    image = pil(PICTURE).quantize(8)
    alphas = bytearray([255] * 8)
    alphas[image.getpixel((0, 0))] = 102
    expected = PICTURE.copy()
    expected[:16, :16] = 255, 153, 153
    loaded = load_image(encoded(image, transparency=bytes(alphas)))
    np.testing.assert_allclose(loaded, expected, atol=1)


def test_sixteen_bit_png_keeps_its_high_bytes():
    wide = np.array([[0, 0x0100, 0x80FF, 0xFFFF]], np.uint16)
    loaded = load_image(encoded(wide))
    np.testing.assert_array_equal(loaded, load_image(wide))
    assert loaded[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("wide", "expected"), [([0, 9, 255], [0, 9, 255]), ([0, 9, 65535], [0, 0, 255])]
)
def test_integer_pil_image_is_read_by_its_range(wide, expected):
    loaded = load_image(pil(np.array([wide], np.int32)))
    assert loaded[0, :, 0].tolist() == expected


def test_cmyk_jpeg_shows_its_colours():
    loaded = load_image(encoded(pil(PICTURE, "CMYK"), "JPEG", quality=100, subsampling=0))
    np.testing.assert_allclose(loaded.astype(int), PICTURE, atol=6)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_grey_file_gives_three_equal_channels(kind):
    loaded = load_image(encoded(pil(PICTURE, "L"), kind))
    assert loaded.shape == PICTURE.shape
    np.testing.assert_array_equal(loaded[:, :, 0], loaded[:, :, 2])
    np.testing.assert_allclose(loaded[:, :, 1].astype(int), pil(PICTURE, "L"), atol=6)


def test_black_and_white_file_is_0_and_255():
    loaded = load_image(encoded(pil(PICTURE, "1")))
    assert loaded[-1, -1].tolist() == [255, 255, 255]
    assert loaded[-1, 20].tolist() == [0, 0, 0]


def test_float_pil_image_means_what_the_same_array_means():
    array = np.array([[0.0, 0.5, 1.0]], np.float32)
    np.testing.assert_array_equal(load_image(pil(array)), load_image(array))


# By EXIF orientation: how an upright picture lies in the file.
STORED = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright.swapaxes(0, 1), 2),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [("PNG", {}, 0), ("JPEG", {"quality": 100, "subsampling": 0}, 6)],
)
def test_picture_is_turned_upright_as_exif_says(orientation, kind, options, tolerance):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](PICTURE))
    data = encoded(stored, kind, exif=exif, **options)
    for source in (data, Image.open(io.BytesIO(data))):
        loaded = load_image(source)
        assert loaded.shape == PICTURE.shape
        np.testing.assert_allclose(loaded.astype(int), PICTURE, atol=tolerance)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_garbled_exif_does_not_cost_the_picture(kind):
    loaded = load_image(encoded(PICTURE, kind, exif=b"Exif\0\0this is no EXIF block"))
    assert loaded.shape == PICTURE.shape


@pytest.mark.parametrize(
    "source", [np.full((1, 1, 3), 9, np.uint8), encoded(np.full((1, 1, 3), 9, np.uint8))]
)
def test_single_pixel_is_an_image(source):
    assert load_image(source).tolist() == [[[9, 9, 9]]]


# With warnings off, Pillow lets up to 179 million pixels through.
@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("side", [12_000, 100_000])
def test_huge_picture_is_refused_from_its_header(side, action, tmp_path):
    file = tmp_path / "huge.png"
    file.write_bytes(png_that_declares(side, side))
    warnings.simplefilter(action)  # pytest puts the filters back
    tracemalloc.start()
    started = time.perf_counter()
    # The file has no pixels: whoever decoded them would call it truncated.
    with pytest.raises(ImageError, match=r"huge\.png .*(too large|more than the limit)"):
        load_image(file)
    elapsed, (_, peak) = time.perf_counter() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert elapsed < 1
    assert peak < 2_000_000


@pytest.mark.parametrize("form", ["array", "bytes", "pil"])
def test_limit_of_pixels_holds_for_every_form(form):
    source = {"array": PICTURE, "bytes": encoded(PICTURE), "pil": pil(PICTURE)}[form]
    pixels = PICTURE.shape[0] * PICTURE.shape[1]
    assert load_image(source, max_pixels=pixels).shape == PICTURE.shape
    with pytest.raises(ImageError, match=str(pixels - 1)):
        load_image(source, max_pixels=pixels - 1)


def test_huge_array_is_refused_before_it_is_touched():
    # One byte that pretends to be 144 million.
    huge = np.broadcast_to(np.uint8(0), (12_000, 12_000))
    with pytest.raises(ImageError, match=rf"{MAX_PIXELS} pixels, got shape \(12000, 12000\)"):
        load_image(huge)


@pytest.mark.parametrize("keep", [0.5, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_truncated_file_is_an_image_error(kind, keep):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encoded(noise, kind)
    with pytest.raises(ImageError, match="The image in memory"):
        load_image(data[: int(len(data) * keep)])


def test_truncated_jpeg_is_named_by_its_path(tmp_path):
    file = tmp_path / "half.jpg"
    data = encoded(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), "JPEG")
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"half\.jpg is truncated or damaged"):
        load_image(file)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF"])
def test_damaged_file_gives_a_picture_or_an_image_error(kind):
    random = np.random.default_rng(0)
    whole = encoded(random.integers(0, 256, (24, 20, 3), np.uint8), kind)
    refused = 0
    for _ in range(150):
        data = bytearray(whole[: random.integers(1, len(whole) + 1)])
        for place in random.integers(0, min(len(data), 80), 4):
            data[place] = random.integers(256)
        try:
            load_image(bytes(data), max_pixels=1_000_000)
        except ImageError:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize("source", [b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_no_picture_are_an_image_error(source):
    with pytest.raises(ImageError, match="The image in memory is not in a supported image format"):
        load_image(source)


def test_file_that_is_no_picture_is_named(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("not a picture")
    with pytest.raises(ImageError, match=r"notes\.txt is not in a supported image format"):
        load_image(file)


@pytest.mark.parametrize("form", [Path, str])
def test_missing_file_is_named(form, tmp_path):
    with pytest.raises(ImageError, match=r"No image file at .*nowhere\.jpg"):
        load_image(form(tmp_path / "nowhere.jpg"))


def test_folder_is_no_image_file(tmp_path):
    with pytest.raises(ImageError, match="No image file at"):
        load_image(tmp_path)


# Such as a picture's own base64 text, handed in by mistake.
@pytest.mark.parametrize("name", ["a" * 5000, "with\0nul.jpg", ""], ids=["long", "nul", "empty"])
def test_text_that_can_be_no_path_is_an_image_error(name):
    with pytest.raises(ImageError, match="No image file at"):
        load_image(name)


def test_a_path_without_a_file_says_what_to_do_instead(tmp_path):
    with pytest.raises(FileNotFoundError, match="this is a folder; pass its files"):
        load_image(tmp_path)
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(ImageError, match=r"IMG_1\.HEIC is not in a supported .* pillow-heif"):
        load_image(tmp_path / "IMG_1.HEIC")


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ([0, 255], r"0\.\.255: convert it with \.astype\('uint8'\)$"),
        ([-1, 1], r"got -1\.\.1$"),
        ([0, math.nan], r"got nan\.\.nan$"),
        ([0, 256], r"got 0\.\.256$"),
    ],
)
def test_floats_out_of_range_are_told_how_only_where_that_helps(values, hint):
    with pytest.raises(ImageError, match=hint):
        load_image(np.array([values], float))


def test_booleans_are_told_a_type_that_keeps_them_apart():
    mask = np.eye(4, dtype=bool)
    with pytest.raises(ImageError, match=r"got bool: convert it with \.astype\('float32'\)"):
        load_image(mask)
    assert set(np.unique(load_image(mask.astype("float32")))) == {0, 255}


@pytest.mark.parametrize("source", [None, 3, 2.5, ["a.jpg"], {"a.jpg"}, object()])
def test_other_types_are_refused_by_name(source):
    with pytest.raises(ImageError, match=f"array, got {type(source).__name__}$"):
        load_image(source)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint32", "bool", "complex64", "O"])
def test_array_of_another_dtype_is_refused_by_name(dtype):
    with pytest.raises(ImageError, match=rf"got {np.dtype(dtype)}: convert it"):
        load_image(np.zeros((4, 4, 3), dtype))


def test_array_of_the_other_byte_order_is_read_all_the_same():
    wide = np.array([[0, 0x0100, 0xFFFF]], np.uint16)
    np.testing.assert_array_equal(load_image(wide.astype(">u2")), load_image(wide))


@pytest.mark.parametrize("shape", [(), (4,), (4, 4, 2), (4, 4, 5), (4, 4, 0), (1, 4, 4, 3)])
def test_array_of_another_shape_is_refused_with_it(shape):
    with pytest.raises(ImageError) as caught:
        load_image(np.zeros(shape, np.uint8))
    assert f"got {shape}" in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0, 3), (0, 5, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_array_without_pixels_is_refused_with_its_shape(shape, dtype):
    with pytest.raises(ImageError) as caught:
        load_image(np.zeros(shape, dtype))
    assert f"got shape {shape}" in str(caught.value)


@pytest.mark.parametrize(
    ("worst", "received"),
    [(np.nan, "nan"), (np.inf, "inf"), (-0.01, "-0.01"), (1.01, "1.01"), (255.0, "255")],
)
def test_float_array_outside_0_to_1_is_refused_with_its_range(worst, received):
    array = np.full((4, 4, 3), 0.5)
    array[2, 1, 0] = worst
    with pytest.raises(ImageError, match=rf"0\.\.1, got .*{received}"):
        load_image(array)


def test_image_error_is_caught_as_emonet_error_and_as_value_error():
    with pytest.raises(EmonetError):
        load_image(b"")
    with pytest.raises(ValueError, match="The image in memory is empty"):
        load_image(b"")


@pytest.mark.parametrize(
    "source",
    [
        *["a.jpg", Path("a.jpg"), b"", bytearray(), memoryview(b""), io.BytesIO()],
        *[np.zeros((4, 4)), np.zeros((4, 4, 3)), np.array(3), None, 3],
        *[[[0, 1], [2, 3]], ((0.5,),), [[np.uint8(9)]], [[[0, 1, 2]]]],
        np.frombuffer(b"an encoded file", np.uint8),
    ],
    ids=lambda source: type(source).__name__,
)
def test_one_image_is_told_from_many(source):
    assert is_single_image(source)


def test_pil_image_is_one_image():
    assert is_single_image(pil(PICTURE))


@pytest.mark.parametrize(
    "source",
    [
        *[[], ["a.jpg"], ("a.jpg",), {"a.jpg"}, iter(["a.jpg"])],
        *[np.zeros((2, 4, 4, 3)), np.array(["a.jpg"]), [["a.jpg"]], [np.zeros((4, 4))], [[]]],
    ],
    ids=lambda source: f"{type(source).__name__}-{len(str(source))}",
)
def test_many_images_are_told_from_one(source):
    assert not is_single_image(source)


@pytest.mark.parametrize(
    ("source", "path"),
    [("a.jpg", "a.jpg"), (Path("a.jpg"), "a.jpg"), (b"", None), (np.zeros((4, 4)), None)],
    ids=["str", "path", "bytes", "array"],
)
def test_only_what_was_given_as_a_path_has_one(source, path):
    assert source_path(source) == path


def test_eight_bits_in_wider_numbers_are_no_black_picture():
    narrow = np.array([[0, 7, 255]], np.uint16)
    np.testing.assert_array_equal(load_image(narrow)[0, :, 0], [0, 7, 255])
    np.testing.assert_array_equal(load_image(PIL.Image.fromarray(narrow))[0, :, 0], [0, 7, 255])


def test_rounding_does_not_spoil_a_float_picture():
    rounded = np.array([[-1e-7, 0.5, 1 + 1e-7]])
    np.testing.assert_array_equal(load_image(rounded)[0, :, 0], [0, 128, 255])
    with pytest.raises(ImageError, match=r"in 0\.\.1, got 0\.\.1\.01$"):
        load_image(np.array([[0, 1.01]]))


class GpuTensor(Tensor):
    """Like PyTorch's: it can be converted only without its gradient, in the main memory."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad")

    def detach(self):
        return self

    def cpu(self):
        return Tensor(self._array)


def matrix(array):
    with warnings.catch_warnings(action="ignore"):
        return np.matrix(array)


@pytest.mark.parametrize("kind", [Tensor, GpuTensor, matrix, np.ma.masked_array])
def test_another_array_is_one_image_of_the_same_pixels(kind):
    grey = PICTURE[:, :, 1]
    assert is_single_image(kind(grey))
    np.testing.assert_array_equal(load_image(kind(grey)), load_image(grey))


@pytest.mark.parametrize("kind", [Tensor, GpuTensor])
def test_a_tensor_of_three_dimensions_is_one_image_and_of_four_many(kind):
    assert is_single_image(kind(PICTURE))
    np.testing.assert_array_equal(load_image(kind(PICTURE)), PICTURE)
    assert is_single_image(kind(np.zeros(9, np.uint8)))
    assert not is_single_image(kind(PICTURE[np.newaxis]))


def test_a_subclass_of_arrays_is_not_handed_on():
    class Own(np.ndarray):
        pass

    assert type(load_image(PICTURE.view(Own))) is np.ndarray


def test_a_tensor_that_can_not_be_converted_is_an_image_error():
    class Broken(Tensor):
        def __array__(self, dtype=None, copy=None):
            raise NotImplementedError("symbolic")

    with pytest.raises(ImageError, match="Broken can't be converted to a NumPy array: symbolic"):
        load_image(Broken(PICTURE))


@pytest.mark.parametrize("use", [is_single_image, load_image])
def test_a_table_is_refused_with_a_hint(use):
    with pytest.raises(ImageError, match=r"A Frame is a table.* list\(table\['path'\]\)"):
        use(Frame())


def test_nested_lists_of_numbers_are_told_what_to_pass():
    with pytest.raises(ImageError, match=r"got list: pass numpy\.array\(image, 'uint8'\)"):
        load_image([[0, 1], [2, 3]])


def test_channels_in_front_are_told_where_they_belong():
    with pytest.raises(ImageError, match=r"got \(3, 40, 50\): move the channels to the end"):
        load_image(np.zeros((3, 40, 50), np.uint8))


def test_outliers_do_not_make_an_eight_bit_picture_black():
    array = np.full((50, 50), 100, np.uint16)
    array[3, 3] = 256
    loaded = load_image(array)
    assert loaded[0, 0, 0] == 100
    assert loaded[3, 3, 0] == 255


@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
def test_sixteen_bit_arrays_are_read_by_the_bits_in_use(depth):
    ramp = np.arange(2**8, dtype=np.uint16).reshape(16, 16) << depth - 8
    np.testing.assert_array_equal(load_image(ramp)[:, :, 0].ravel(), np.arange(256))
    opaque = np.full((16, 16, 1), 65535, np.uint16)
    colours = np.concatenate([ramp[..., None].repeat(3, axis=2), opaque], axis=2)
    np.testing.assert_array_equal(load_image(colours)[:, :, 1].ravel(), np.arange(256))
