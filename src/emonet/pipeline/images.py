"""Path, bytes, PIL image or array -> RGB uint8 array."""

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

__all__ = ["MAX_PIXELS", "ImageSource", "is_pil", "is_single_image", "load_image", "source_path"]

#: Larger images are refused from their header, before any memory is spent on them. Just
#: below the size at which Pillow itself begins to warn.
MAX_PIXELS = 89_000_000
#: By which a float picture may pass 0..1 for its arithmetic.
ROUNDING = 1e-3

HEIF_HINT = (
    "Pillow reads it once the package pillow-heif is installed and "
    "pillow_heif.register_heif_opener() was called; or make a JPEG of it"
)

#: One image in any form that load_image takes.
ImageSource = Union[str, Path, bytes, "PIL.Image.Image", NDArray[Any]]


def is_single_image(source: object) -> TypeGuard[ImageSource]:
    """Tell one image from an iterable of images.

    A ``str``, ``Path``, ``bytes``, PIL image or array of 2 or 3 dimensions is one image; so
    is whatever can't be iterated over, or yields no images, which load_image will refuse.
    """
    if isinstance(source, np.ndarray):
        return source.ndim in (0, 2, 3) or (source.ndim == 1 and source.dtype.kind in "biuf")
    one = isinstance(source, str | Path | bytes | bytearray | memoryview) or is_pil(source)
    return one or hasattr(source, "read") or not isinstance(source, Iterable)


def source_path(source: object) -> str | None:
    """Return the path that an image was given as, or None."""
    return str(source) if isinstance(source, str | Path) else None


def load_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read an image.

    Args:
        source: a file's path; the bytes of a file; a PIL image; or an array (height, width)
            or (height, width, 1, 3 or 4), grey, RGB or RGBA, uint8, uint16, or float in 0..1.
            OpenCV's BGR arrays have to be turned round first.
        max_pixels: refuse larger images.

    Returns:
        uint8 (height, width, 3) RGB, upright as EXIF says, transparency over white. An RGB
        uint8 array is returned as it is.

    Raises:
        ImageNotFoundError: there is no file at the path.
        ImageError: it can't be read, or has another dtype, shape or range of values.
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
            f"{type(source).__name__}{_converted(source)}"
        )
    try:
        exists = Path(source).is_file()
    except (OSError, ValueError):
        exists = False  # no file can have such a name
    if not exists:
        raise ImageNotFoundError(f"No image file at {str(source)[:1000]}{_instead(source)}")
    return _open(source, f"The image {source}", max_pixels)


def _converted(source: object) -> str:
    """Say how to turn something into an image's form, where that can be told."""
    if hasattr(source, "read"):
        return ": pass what its read() returns"
    if isinstance(source, bytearray | memoryview):
        return ": pass bytes(...) of it"
    return ": pass os.fspath(...) of it" if isinstance(source, os.PathLike) else ""


def _instead(source: str | Path) -> str:
    """Say what to do about a path that leads to no file, where that can be told."""
    if str(source).startswith(("http://", "https://")):
        return ": addresses are not fetched; download it and pass its bytes"
    try:
        return ": it is a folder; pass the files in it" if Path(source).is_dir() else ""
    except (OSError, ValueError):
        return ""


def is_pil(source: object) -> bool:
    """Tell a PIL image from everything else."""
    # No import: whoever holds a PIL image has imported PIL.
    return any(kind.__module__ == "PIL.Image" for kind in type(source).__mro__)


def _open(file: Any, name: str, max_pixels: int) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            if image.format == "EPS":  # Pillow would have Ghostscript run it
                raise ImageError(f"{name} is PostScript, which is a program: convert it first")
            return _decode(image, name, max_pixels)
    except UnidentifiedImageError:
        heif = name.lower().endswith((".heic", ".heif"))
        hint = f": {HEIF_HINT}" if heif else ""
        raise ImageError(f"{name} is in no image format that can be read{hint}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name} is too large: {error}") from None
    except ImageError:
        raise
    except Exception as error:
        # On a damaged file Pillow's many decoders raise whatever they stumble over.
        raise ImageError(f"{name} can't be read: {type(error).__name__}: {error}") from error


def _decode(image: "PIL.Image.Image", name: str, max_pixels: int) -> NDArray[np.uint8]:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            f"{name} has {width}x{height} pixels, more than the limit of {max_pixels}: shrink it"
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
    """Turn the picture as its EXIF data says; as it is where they can't be read."""
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
        # 16-bit grey, which Pillow's own conversion would clip at 255.
        wide = np.asarray(image).clip(0, 65535).astype(np.uint16)
        return Image.fromarray(_eight_bits(wide)).convert("RGB")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
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
        # Whole pictures below 1/256 of white are of 8 bits in wider numbers.
        return (array if array.max() <= 255 else array >> 8).astype(np.uint8)
    if not np.issubdtype(array.dtype, np.floating):
        way = ".astype('uint8') if its values are 0..255"
        if array.dtype == bool:
            way = ".astype('float32')"
        raise ImageError(
            f"An image array must be uint8, uint16, or float in 0..1, got {array.dtype}: convert "
            f"it with {way}"
        )
    low, high = float(array.min()), float(array.max())
    # Written so that NaN fails, too.
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        hint = ": convert it with .astype('uint8')" if low >= 0 and 2 <= high <= 255 else ""
        raise ImageError(
            f"A float image must have finite values in 0..1, got {low:g}..{high:.6g}{hint}"
        )
    return np.asarray(np.rint(array.clip(0, 1) * 255), np.uint8)
