"""From a stream of images to a stream of results, with the faces of many in one batch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emonet.config import Framing
from emonet.errors import EmonetError
from emonet.pipeline.crops import FacesBySize, crop_faces
from emonet.pipeline.detection import detect_faces
from emonet.pipeline.images import ImageSource, load_image, source_path
from emonet.plugin import Detector
from emonet.results import Detection, Face, ImageResult

__all__ = ["stream_results"]

# The networks run when this many faces, or images, have gathered: memory stays bounded.
CHUNK_FACES = 128
CHUNK_IMAGES = 64

Pending = list[tuple[ImageResult, list[Detection]]]
Classify = Callable[[FacesBySize], NDArray[np.float32]]


def stream_results(
    sources: Iterable[ImageSource],
    *,
    detector: Detector,
    framing: Framing,
    face_sizes: Sequence[tuple[int, int]],
    classify: Classify,
    labels: tuple[str, ...],
) -> Iterator[ImageResult]:
    """Yield one result per image, in order; an image that fails yields one with its error.

    Args:
        sources: images in any form that load_image takes.
        detector: finds the faces.
        framing: from the detector's boxes to crops.
        face_sizes: every (height, width) that classify needs the crops in, pixels.
        classify: maps crops, uint8 (n, height, width) by size, to float32 (n, classes).
        labels: the classes in column order.
    """
    pending: Pending = []
    crops: list[FacesBySize] = []
    for source in sources:
        path = source_path(source)
        try:
            image = load_image(source)
            detections = detect_faces(detector, image)
        except EmonetError as error:
            pending.append((ImageResult(path, 0, 0, error=error), []))
        else:
            crops.append(crop_faces(image, detections, framing, face_sizes))
            height, width = image.shape[:2]
            pending.append((ImageResult(path, width, height), detections))
        faces = sum(len(detections) for _, detections in pending)
        if faces >= CHUNK_FACES or len(pending) >= CHUNK_IMAGES:
            yield from _classified(pending, crops, classify, labels)
            pending, crops = [], []
    yield from _classified(pending, crops, classify, labels)


def _classified(
    pending: Pending,
    crops: list[FacesBySize],
    classify: Classify,
    labels: tuple[str, ...],
) -> Iterator[ImageResult]:
    """Classify all crops at once and hand each image its faces."""
    found = any(detections for _, detections in pending)
    rows = iter(classify(_joined(crops)) if found else ())
    for result, detections in pending:
        faces = tuple(
            _face(detection, next(rows), labels, (result.width, result.height))
            for detection in detections
        )
        yield replace(result, faces=faces)


def _joined(parts: list[FacesBySize]) -> FacesBySize:
    """Put the crops of several images behind each other."""
    return {size: np.concatenate([part[size] for part in parts]) for size in parts[0]}


def _face(
    detection: Detection,
    probabilities: NDArray[np.float32],
    labels: tuple[str, ...],
    image_size: tuple[int, int],
) -> Face:
    best = int(probabilities.argmax())
    return Face(
        box=detection.box.clipped(*image_size),
        label=labels[best],
        score=float(probabilities[best]),
        probabilities=dict(zip(labels, probabilities.tolist(), strict=True)),
        detection=detection,
    )
