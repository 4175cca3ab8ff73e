"""Measure how accuracy depends on framing and on the tilt of the head.

Labelled faces are put into scenes: enlarged to 96 to 192 pixels, at any place, tilted, with their
edges repeated around them. A detector finds them, and a model classifies its crops.
"""

from pathlib import Path

import cv2
import numpy as np

import emonet
from emonet import EmotionRecognizer, Framing, load_dataset
from emonet.pipeline.crops import crop_faces

SCALES = (0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
SHIFTS = {"yunet": (-0.06, -0.03, 0.0, 0.03), "dlib_hog": (-0.13, -0.1, -0.07, -0.04)}
TILTS = (0, 10, 20, 30, 45)
SIDES = (96, 192)
SIZE = (48, 48)


def framing(data: Path, split: str, model: str, faces: int) -> dict:
    """Return accuracy (0..1) by scale and shift of each detector, and by tilt for YuNet."""
    dataset = load_dataset(data, split)
    chosen = np.random.default_rng(0).permutation(len(dataset.images))[:faces]
    images, classes = dataset.images[chosen], dataset.classes[chosen]
    recognizer = EmotionRecognizer.from_pretrained(model)
    upright = [_scene(face, index, 0) for index, face in enumerate(images)]
    grid = []
    for name, shifts in SHIFTS.items():
        found, truth = _found(name, upright, classes)
        for scale in SCALES:
            accuracy = {
                str(shift): _accuracy(recognizer, found, truth, Framing(scale=scale, shift_y=shift))
                for shift in shifts
            }
            row = {"detector": name, "faces": len(found), "scale": scale, "shift_y": accuracy}
            grid.append(row)
    known = recognizer.config.framing["yunet"]
    tilts = []
    for tilt in TILTS:
        scenes = [_scene(face, index, tilt) for index, face in enumerate(images)]
        found, truth = _found("yunet", scenes, classes)
        tilts.append(
            {
                "tilt": tilt,
                "found": len(found),
                "none": _accuracy(recognizer, found, truth, known),
                "eyes": _accuracy(recognizer, found, truth, known, "eyes"),
                "landmarks": _accuracy(recognizer, found, truth, None, "eyes"),
            }
        )
    return {"faces": len(images), "grid": grid, "tilts": tilts}


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


def _found(name: str, scenes: list[np.ndarray], classes: np.ndarray) -> tuple[list, np.ndarray]:
    """Return the scenes with their surest detection, and the classes of those with one."""
    detector = emonet.create_detector(name)
    pairs, truth = [], []
    for scene, kind in zip(scenes, classes, strict=True):
        detections = sorted(detector.detect(scene), key=lambda found: -found.score)
        if detections:
            pairs.append((scene, detections[:1]))
            truth.append(kind)
    return pairs, np.array(truth)


def _accuracy(
    recognizer: EmotionRecognizer,
    found: list,
    truth: np.ndarray,
    framing: Framing | None,
    alignment: str = "none",
) -> float:
    crops = [
        crop_faces(scene, detections, framing, [SIZE], alignment)[SIZE][0]
        for scene, detections in found
    ]
    return float((recognizer.predict_proba(np.stack(crops)).argmax(axis=1) == truth).mean())
