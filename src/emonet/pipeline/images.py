"""Load images: paths, bytes, open files, PIL images and arrays become RGB uint8 arrays."""

import os
import re
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeGuard, Union, cast

import numpy as np
from numpy.typing import NDArray

from emonet.errors import ImageError, ImageNotFoundError
from emonet.pipeline.decoding import (
    IMAGES,
    MAX_FILE_BYTES,
    MAX_PIXELS,
    STRIP_PIXELS,
    DecodedFile,
    decode_bytes,
    decode_file,
    decode_pil,
    eight_bits,
    float_to_eight_bits,
    significant_bits,
)
from emonet.support.quiet import quiet

if TYPE_CHECKING:
    import PIL.Image

#: One image in any form that load_image accepts.
ImageSource = Union[
    str,
    "os.PathLike[str]",
    bytes,
    bytearray,
    memoryview,
    IO[bytes],
    "PIL.Image.Image",
    NDArray[Any],
]

#: Schemes of addresses that Python itself opens; fsspec opens many others.
URLLIB_SCHEMES = {"http", "https", "ftp", "file", "data"}
SCHEME = re.compile(r"(data(?=:)|[a-z][a-z0-9+.-]+(?=:/)):", re.IGNORECASE)
BASE64 = re.compile(r"[A-Za-z0-9+/_=\s-]{64,}")


def is_single_image(source: object) -> TypeGuard[ImageSource]:
    """Return whether an argument is one image, as opposed to an iterable of images.

    A path, bytes, an open file, a PIL image, or an array or tensor of 2 or 3 dimensions is one
    image. So is an object that can't be iterated over or yields no images; load_image refuses it.

    Raises:
        ImageError: it is a table.
    """
    if is_array(source):
        _require_no_table(source)
        array = source if hasattr(source, "shape") else plain_array(source)
        dimensions = len(array.shape)
        if dimensions == 1:
            return getattr(array.dtype, "kind", "f") in "biuf"  # tensors have numbers only
        return dimensions in (0, 2, 3)
    one = isinstance(source, str | os.PathLike) or is_bytes(source) or is_pil(source)
    return one or is_nested_list(source) or is_file(source) or not isinstance(source, Iterable)


def is_array(source: object) -> TypeGuard[NDArray[Any]]:
    """Return whether an object is an array, a tensor or a table: has ``__array__``."""
    return hasattr(source, "__array__") and not is_pil(source) and not isinstance(source, type)


def plain_array(source: Any) -> NDArray[Any]:
    """Return an array, tensor or matrix as a plain NumPy array; an array itself is not copied.

    Raises:
        ImageError: it is a table, or can't be converted.
    """
    if type(source) is np.ndarray:
        return source
    _require_no_table(source)
    try:
        if hasattr(source, "detach"):  # a PyTorch tensor, perhaps on a GPU
            source = source.detach().cpu()
        with quiet():
            return np.asarray(source).view(np.ndarray)
    except Exception as error:
        raise ImageError(
            f"A {type(source).__name__} can't be converted to a NumPy array: {error}"
        ) from error


def _require_no_table(source: object) -> None:
    if hasattr(source, "columns") or hasattr(source, "column_names"):
        raise ImageError(
            f"A {type(source).__name__} is a table, not an image: pass a list of its images, "
            f"such as list(table['path'])"
        )


def is_nested_list(source: object) -> bool:
    """Return whether an object is a list of numbers, or of lists of them: pixels, not images."""
    while isinstance(source, list | tuple) and source:
        source = source[0]
        if isinstance(source, int | float | np.generic) and not isinstance(source, str | bytes):
            return True
    return False


def is_bytes(source: object) -> TypeGuard[bytes | bytearray | memoryview]:
    """Return whether an object holds bytes, of a file or of pixels."""
    return isinstance(source, bytes | bytearray | memoryview)


def is_file(source: object) -> TypeGuard[IO[bytes]]:
    """Return whether an object is an open file."""
    return hasattr(source, "read") and not isinstance(source, str | os.PathLike)


def is_folder(source: object) -> bool:
    """Return whether an object is the path of a folder."""
    try:
        return isinstance(source, str | os.PathLike) and Path(os.fsdecode(source)).is_dir()
    except (OSError, ValueError):
        return False  # not a legal file name


def source_path(source: object) -> str | None:
    """Return an image's path as a string; None if the image is not a path."""
    return os.fsdecode(source) if isinstance(source, str | os.PathLike) else None


def read_file(file: IO[bytes]) -> bytes:
    """Return the bytes of an open file, from its start if it can go back there.

    Raises:
        ImageError: the file can't be read, is opened as text, or is too large.
    """
    data = bytearray()
    try:
        if hasattr(file, "seekable") and file.seekable():
            file.seek(0)
        # A pipe or a socket may return less than it is asked for.
        while len(data) <= MAX_FILE_BYTES:
            part = file.read(MAX_FILE_BYTES + 1 - len(data))
            if not isinstance(part, bytes | bytearray | memoryview | None):
                raise ImageError(_no_bytes(part))
            if not part:
                break
            data += part
    except ImageError:
        raise
    except Exception as error:  # any library's file
        raise ImageError(f"The open file can't be read: {error}") from error
    return bytes(data)


def _no_bytes(part: object) -> str:
    """Return a message about a file whose ``read`` returned this."""
    if isinstance(part, str):
        return 'The open file holds text: open it with open(path, "rb")'
    if isinstance(part, Coroutine):
        part.close()  # otherwise Python warns that nobody awaited it
        return "The open file is asynchronous: pass await file.read()"
    return f"The open file returned a {type(part).__name__} in place of bytes: pass its bytes"


