"""The columns of tables, and results as rows."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Literal

from emonet.errors import InputError
from emonet.results import Face, ImageResult, TrackedFace, VideoFrame

logger = logging.getLogger("emonet")

#: One result, or many; photos and frames may be mixed.
Results = ImageResult | VideoFrame | Iterable[ImageResult | VideoFrame]
#: One row by the names of its columns.
Record = dict[str, Any]
#: The type of a column: text, int64 or float64. Every value may be missing.
Kind = Literal["text", "integer", "number"]

#: The columns before and after those of the classes, with their types.
FIRST: dict[str, Kind] = {
    "path": "text", "frame": "integer", "seconds": "number", "track": "integer",
    "face": "integer", "x": "integer", "y": "integer", "width": "integer", "height": "integer",
    "label": "text", "score": "number",
}  # fmt: skip
LAST: dict[str, Kind] = {"detection_score": "number", "error": "text"}


def columns(labels: Sequence[str]) -> dict[str, Kind]:
    """Return the names and types of a table's columns, in order.

    Args:
        labels: the classes, which get a column each.

    Raises:
        InputError: a class has the name of another column.
    """
    if clash := sorted(set(labels) & {*FIRST, *LAST}):
        raise InputError(
            f"The class {clash[0]!r} has the name of a table's column: rename the class"
        )
    return {**FIRST, **dict.fromkeys(labels, "number"), **LAST}


def to_records(results: Results, *, labels: Sequence[str] | None = None) -> Iterator[Record]:
    """Yield one row per face as a dict, for photos and videos alike.

    The columns are ``path, frame, seconds, track, face, x, y, width, height, label, score``, one
    column per class with its probability, ``detection_score`` and ``error``. ``face`` counts the
    faces of an image from 0. A value that does not exist is None. A failed image is one row with
    its error. An image without a face has no row.

    Args:
        results: one ImageResult or VideoFrame, or an iterable of them, such as
            ``recognizer.stream(...)``. It is read as the rows are taken.
        labels: the classes, so that every row has their columns. By default, a row has those of
            its face, and a failed image has none.

    Raises:
        InputError: a class has the name of another column, or is not in ``labels``.

    Examples:
        >>> recognizer = EmotionRecognizer.from_pretrained()
        >>> row = next(emonet.to_records(recognizer.predict(emonet.sample_photo())))
        >>> row["label"], row["x"], row["y"]
        ('happiness', 140, 66)
    """
    for result in [results] if isinstance(results, ImageResult | VideoFrame) else results:
        if not isinstance(result, ImageResult | VideoFrame):
            raise InputError(
                f"A table is made of ImageResults and VideoFrames, got a {type(result).__name__}"
            )
        yield from _rows(result, labels)


def _rows(result: ImageResult | VideoFrame, labels: Sequence[str] | None) -> Iterator[Record]:
    place: Record = {"path": None if result.path is None else _text(result.path)}
    if isinstance(result, VideoFrame):
        place |= {"frame": result.index, "seconds": result.seconds}
    if result.error is not None:
        yield dict.fromkeys(columns(labels or ())) | place | {"error": str(result.error)}
        return
    for number, face in enumerate(result.faces):
        yield dict.fromkeys(_columns_of(face, labels)) | place | _values(face, number)


def _columns_of(face: Face, labels: Sequence[str] | None) -> dict[str, Kind]:
    if labels is None:
        return columns(tuple(face.probabilities))
    if unknown := sorted(face.probabilities.keys() - set(labels)):
        raise InputError(
            f"The table has columns for the classes {', '.join(labels)}, but a result has the "
            f"class {unknown[0]!r}: make a table for each model"
        )
    return columns(labels)


def _values(face: Face, number: int) -> Record:
    x, y, width, height = (int(value) for value in face.box)
    return {
        "track": face.track if isinstance(face, TrackedFace) else None,
        "face": number,
        "x": x,
        "y": y,
        "width": width,
        "height": height,
        "label": face.label,
        "score": face.score,
        **face.probabilities,
        "detection_score": float(face.detection.score),
    }


def _text(path: str) -> str:
    """Return a path as text that a file can store, and log a path that is changed by it."""
    text = path.encode("utf-8", "backslashreplace").decode()
    if text != path:
        _report_escaped()
    return text


@cache
def _report_escaped() -> None:
    """Log it; the cache keeps it to once."""
    logger.warning(
        "A file name is not UTF-8, and tables hold text only: its other bytes are written as "
        "\\udcXX. Rename the file to find it by the table"
    )
