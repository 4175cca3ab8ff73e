"""Measure how accuracy depends on framing and on the tilt of the head.

Labelled faces are put into scenes: enlarged to 96 to 192 pixels, at any place, tilted, with their
edges repeated around them. A detector finds them, and a model classifies its crops.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

import emonet
from emonet import EmotionRecognizer, Framing, load_dataset
from emonet.config import Alignment
from emonet.pipeline.crops import crop_faces

SCALES = (0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
SHIFTS = {"yunet": (-0.06, -0.03, 0.0, 0.03), "dlib_hog": (-0.13, -0.1, -0.07, -0.04)}
TILTS = (0, 10, 20, 30, 45)
SIDES = (96, 192)
SIZE = (48, 48)

#: Scenes with the detection of their face, by index.
Found = dict[int, tuple[np.ndarray, list[emonet.Detection]]]


def framing(data: Path, split: str, models: Sequence[str], faces: int, shifts: bool) -> dict:
    """Return accuracy (0..1) by scale of each detector, and by tilt for YuNet.

    Each scale is measured at the model's own vertical shift, or with ``shifts`` at several.
    """
    dataset = load_dataset(data, split)
    chosen = np.random.default_rng(0).permutation(len(dataset.images))[:faces]
    images, classes = dataset.images[chosen], dataset.classes[chosen]
    recognizers = {model: EmotionRecognizer.from_pretrained(model) for model in models}
    upright = [_scene(face, index, 0) for index, face in enumerate(images)]
    found = {name: _found(name, upright) for name in SHIFTS}
    plain, again = {0: found["yunet"]}, {0: _found("yunet", upright, tilted=True)}
    for tilt in TILTS[1:]:
        scenes = [_scene(face, index, tilt) for index, face in enumerate(images)]
        plain[tilt], again[tilt] = _found("yunet", scenes), _found("yunet", scenes, tilted=True)
    return {
        "faces": len(images),
        "grid": [
            _grid_row(detector, recognizer, found[detector], classes, scale, shifts)
            | {"model": model}
            for model, recognizer in recognizers.items()
            for detector in SHIFTS
            for scale in SCALES
        ],
        "tilts": [
            row | {"model": model}
            for model, recognizer in recognizers.items()
            for row in _tilt_rows(recognizer, plain, again, classes)
        ],
    }


def _grid_row(
    detector: str,
    recognizer: EmotionRecognizer,
    found: Found,
    classes: np.ndarray,
    scale: float,
    shifts: bool,
) -> dict:
    """Return accuracy by shift at one scale."""
    own = recognizer.config.framing[detector].shift_y
    accuracy = {}
    for shift in SHIFTS[detector] if shifts else (own,):
        right = _right(recognizer, found, classes, Framing(scale=scale, shift_y=shift))
        accuracy[str(shift)] = _share(right)
    return {"detector": detector, "faces": len(found), "scale": scale, "shift_y": accuracy}


def _tilt_rows(
    recognizer: EmotionRecognizer,
    plain: dict[int, Found],
    again: dict[int, Found],
    classes: np.ndarray,
) -> Iterator[dict]:
    """Yield accuracy by tilt: on all faces found, and on those that are found upright, too.

    ``again`` has the faces that YuNet finds with its setting ``tilted``.
    """
    known = recognizer.config.framing["yunet"]
    level = _right(recognizer, plain[0], classes, known, "eyes")
    for tilt in plain:
        eyes = _right(recognizer, plain[tilt], classes, known, "eyes")
        turned = _right(recognizer, again[tilt], classes, known, "eyes")
        yield {
            "tilt": tilt,
            "found": len(eyes),
            "none": _share(_right(recognizer, plain[tilt], classes, known)),
            "eyes": _share(eyes),
            "landmarks": _share(_right(recognizer, plain[tilt], classes, None, "eyes")),
            "points_lost": _points_lost(level, eyes),
            "tilted_found": len(turned),
            "tilted_eyes": _share(turned),
            "tilted_points_lost": _points_lost(level, turned),
        }


def _share(right: dict[int, bool]) -> float | None:
    """Return the share of faces that get their label; None if no face was found."""
    return float(np.mean([*right.values()])) if right else None


def _points_lost(level: dict[int, bool], right: dict[int, bool]) -> float | None:
    """Return the points of accuracy that the faces lose which were found both times."""
    both = level.keys() & right.keys()
    return 100 * float(np.mean([level[i] - right[i] for i in both])) if both else None


def _scene(face: np.ndarray, index: int, tilt: float) -> np.ndarray:
    """Return an RGB image with the face; size, place and direction of the tilt are random."""
    random = np.random.default_rng(index)
    side = SIDES[0] * (SIDES[1] / SIDES[0]) ** random.random()
    whole = round(side * random.uniform(1.8, 2.6))
    place = (whole - 1) / 2 + random.uniform(-0.2, 0.2, 2) * (whole - side)
    degrees = tilt * random.choice((-1, 1))
    middle = (face.shape[1] - 1) / 2, (face.shape[0] - 1) / 2
    matrix = cv2.getRotationMatrix2D(middle, degrees, side / face.shape[0])
    matrix[:, 2] += place - middle
    scene = cv2.warpAffine(
        face, matrix, (whole, whole), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.cvtColor(scene, cv2.COLOR_GRAY2RGB))


def _found(name: str, scenes: list[np.ndarray], **settings: bool) -> Found:
    """Return each scene with its surest detection, by index; scenes without one are left out."""
    detector = emonet.create_detector(name, **settings)
    found = {}
    for index, scene in enumerate(scenes):
        if detections := sorted(detector.detect(scene), key=lambda face: -face.score):
            found[index] = scene, detections[:1]
    return found


def _right(
    recognizer: EmotionRecognizer,
    found: Found,
    classes: np.ndarray,
    framing: Framing | None,
    alignment: Alignment = "none",
) -> dict[int, bool]:
    """Return whether each face that was found gets its label, by index."""
    if not found:
        return {}
    crops = [
        crop_faces(scene, detections, framing, [SIZE], alignment)[SIZE][0]
        for scene, detections in found.values()
    ]
    predicted = recognizer.predict_proba(np.stack(crops)).argmax(axis=1)
    return {
        index: bool(label == classes[index]) for index, label in zip(found, predicted, strict=True)
    }
