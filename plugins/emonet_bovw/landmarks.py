"""68 facial landmarks from dlib's shape predictor (Kazemi and Sullivan 2014).

emonet does not contain the predictor's file: it has 100 MB and was trained on iBUG 300-W, whose
licence excludes commercial use. The package ``face_recognition_models`` contains it.
EMONET_LANDMARK_MODEL sets the path of another copy.
"""

import os
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import MissingDependencyError, ModelNotFoundError, WeightsError

NUM_LANDMARKS = 68
NUM_COORDINATES = 2 * NUM_LANDMARKS

VARIABLE = "EMONET_LANDMARK_MODEL"
PACKAGE = "face_recognition_models"
FILE = "shape_predictor_68_face_landmarks.dat"


def find_model() -> Path:
    """Return the path of the predictor's file."""
    if given := os.environ.get(VARIABLE):
        if not Path(given).is_file():
            raise ModelNotFoundError(f"bovw: {VARIABLE} is not the path of a file: {given}")
        return Path(given)
    # Importing the package needs pkg_resources, which setuptools 82 removed.
    try:
        found = [file for file in files(PACKAGE) or () if file.name == FILE]
    except PackageNotFoundError:
        found = []
    if not found or not (path := Path(str(found[0].locate()))).is_file():
        raise MissingDependencyError(
            f"bovw: dlib's 68-point landmark model is not installed. Run "
            f"pip install 'emonet[bovw]' (100 MB; not for commercial use), set {VARIABLE} to the "
            f"path of the model, or use landmarks=False."
        )
    return path


def load_predictor(path: Path) -> Any:
    """Load dlib's shape predictor; raise WeightsError for any other file."""
    import dlib

    try:
        predictor = dlib.shape_predictor(str(path))
        parts = predictor(np.zeros((48, 48), np.uint8), dlib.rectangle(0, 0, 47, 47)).num_parts
    except RuntimeError as error:
        raise WeightsError(f"bovw: {path} is not a shape predictor: {error}") from error
    if parts != NUM_LANDMARKS:
        raise WeightsError(f"bovw: {path} has {parts} landmarks, expected {NUM_LANDMARKS}")
    return predictor


def locate_landmarks(predictor: Any, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Locate the landmarks of uint8 (n, height, width) grey faces that fill the whole image.

    Return float32 (n, 136): x, y of each landmark in pixels. A landmark may lie outside the face.
    """
    import dlib

    height, width = faces.shape[1:]
    box = dlib.rectangle(0, 0, width - 1, height - 1)
    coordinates = np.empty((len(faces), NUM_LANDMARKS, 2), np.float32)
    for face, points in zip(faces, coordinates, strict=True):
        points[:] = [(part.x, part.y) for part in predictor(face, box).parts()]
    return coordinates.reshape(len(faces), NUM_COORDINATES)
