"""Decode image files of unknown origin within bounds of format, size, work and memory.

Only formats of an allow-list are decoded, by decoders that open no other file inside. The bytes
are read once and decoded from memory, so that a file may change or shrink meanwhile.
"""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import ImageError
from emonet.pipeline.headers import (
    avif_pixels,
    jpeg_scans,
    tag_numbers,
    tiff_block_bytes,
    tiff_scan_pixels,
)
from emonet.support.budget import Budget, trim_memory
from emonet.support.files import read_bounded
from emonet.support.quiet import quiet, silence_libtiff

if TYPE_CHECKING:
    import PIL.Image

#: Formats that are decoded, and Pillow's modules for them. pillow-heif registers HEIF itself.
#: JPEG 2000 is missing, because 12 kB of it can take 12 GB.
FORMATS = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "WEBP": "WebPImagePlugin",
    "GIF": "GifImagePlugin",
    "BMP": "BmpImagePlugin",
    "TIFF": "TiffImagePlugin",
    "AVIF": "AvifImagePlugin",
    "HEIF": None,
}
#: Largest image, pixels; checked in the header. Pillow itself warns just above this size.
MAX_PIXELS = 89_000_000
MAX_FILE_BYTES = 2**28
#: Largest file in a format whose decoder copies the file, bytes.
MAX_COPIED_BYTES = 2**26
#: Largest product of scans and pixels of a JPEG file, or of frames and pixels of an AVIF file:
#: some seconds of decoding. A usual progressive file has ten scans.
MAX_SCAN_PIXELS = 10**9
#: Bytes that all threads of this process together may hold as files, and as images.
FILES, IMAGES = Budget(MAX_FILE_BYTES), Budget(2**30)
#: Most bytes per pixel that a decoder takes, with its result; measured for 8-bit images.
DECODER_BYTES = {"WEBP": 20, "AVIF": 24, "HEIF": 24}
#: Bytes per pixel of a loaded PIL image by mode.
MODE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
RESULT_BYTES = 3
#: Formats whose frames follow each other in time; an animated AVIF is refused.
ANIMATED = {"GIF", "PNG", "WEBP"}
#: The C library keeps freed memory for each thread; after larger images it is given back.
TRIMMED_BYTES = 2**24
STRIP_PIXELS = 2**18
#: Tolerance around 0..1 for rounding errors in float images.
ROUNDING = 1e-3

HEIF_HINT = (
    "install pillow-heif and call pillow_heif.register_heif_opener() first, "
    "or convert the image to JPEG"
)
VIDEO_HINT = "it is a video; use recognizer.stream_video, or emonet video"
#: First bytes of videos, and where they stand: MP4 and MOV, Matroska and WebM, AVI.
_VIDEOS = ((4, b"ftyp"), (4, b"moov"), (0, b"\x1a\x45\xdf\xa3"), (8, b"AVI "))
_HEIF_BRANDS = {b"ftyp" + brand for brand in (b"heic", b"heix", b"mif1", b"msf1", b"hevc")}


#: A decoded image, and whether its file has further frames.
DecodedFile = tuple[NDArray[np.uint8], bool]


def decode_file(path: Path, name: str, max_pixels: int, held: ExitStack) -> DecodedFile:
    """Decode an image file, the first frame of an animation; ``held`` holds its memory.

    Raises:
        ImageError: the file breaks a bound, or is damaged.
    """
    with _file_errors(name):
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            with path.open("rb") as file:
                if is_video(file.read(16)):
                    raise ImageError(f"{name} is not in a supported image format: {VIDEO_HINT}")
        _require_size(size, name)
        # Pillow's decoders for some formats copy the file twice.
        with FILES.reserve(3 * size):
            data = read_bounded(path, MAX_FILE_BYTES)
            _require_size(len(data or b""), name)
            return _decode(data or b"", name, max_pixels, held)


def decode_bytes(data: bytes, name: str, max_pixels: int, held: ExitStack) -> DecodedFile:
    """Decode an image file's bytes, like decode_file."""
    _require_size(len(data), name)
    with FILES.reserve(2 * len(data)):
        return _decode(data, name, max_pixels, held)


def decode_pil(
    image: "PIL.Image.Image", name: str, max_pixels: int, held: ExitStack
) -> NDArray[np.uint8]:
    """Decode a PIL image, like decode_file.

    Raises:
        ImageError: the image has been opened from a file of another format.
    """
    if image.format not in {*FORMATS, "MPO", None}:
        raise ImageError(
            f"{name} has the format {image.format!s:.20}, which is not supported. Use one of "
            f"{', '.join(FORMATS)}, or pass image.convert('RGB') if you trust the file"
        )
    file = getattr(image, "fp", None)
    if not getattr(image, "tile", None) or file is None:
        return _released(*_to_array(image, b"", name, max_pixels, held))
    copied = image.format in DECODER_BYTES
    with _file_errors(name), FILES.reserve(2 * _file_size(file, name, copied=copied)):
        position = file.tell()
        file.seek(0)
        data = file.read(MAX_FILE_BYTES + 1)
        file.seek(position)
        _require_size(len(data), name)
        # A copy, because Pillow maps some files to memory, and the process ends if they shrink.
        return _decode(data, name, max_pixels, held, frame=image.tell())[0]


