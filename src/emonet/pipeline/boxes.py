"""Check face boxes that the caller gives in place of a detector."""

from collections.abc import Iterable, Iterator, Sized
from itertools import islice, zip_longest
from math import isfinite
from typing import Any, TypeVar

from numpy.typing import NDArray

from emonet.errors import InputError, printable
from emonet.plugin import Box, Detection

#: Faces of one image: an array or an iterable of (x, y, width, height).
GivenBoxes = NDArray[Any] | Iterable[Iterable[float]]

MAX_BOXES = 1000

T = TypeVar("T")
_MISSING: Any = object()


def as_detections(boxes: GivenBoxes, width: int, height: int) -> list[Detection]:
    """Return the faces of one image as detections, in the given order.

    Args:
        boxes: (x, y, width, height) of each face in pixels; at most 1000.
        width: width of the image, pixels.
        height: height of the image, pixels.

    Raises:
        InputError: the message names the first box that can't be used, and says why.
    """
    try:
        given = list(islice(iter(boxes), MAX_BOXES + 1))
    except TypeError:
        raise InputError(
            f"boxes must be a list of (x, y, width, height) for each image, got {boxes!a:.80}"
        ) from None
    if len(given) > MAX_BOXES:
        count = len(boxes) if isinstance(boxes, Sized) else f"more than {MAX_BOXES}"
        raise InputError(f"An image may have {MAX_BOXES} boxes, got {count}: split the list")
    return [Detection(_box(box, index, width, height)) for index, box in enumerate(given)]


def paired(images: Iterable[T], boxes: Iterable[Any]) -> Iterator[tuple[T, Any]]:
    """Yield each image with its boxes.

    Raises:
        InputError: there are more images than lists of boxes, or fewer.
    """
    pairs = zip_longest(images, boxes, fillvalue=_MISSING)
    for index, (image, given) in enumerate(pairs):
        if image is _MISSING or given is _MISSING:
            which = "images" if image is _MISSING else "lists of boxes"
            raise InputError(
                f"boxes must have one list for each image, but there are only {index} {which}. "
                f"Pass an empty list for an image without a face"
            )
        yield image, given


def _box(given: Any, index: int, width: int, height: int) -> Box:
    values = _numbers(given)
    if values is None:
        raise InputError(
            f"boxes[{index}] must be (x, y, width, height), got {printable(repr(given)):.80}. For "
            f"many images, pass a list of boxes for each of them"
        )
    box = Box(*values)
    shown = f"boxes[{index}] = ({', '.join(f'{value:g}' for value in values)})"
    if not all(map(isfinite, values)):
        raise InputError(f"{shown} has a number that is not finite")
    if box.width <= 0 or box.height <= 0:
        raise InputError(f"{shown} is empty: width and height must be above 0")
    if not (-box.width < box.x < width and -box.height < box.y < height):
        raise InputError(f"{shown} lies outside the image of {width}x{height} pixels")
    return box


def _numbers(given: Any) -> list[float] | None:
    """Return a box as four floats; None if it has another form."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        return None
    values = list(islice(given, 5))
    if len(values) != 4 or any(isinstance(value, str | bytes) for value in values):
        return None
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        return None
