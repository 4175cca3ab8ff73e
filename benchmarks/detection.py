"""Count the annotated faces that detectors find in photos, and the false faces.

The photos are also changed in ways that make faces unusual. ``faces.json`` beside the photos maps
a file's name to its face boxes (left, top, width, height); a photo with an empty list has no face.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

import emonet
from emonet.errors import InputError
from emonet.pipeline.images import load_image

#: Settings of detectors, by the name of a column.
DETECTORS: dict[str, dict] = {
    "yunet": {"name": "yunet"},
    "yunet_tilted": {"name": "yunet", "tilted": True},
    "dlib_hog": {"name": "dlib_hog"},
}
THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
ANNOTATIONS = "faces.json"

#: An RGB image and the boxes of its faces, float (n, 4).
Scene = tuple[np.ndarray, np.ndarray]


def detection(photos: Path) -> dict:
    """Return counts by threshold of YuNet, and by change of the photos for each detector."""
    scenes = _annotated(photos)
    lowest = {"name": "yunet", "score_threshold": min(THRESHOLDS)}
    found = [(_scores(_detect(image, lowest), boxes)) for image, boxes in scenes]
    total = sum(len(boxes) for _, boxes in scenes)
    return {
        "photos": len(scenes),
        "faces": total,
        "thresholds": [
            {
                "threshold": threshold,
                "found": sum(score >= threshold for right, _ in found for score in right),
                "false": sum(score >= threshold for _, wrong in found for score in wrong),
            }
            for threshold in THRESHOLDS
        ],
        "changes": [
            {"change": name, **_count(list(change(scenes)))} for name, change in CHANGES.items()
        ],
    }


def _count(scenes: list[Scene]) -> dict:
    row: dict = {"faces": sum(len(boxes) for _, boxes in scenes)}
    for name, settings in DETECTORS.items():
        counts = [_scores(_detect(image, settings), boxes) for image, boxes in scenes]
        row[name] = {
            "found": sum(len(right) for right, _ in counts),
            "false": sum(len(wrong) for _, wrong in counts),
        }
    return row


def _annotated(photos: Path) -> list[Scene]:
    file = photos / ANNOTATIONS
    if not file.is_file():
        raise InputError(f"{photos} has no {ANNOTATIONS} with the boxes of its faces")
    faces = json.loads(file.read_text(encoding="utf-8"))
    return [
        (load_image(photos / name), np.reshape(np.array(boxes, float), (-1, 4)))
        for name, boxes in faces.items()
    ]


def _detect(image: np.ndarray, settings: dict) -> list:
    return emonet.create_detector(**settings).detect(image)


def _scores(detections: list, boxes: np.ndarray) -> tuple[list[float], list[float]]:
    """Return the scores of the annotated faces that were found, and those of false faces.

    A face is found if the centre of a detection is at most half a side from its centre.
    """
    centres, sides = boxes[:, :2] + boxes[:, 2:] / 2, np.sqrt(boxes[:, 2] * boxes[:, 3])
    right: list[float] = []
    wrong: list[float] = []
    free = np.ones(len(boxes), bool)
    for found in sorted(detections, key=lambda detection: -detection.score):
        x, y, width, height = found.box
        distances = np.hypot(*(centres - (x + width / 2, y + height / 2)).T) / sides
        near = np.flatnonzero(free & (distances < 0.5))
        if len(near):
            free[near[np.argmin(distances[near])]] = False
        (right if len(near) else wrong).append(found.score)
    return right, wrong


def _unchanged(scenes: list[Scene]) -> Iterator[Scene]:
    yield from scenes


def _rolled(degrees: float) -> Callable[[list[Scene]], Iterator[Scene]]:
    def change(scenes: list[Scene]) -> Iterator[Scene]:
        for image, boxes in scenes:
            height, width = image.shape[:2]
            side = int(np.ceil(np.hypot(width, height)))
            matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
            matrix[:, 2] += (side - width) / 2, (side - height) / 2
            rolled = cv2.warpAffine(image, matrix, (side, side))
            centres = (boxes[:, :2] + boxes[:, 2:] / 2) @ matrix[:, :2].T + matrix[:, 2]
            yield rolled, np.hstack([centres - boxes[:, 2:] / 2, boxes[:, 2:]])

    return change


def _dark(scenes: list[Scene]) -> Iterator[Scene]:
    """A tenth of the light, with the noise of a camera."""
    random = np.random.default_rng(0)
    for image, boxes in scenes:
        noisy = image * 0.1 + random.normal(0, 2, image.shape)
        yield np.clip(noisy, 0, 255).astype(np.uint8), boxes


def _resized(image: np.ndarray, boxes: np.ndarray, factor: float) -> Scene:
    size = tuple(max(1, round(side * factor)) for side in image.shape[1::-1])
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=method)), boxes * factor


def _small(side: float) -> Callable[[list[Scene]], Iterator[Scene]]:
    """Each photo so small that its smallest face has this side, pixels."""

    def change(scenes: list[Scene]) -> Iterator[Scene]:
        for image, boxes in scenes:
            if len(boxes):
                yield _resized(image, boxes, min(1, side / boxes[:, 2:].min()))

    return change


def _large(scenes: list[Scene]) -> Iterator[Scene]:
    """Each face alone, so close that it fills the picture of 800 pixels."""
    for image, boxes in scenes:
        for x, y, width, height in boxes:
            margin = 0.15 * height
            left, top = max(0, round(x - margin)), max(0, round(y - 2 * margin))
            part = image[top : round(y + height + margin), left : round(x + width + margin)]
            box = np.array([[x - left, y - top, width, height]])
            yield _resized(part, box, 800 / max(part.shape[:2]))


def _covered(first: float, last: float) -> Callable[[list[Scene]], Iterator[Scene]]:
    """Cover each face with a dark band between two heights of its box, 0..1."""

    def change(scenes: list[Scene]) -> Iterator[Scene]:
        for image, boxes in scenes:
            covered = image.copy()
            for x, y, width, height in boxes:
                rows = slice(max(0, round(y + first * height)), round(y + last * height))
                covered[rows, max(0, round(x)) : round(x + width)] = (40, 60, 90)
            yield covered, boxes

    return change


def _painted(scenes: list[Scene]) -> Iterator[Scene]:
    for image, boxes in scenes:
        yield np.asarray(cv2.stylization(image, sigma_s=30, sigma_r=0.3)), boxes


CHANGES: dict[str, Callable[[list[Scene]], Iterator[Scene]]] = {
    "unchanged": _unchanged,
    "rolled by 15 degrees": _rolled(15),
    "rolled by 30 degrees": _rolled(30),
    "rolled by 45 degrees": _rolled(45),
    "a tenth of the light, with noise": _dark,
    "smallest face 24 pixels": _small(24),
    "smallest face 12 pixels": _small(12),
    "one face fills 800 pixels": _large,
    "lower half of the face covered": _covered(0.5, 1.1),
    "eyes covered": _covered(0.15, 0.45),
    "like a painting": _painted,
}