def _file_size(file: Any, name: str, *, copied: bool) -> int:
    """Return the size of an open file, bytes; raise ImageError if it is empty or too large."""
    position = file.tell()
    file.seek(0, io.SEEK_END)
    size = int(file.tell())
    file.seek(position)
    _require_size(size, name, copied=copied)
    return size


@contextmanager
def _file_errors(name: str) -> Iterator[None]:
    """Raise ImageError in place of a file's errors, such as those of a closed file."""
    try:
        yield
    except ImageError:
        raise
    except (OSError, ValueError, AttributeError) as error:
        raise ImageError(f"{name} can't be read: {error}") from error


def _require_size(size: int, name: str, *, copied: bool = False) -> None:
    if not size:
        raise ImageError(f"{name} is empty")
    if size > MAX_FILE_BYTES:
        raise ImageError(f"{name} is larger than {MAX_FILE_BYTES >> 20} MiB: resize it")
    if copied and size > MAX_COPIED_BYTES:
        raise ImageError(
            f"{name} is larger than {MAX_COPIED_BYTES >> 20} MiB, the limit of its format: "
            f"convert it to JPEG or PNG"
        )


#: A decoded image, and a function that gives back the decoder's share of the memory.
Decoded = tuple[NDArray[np.uint8], Callable[[int], None]]


def _released(pixels: NDArray[np.uint8], shrink: Callable[[int], None]) -> NDArray[np.uint8]:
    """Give back the memory of a decoder that has ended; keep that of the image."""
    if pixels.nbytes > TRIMMED_BYTES:
        trim_memory()
    shrink(pixels.nbytes)
    return pixels


def _decode(
    data: bytes, name: str, max_pixels: int, held: ExitStack, frame: int = 0
) -> DecodedFile:
    from PIL import Image, UnidentifiedImageError

    formats = _formats()
    copied = data[8:12] == b"WEBP" or data[4:8] == b"ftyp"
    _require_size(len(data), name, copied=copied)
    try:
        with quiet(), Image.open(io.BytesIO(data), formats=formats) as image:
            if frame:
                image.seek(frame)
            decoded = _to_array(image, data, name, max_pixels, held)
            animated = _is_animated(image)
        return _released(*decoded), animated
    except UnidentifiedImageError:
        heif = "HEIF" not in formats and data[4:12] in _HEIF_BRANDS
        hint = HEIF_HINT if heif else f"use one of {', '.join(formats)}"
        if not heif and is_video(data):
            hint = VIDEO_HINT
        raise ImageError(f"{name} is not in a supported image format: {hint}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name} is too large: {error}") from None
    except ImageError:
        raise
    except Exception as error:
        # Pillow's decoders raise many kinds of errors for a damaged file.
        raise ImageError(f"{name} can't be read: {type(error).__name__}: {error}") from error


def is_video(data: bytes) -> bool:
    """Return whether bytes that are no image start like a video."""
    return any(data.startswith(mark, offset) for offset, mark in _VIDEOS)


def _is_animated(image: "PIL.Image.Image") -> bool:
    """Return whether a file has further frames; pages of a document are none."""
    try:
        # At most one frame is searched: counting all would take long for a hostile file.
        return image.format in ANIMATED and bool(getattr(image, "is_animated", False))
    except Exception:  # the second frame is damaged
        return False


def _formats() -> list[str]:
    """Return the names of the formats that this installation of Pillow decodes."""
    from PIL import Image

    for module in _modules():
        import_module(module)
    return [name for name in FORMATS if name in Image.OPEN]


@cache
def _modules() -> list[str]:
    names = [f"PIL.{module}" for module in FORMATS.values() if module]
    return [name for name in names if find_spec(name)]