def load_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Load an image as an RGB array.

    Args:
        source: the path of a file; the bytes of a file; a file opened with ``"rb"``, which is
            read from its start; a PIL image; or a grey, RGB or RGBA array or tensor,
            (height, width) or (height, width, 1, 3 or 4), of uint8, uint16, or float in 0..1.
            Convert OpenCV's BGR arrays to RGB first.
        max_pixels: largest number of pixels; a larger image raises ImageError.

    Returns:
        uint8 (height, width, 3) RGB, rotated upright by its EXIF data, with transparent pixels
        over white. An animation gives its first frame. An RGB uint8 array is returned itself,
        not copied.

    Raises:
        ImageNotFoundError: there is no file at the path.
        ImageError: the image can't be read, or has another dtype, shape or range of values.

    Examples:
        >>> emonet.load_image(emonet.sample_photo()).shape
        (400, 400, 3)
    """
    with opened_image(source, max_pixels=max_pixels) as (pixels, _):
        return pixels


@contextmanager
def opened_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Iterator[DecodedFile]:
    """Load an image like load_image, and hold its share of the memory for decoded images.

    Yield the pixels, and whether the image is the first frame of an animation in a file.
    """
    with ExitStack() as held:
        yield _load(source, max_pixels, held)


def _load(source: ImageSource, max_pixels: int, held: ExitStack) -> DecodedFile:
    if isinstance(source, memoryview) and source.ndim > 1:
        source = np.asarray(source)
    if is_array(source):
        return _from_array(plain_array(source), max_pixels, held), False
    if is_pil(source):
        pil = cast("PIL.Image.Image", source)
        return decode_pil(pil, "The PIL image", max_pixels, held), False
    if is_file(source):
        source = read_file(source)
    if is_bytes(source):
        return decode_bytes(bytes(source), "The image in memory", max_pixels, held)
    path = source_path(source)
    if path is None:
        raise ImageError(
            f"An image must be a path, bytes, an open file, a PIL image or an array, got "
            f"{type(source).__name__}{conversion_hint(source)}"
        )
    try:
        exists = Path(path).is_file()
    except (OSError, ValueError):
        exists = False  # not a legal file name
    if not exists:
        raise ImageNotFoundError(_no_file(path))
    return decode_file(Path(path), f"The image {path}", max_pixels, held)


def conversion_hint(source: object) -> str:
    """Return a hint how to convert an object to an image; empty if there is none."""
    if hasattr(source, "read_bytes"):
        return ": pass image.read_bytes()"
    return ": pass numpy.array(image, 'uint8')" if is_nested_list(source) else ""


def _no_file(path: str) -> str:
    """Return a message about a path that is not a file: it may be an address or base64."""
    shown = path if len(path) <= 200 else f"{path[:60]}... ({len(path):,} characters)"
    if scheme := SCHEME.match(path):
        library = "urllib.request.urlopen" if scheme[1].lower() in URLLIB_SCHEMES else "fsspec.open"
        opened = f"{library}(address)" + (".open()" if library == "fsspec.open" else "")
        return f"emonet fetches no images, got {shown}: pass its bytes, {opened}.read()"
    if is_folder(path):
        return f"No image file at {shown}: this is a folder; pass its files"
    if "." not in path and BASE64.fullmatch(path[:1000]):
        shown += ": if this is base64, pass base64.b64decode(text)"
    return f"No image file at {shown}"


def is_pil(source: object) -> bool:
    """Return whether an object is a PIL image, without importing PIL."""
    # Importing PIL would be slow, and a PIL image exists only after somebody imported it.
    return any(kind.__module__ == "PIL.Image" for kind in type(source).__mro__)


def _from_array(array: NDArray[Any], max_pixels: int, held: ExitStack) -> NDArray[np.uint8]:
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        raise ImageError(
            f"An image array must have shape (height, width) or (height, width, 1, 3 or 4), "
            f"got {shape}{': move the channels to the end' if _is_channels_first(shape) else ''}"
        )
    if not 0 < shape[0] * shape[1] <= max_pixels:
        raise ImageError(f"An image array must have 1 to {max_pixels} pixels, got shape {shape}")
    _require_dtype(array.dtype)
    if array.dtype == np.uint8 and shape[2:] == (3,):
        return array
    pixels = np.empty((*shape[:2], 3), np.uint8)
    held.enter_context(IMAGES.reserve(pixels.nbytes))
    depth = significant_bits(array) if array.dtype.type is np.uint16 else None
    rows = max(1, STRIP_PIXELS // shape[1])
    for top in range(0, shape[0], rows):
        strip = slice(top, top + rows)
        pixels[strip] = _to_rgb(_to_eight_bits(array[strip], depth))
    return pixels


def _to_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 (height, width) or (height, width, 1, 3 or 4) as 1 or 3 channels."""
    if pixels.ndim == 2:
        return pixels[:, :, np.newaxis]
    if pixels.shape[2] < 4:
        return pixels
    alpha = pixels[:, :, 3:].astype(np.float32) / 255
    return np.rint(pixels[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _require_dtype(dtype: np.dtype[Any]) -> None:
    # A type is compared where either byte order will do.
    if dtype == np.uint8 or dtype.type is np.uint16 or np.issubdtype(dtype, np.floating):
        return
    conversion = ".astype('uint8') if its values are 0..255"
    if dtype.kind == "b":
        conversion = ".astype('float32')"
    raise ImageError(
        f"An image array must be uint8, uint16, or float in 0..1, got {dtype}: convert it with "
        f"{conversion}"
    )


def _is_channels_first(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[0] in (1, 3, 4)


def _to_eight_bits(array: NDArray[Any], depth: int | None) -> NDArray[np.uint8]:
    if depth is not None:
        return eight_bits(array, depth)
    return array if array.dtype == np.uint8 else float_to_eight_bits(array)
