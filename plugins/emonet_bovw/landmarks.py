"""68 facial landmarks by dlib's shape predictor (Kazemi and Sullivan 2014).

The predictor's file was trained on iBUG 300-W, whose licence excludes commercial use, and has
100 MB: so it is no part of emonet. It comes from the package ``face_recognition_models``, or
from wherever EMONET_LANDMARK_MODEL says.
"""

import os
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import MissingDependencyError, ModelNotFoundError, WeightsError

__all__ = ["NUM_COORDINATES", "VARIABLE", "find_model", "load_predictor", "locate_landmarks"]

NUM_LANDMARKS = 68
NUM_COORDINATES = 2 * NUM_LANDMARKS

VARIABLE = "EMONET_LANDMARK_MODEL"
PACKAGE = "face_recognition_models"
FILE = "shape_predictor_68_face_landmarks.dat"


def find_model() -> Path:
    """Return the predictor's file.

    Raises:
        ModelNotFoundError: EMONET_LANDMARK_MODEL names no file.
        MissingDependencyError: the variable is not set and the package not installed.
    """
    if given := os.environ.get(VARIABLE):
        if not Path(given).is_file():
            raise ModelNotFoundError(f"bovw: {VARIABLE} names no file: {given}")
        return Path(given)
    # Importing the package would need setuptools' pkg_resources, which is gone since 82.
    try:
        found = [file for file in files(PACKAGE) or () if file.name == FILE]
    except PackageNotFoundError:
        found = []
    if not found or not (path := Path(str(found[0].locate()))).is_file():
        raise MissingDependencyError(
            f"bovw: landmarks need dlib's 68-point model. Install it with "
            f"pip install 'emonet[bovw]' (100 MB; not for commercial use), name the file in "
            f"{VARIABLE}, or use landmarks=False."
        )
    return path


def load_predictor(path: Path) -> Any:
    """Return dlib's shape predictor.

    Raises:
        WeightsError: the file is no 68-point predictor.
    """
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
    """Place the landmarks in faces that fill the whole image.

    Args:
        predictor: from load_predictor.
        faces: uint8 (n, height, width) grey.

    Returns:
        float32 (n, 136): x, y of each landmark in pixels; some may lie outside the face.
    """
    import dlib

    height, width = faces.shape[1:]
    whole = dlib.rectangle(0, 0, width - 1, height - 1)
    coordinates = np.empty((len(faces), NUM_LANDMARKS, 2), np.float32)
    for face, points in zip(faces, coordinates, strict=True):
        points[:] = [(part.x, part.y) for part in predictor(face, whole).parts()]
    return coordinates.reshape(len(faces), NUM_COORDINATES)