def _to_array(
    image: "PIL.Image.Image", data: bytes, name: str, max_pixels: int, held: ExitStack
) -> Decoded:
    """Return a PIL image as uint8 (height, width, 3) RGB, upright, transparency over white.

    Args:
        image: the image.
        data: the bytes of its file; empty if it is loaded.
        name: what errors call the image.
        max_pixels: largest number of pixels.
        held: holds the result's share of the memory.
    """
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            f"{name} has {width}x{height} pixels, more than the limit of {max_pixels}: resize it"
        )
    if not width * height:
        raise ImageError(f"{name} has no pixels")
    try:
        with quiet(), np.errstate(all="ignore"):
            needed = _needed_bytes(image, data, max_pixels)
            if needed > IMAGES.total:
                raise ImageError(
                    f"{image.format} with {width}x{height} pixels needs {needed >> 20} MiB, more "
                    f"than the limit of {IMAGES.total >> 20}. Resize it, or convert it to JPEG"
                )
            shrink = held.enter_context(IMAGES.reserve(needed))
            if image.format == "TIFF":
                silence_libtiff()
            low_bytes = _low_bytes(image, data)  # before load, which forgets how to decode
            image.load()
            return _upright_rgb(image, low_bytes), shrink
    except ImageError as error:
        raise ImageError(f"{name} can't be read: {error}") from error
    except Exception as error:
        raise ImageError(f"{name} is truncated or damaged: {error}") from error


def _needed_bytes(image: "PIL.Image.Image", data: bytes, max_pixels: int) -> int:
    """Return how much memory decoding takes at most; raise ImageError if a bound is broken."""
    pixels = image.width * image.height
    loaded = pixels * MODE_BYTES.get(image.mode, 4)
    result = pixels * RESULT_BYTES
    if not data:
        return loaded + result
    decoder = scan_pixels = 0
    if image.format in ("JPEG", "MPO"):
        scans = jpeg_scans(data, image.tile[0][2])  # type: ignore[attr-defined]
        scan_pixels = scans * pixels
        # Several scans are gathered as 16-bit coefficients.
        decoder = 2 * len(image.getbands()) * pixels if scans > 1 else 0
    elif image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        if tags.get(259) == 6:
            raise ImageError("TIFF with JPEG of the old kind is not supported: convert it to PNG")
        scan_pixels = tiff_scan_pixels(tags, data)
        # Pillow turns the image upright in a copy.
        decoder = max(tiff_block_bytes(tags), loaded)
    elif image.format == "GIF":
        decoder = 8 * pixels if image.tell() else 0
    elif image.format == "BMP" and image.tile[0][0] == "bmp_rle":  # type: ignore[attr-defined]
        raise ImageError("a compressed BMP is not supported: convert it to PNG")
    elif image.format in DECODER_BYTES:
        coded, scan_pixels = avif_pixels(data) if image.format == "AVIF" else (0, 0)
        coded = max(pixels, coded)
        if coded > max_pixels:
            raise ImageError(f"it holds {coded} pixels, more than the limit of {max_pixels}")
        loaded, decoder, result = 0, coded * DECODER_BYTES[image.format or ""], 0
    if scan_pixels > MAX_SCAN_PIXELS:
        raise ImageError("it has too many scans or frames: convert it to a baseline JPEG")
    if _low_byte_tiles(image):
        result += loaded
    return loaded + max(decoder, result)


def eight_bits(array: NDArray[np.uint16], depth: int) -> NDArray[np.uint8]:
    """Return values of 8 to 16 bits as 8 bits; larger values become 255."""
    return np.asarray(np.minimum(array >> (depth - 8), 255), np.uint8)


