"""Load images: paths, bytes, PIL images and arrays become RGB uint8 arrays."""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, Union, cast

import numpy as np
from numpy.typing import NDArray

from emonet.errors import ImageError, ImageNotFoundError

if TYPE_CHECKING:
    import PIL.Image

#: Largest image, pixels; the header is checked before the image is decoded. Pillow itself
#: warns just above this size.
MAX_PIXELS = 89_000_000
#: Tolerance around 0..1 for rounding errors in float images.
ROUNDING = 1e-3

HEIF_HINT = (
    "install pillow-heif and call pillow_heif.register_heif_opener() first, "
    "or convert the image to JPEG"
)

#: One image in any form that load_image accepts.
ImageSource = Union[str, Path, bytes, "PIL.Image.Image", NDArray[Any]]


def is_single_image(source: object) -> TypeGuard[ImageSource]:
    """Return whether an argument is one image, as opposed to an iterable of images.

    A ``str``, ``Path``, ``bytes``, PIL image or array of 2 or 3 dimensions is one image. So is
    an object that can't be iterated over or yields no images; load_image refuses it.
    """
    if isinstance(source, np.ndarray):
        return source.ndim in (0, 2, 3) or (source.ndim == 1 and source.dtype.kind in "biuf")
    one = isinstance(source, str | Path | bytes | bytearray | memoryview) or is_pil(source)
    return one or hasattr(source, "read") or not isinstance(source, Iterable)


def source_path(source: object) -> str | None:
    """Return an image's path as a string; None if the image is not a path."""
    return str(source) if isinstance(source, str | Path) else None


def load_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Load an image as an RGB array.

    Args:
        source: the path of a file; the bytes of a file; a PIL image; or a grey, RGB or RGBA
            array, (height, width) or (height, width, 1, 3 or 4), of uint8, uint16, or float in
            0..1. Convert OpenCV's BGR arrays to RGB first.
        max_pixels: largest number of pixels; a larger image raises ImageError.

    Returns:
        uint8 (height, width, 3) RGB, rotated upright by its EXIF data, with transparent pixels
        over white. An RGB uint8 array is returned itself, not copied.

    Raises:
        ImageNotFoundError: there is no file at the path.
        ImageError: the image can't be read, or has another dtype, shape or range of values.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if is_pil(source):
        return _decode(cast("PIL.Image.Image", source), "The PIL image", max_pixels)
    if isinstance(source, bytes):
        return _open(io.BytesIO(source), "The image in memory", max_pixels)
    if not isinstance(source, str | Path):
        raise ImageError(
            f"An image must be a path, bytes, a PIL image or an array, got "
            f"{type(source).__name__}{_conversion_hint(source)}"
        )
    try:
        exists = Path(source).is_file()
    except (OSError, ValueError):
        exists = False  # not a legal file name
    if not exists:
        raise ImageNotFoundError(f"No image file at {str(source)[:1000]}{_path_hint(source)}")
    return _open(source, f"The image {source}", max_pixels)


def _conversion_hint(source: object) -> str:
    """Return a hint how to convert an object to an image; empty if there is none."""
    if hasattr(source, "read"):
        return ": pass file.read()"
    if isinstance(source, bytearray | memoryview):
        return ": pass bytes(image)"
    return ": pass os.fspath(image)" if isinstance(source, os.PathLike) else ""


def _path_hint(source: str | Path) -> str:
    """Return a hint about a path that is not a file; empty if there is none."""
    if str(source).startswith(("http://", "https://")):
        return ": URLs are not fetched; download the image and pass its bytes"
    try:
        return ": this is a folder; pass its files" if Path(source).is_dir() else ""
    except (OSError, ValueError):
        return ""


def is_pil(source: object) -> bool:
    """Return whether an object is a PIL image, without importing PIL."""
    # Importing PIL would be slow, and a PIL image exists only after somebody imported it.
    return any(kind.__module__ == "PIL.Image" for kind in type(source).__mro__)


def _open(file: Any, name: str, max_pixels: int) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            if image.format == "EPS":  # Pillow would execute it with Ghostscript
                raise ImageError(f"{name} is PostScript, which is not supported: convert it to PNG")
            return _decode(image, name, max_pixels)
    except UnidentifiedImageError:
        heif = name.lower().endswith((".heic", ".heif"))
        hint = f": {HEIF_HINT}" if heif else ""
        raise ImageError(f"{name} is not in a supported image format{hint}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name} is too large: {error}") from None
    except ImageError:
        raise
    except Exception as error:
        # Pillow's decoders raise many kinds of errors for a damaged file.
        raise ImageError(f"{name} can't be read: {type(error).__name__}: {error}") from error


def _decode(image: "PIL.Image.Image", name: str, max_pixels: int) -> NDArray[np.uint8]:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            f"{name} has {width}x{height} pixels, more than the limit of {max_pixels}: resize it"
        )
    if not width * height:
        raise ImageError(f"{name} has no pixels")
    try:
        image.load()
        return np.array(_to_rgb(_upright(image)))
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"{name} is truncated or damaged: {error}") from error


def _upright(image: "PIL.Image.Image") -> "PIL.Image.Image":
    """Return the image rotated by its EXIF data; unchanged if the data can't be read."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _to_rgb(image: "PIL.Image.Image") -> "PIL.Image.Image":
    from PIL import Image

    if image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode.startswith("I"):
        # Pillow's conversion would clip 16-bit grey at 255.
        wide = np.asarray(image).clip(0, 65535).astype(np.uint16)
        return Image.fromarray(_eight_bits(wide)).convert("RGB")
    if image.has_transparency_data:
        background = Image.new("RGBA", image.size, "white")
        background.alpha_composite(image.convert("RGBA"))
        return background.convert("RGB")
    return image.convert("RGB")


def _from_array(array: NDArray[Any], max_pixels: int) -> NDArray[np.uint8]:
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        raise ImageError(
            f"An image array must have shape (height, width) or (height, width, 1, 3 or 4), "
            f"got {shape}"
        )
    if not 0 < shape[0] * shape[1] <= max_pixels:
        raise ImageError(f"An image array must have 1 to {max_pixels} pixels, got shape {shape}")
    pixels = _eight_bits(array)
    if pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if pixels.shape[2] == 4:
        alpha = pixels[:, :, 3:].astype(np.float32) / 255
        return np.rint(pixels[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.asarray(pixels)


def _eight_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype.type is np.uint16:  # in either byte order
        # If no value exceeds 255, the image holds 8-bit values in 16-bit numbers.
        return (array if array.max() <= 255 else array >> 8).astype(np.uint8)
    if not np.issubdtype(array.dtype, np.floating):
        conversion = ".astype('uint8') if its values are 0..255"
        if array.dtype == bool:
            conversion = ".astype('float32')"
        raise ImageError(
            f"An image array must be uint8, uint16, or float in 0..1, got {array.dtype}: convert "
            f"it with {conversion}"
        )
    low, high = float(array.min()), float(array.max())
    # NaN must fail too, so the comparison is negated.
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        hint = ": convert it with .astype('uint8')" if low >= 0 and 2 <= high <= 255 else ""
        raise ImageError(
            f"A float image must have finite values in 0..1, got {low:g}..{high:.6g}{hint}"
        )
    return np.asarray(np.rint(array.clip(0, 1) * 255), np.uint8)