def significant_bits(array: NDArray[np.uint16]) -> int:
    """Return the number of bits that nearly all 16-bit values of an image fit into, 8..16.

    Cameras and editors store 8, 10, 12 and 14 bits in 16-bit numbers. One value of a thousand
    may be larger, such as a single 256 in an 8-bit image. A fourth channel, which is
    transparency, does not count.
    """
    colours = array[:: max(1, array.shape[0] // 512), :: max(1, array.shape[1] // 512)]
    high = int(np.percentile(colours[..., :3] if array.ndim == 3 else colours, 99.9))
    return next(bits for bits in (8, 10, 12, 14, 16) if high < 2**bits)


def float_to_eight_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return floats in 0..1 as 8 bits; raise ImageError for other values."""
    low, high = float(array.min()), float(array.max())
    # NaN must fail too, so the comparison is negated.
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        hint = ": convert it with .astype('uint8')" if low >= 0 and 2 <= high <= 255 else ""
        raise ImageError(
            f"A float image must have finite values in 0..1, got {low:g}..{high:.6g}{hint}"
        )
    return np.asarray(np.rint(array.clip(0, 1) * 255), np.uint8)


def _upright_rgb(
    image: "PIL.Image.Image", low_bytes: "PIL.Image.Image | None"
) -> NDArray[np.uint8]:
    """Convert strip by strip into the upright result, so that no further copy is held."""
    orientation = _orientation(image)
    width, height = image.size
    turned = orientation >= 5
    pixels = np.empty((width, height, 3) if turned else (height, width, 3), np.uint8)
    # A view of the result that lies as the file does.
    stored = pixels
    if orientation in (3, 4, 7, 8):
        stored = stored[::-1]
    if orientation in (2, 3, 6, 7):
        stored = stored[:, ::-1]
    if turned:
        stored = stored.transpose(1, 0, 2)
    convert = _converter(image, low_bytes)
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        stored[top : top + rows] = convert((0, top, width, min(top + rows, height)))
    return pixels


Box = tuple[int, int, int, int]


def _converter(
    image: "PIL.Image.Image", low_bytes: "PIL.Image.Image | None"
) -> Callable[[Box], NDArray[np.uint8]]:
    """Return a function that converts a part of an image to uint8 (height, width, 1 or 3)."""
    from PIL import Image

    def values(box: Box) -> NDArray[Any]:
        return np.asarray(image.crop(box))

    if image.mode == "F":
        return lambda box: float_to_eight_bits(values(box))[:, :, np.newaxis]
    if image.mode.startswith("I"):
        # Pillow's own conversion would clip 16-bit grey at 255.
        def grey(box: Box) -> NDArray[np.uint16]:
            return values(box).clip(0, 65535).astype(np.uint16)

        depth = _declared_depth(image) or significant_bits(_sample(image, grey))
        return lambda box: eight_bits(grey(box), depth)[:, :, np.newaxis]
    # Few bits in use leave the high bytes, which Pillow decodes, dark.
    if low_bytes is not None and np.percentile(_sample(image, values)[..., :3], 99.9) < 64:
        low_bytes.load()

        def wide(box: Box) -> NDArray[np.uint16]:
            high, low = values(box), np.asarray(low_bytes.crop(box))
            return np.asarray(high.astype(np.uint16) << 8 | low)

        bits = _declared_depth(image) or significant_bits(_sample(image, wide))
        return lambda box: _rgb(Image.fromarray(eight_bits(wide(box), bits)))
    return lambda box: _rgb(image.crop(box))


def _sample(image: "PIL.Image.Image", values: Callable[[Box], NDArray[Any]]) -> NDArray[Any]:
    """Return some 500 x 500 values of an image, evenly spread."""
    down, right = max(1, image.height // 512), max(1, image.width // 512)
    rows = [(0, top, image.width, top + 1) for top in range(0, image.height, down)]
    return np.concatenate([values(row)[:, ::right] for row in rows])


def _rgb(image: "PIL.Image.Image") -> NDArray[np.uint8]:
    from PIL import Image

    if image.has_transparency_data:
        background = Image.new("RGBA", image.size, "white")
        background.alpha_composite(image.convert("RGBA"))
        image = background
    return np.asarray(image.convert("RGB"))


def _orientation(image: "PIL.Image.Image") -> int:
    """Return the EXIF orientation, 1..8; 1 if there is none that can be read."""
    try:
        value = image.getexif().get(0x0112, 1)
        return value if value in range(1, 9) else 1
    except Exception:
        return 1


def _declared_depth(image: "PIL.Image.Image") -> int | None:
    """Return how many bits a TIFF file declares for its 16-bit values; None if unknown.

    A PNG file has no such field: its sBIT tells the precision of values that fill all 16 bits.
    """
    if image.format != "TIFF":
        return None
    tags = image.tag_v2  # type: ignore[attr-defined]
    maximum = max(tag_numbers(tags, 281), default=0)
    declared = (max(tag_numbers(tags, 258), default=0), maximum.bit_length())
    return next((bits for bits in declared if 8 <= bits < 16), None)


def _low_bytes(image: "PIL.Image.Image", data: bytes) -> "PIL.Image.Image | None":
    """Return a 16-bit colour image whose low bytes will be loaded in place of its high bytes.

    Pillow decodes the high bytes alone. It takes the others for the high bytes if it is told
    the other byte order.
    """
    from PIL import Image

    tiles = _low_byte_tiles(image)
    if not tiles or not data or image.tell():
        return None
    other = Image.open(io.BytesIO(data), formats=[image.format or ""])
    other.tile = tiles
    return other


def _low_byte_tiles(image: "PIL.Image.Image") -> list[Any]:
    """Return Pillow's description of the pixels in the file, with the byte order swapped."""
    swapped = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
    tiles: list[Any] = []
    for tile in getattr(image, "tile", None) or ():
        args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        mode, _, order = str(args[0]).partition(";16")
        if mode not in ("RGB", "RGBA") or order not in swapped:
            return []
        args = (f"{mode};16{swapped[order]}", *args[1:])
        parts = (*tile[:3], args if isinstance(tile[3], tuple) else args[0])
        tiles.append(type(tile)._make(parts) if hasattr(tile, "_make") else parts)
    return tiles
