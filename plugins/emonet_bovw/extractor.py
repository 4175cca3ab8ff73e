"""BOVW: landmark coordinates and sliding-window HOG values in one vector."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import ConfigError, FeaturePart, WeightsError, require_choice
from emonet_bovw.hog import BLOCK_NORMS, NUM_HOG, SIDE, sliding_hog, windows
from emonet_bovw.landmarks import NUM_COORDINATES, VARIABLE, find_model, load_predictor
from emonet_bovw.workers import locate_in_parallel


class Bovw:
    """Compute the paper's features: 136 landmark coordinates, then 2592 HOG values.

    Either part can be left out. The paper's features use the ``block_norm`` ``"L1"``;
    scikit-image's default is now ``"L2-Hys"``.
    """

    def __init__(self, landmarks: bool, hog: bool, block_norm: str) -> None:
        require_choice("bovw", "landmarks", landmarks, (True, False))
        require_choice("bovw", "hog", hog, (True, False))
        require_choice("bovw", "block_norm", block_norm, BLOCK_NORMS)
        if not (landmarks or hog):
            raise ConfigError("bovw: landmarks and hog are both False; set one of them to True")
        self._model = find_model() if landmarks else None
        self._predictor = None if self._model is None else load_predictor(self._model)
        self._hog = hog
        self._block_norm = block_norm

    @property
    def num_features(self) -> int:
        """Length of one vector: 136, 2592 or 2728."""
        return NUM_COORDINATES * (self._predictor is not None) + NUM_HOG * self._hog

    def transform(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return one float32 vector (n, num_features) for each uint8 (n, height, width) grey face.

        Faces are resized to 48x48 pixels. Coordinates are in pixels, HOG values in 0..1.
        """
        faces = _resized(images)
        parts = []
        if self._model is not None:
            parts.append(locate_in_parallel(self._predictor, self._model, faces))
        if self._hog:
            parts.append(sliding_hog(faces, self._block_norm))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def parts(self, vector: NDArray[np.float32]) -> Sequence[FeaturePart]:
        """Return the landmarks and the HOG windows of a vector, with their places in the face."""
        parts, start = [], 0
        if self._model is not None:
            points = (vector[:NUM_COORDINATES].reshape(-1, 2) + 0.5) / SIDE
            for number, (x, y) in enumerate(points.tolist()):
                values = slice(2 * number, 2 * number + 2)
                parts.append(FeaturePart(f"landmark {number}", values, (x, y, 0.0, 0.0)))
            start = NUM_COORDINATES
        if self._hog:
            for row, column, count, box in windows():
                name = f"window {row}, {column}"
                parts.append(FeaturePart(name, slice(start, start + count), box))
                start += count
        return parts

    def get_state(self) -> Mapping[str, NDArray[Any]]:
        """Return the landmark model's SHA-256: another model places landmarks elsewhere."""
        return self._state

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Raise WeightsError if the network was trained with another landmark model."""
        for key in self._state.keys() & state.keys():
            if not np.array_equal(state[key], self._state[key]):
                # An untrusted file may hold an array of any size.
                expected = state[key].tobytes()[: hashlib.sha256().digest_size].hex()
                raise WeightsError(
                    f"bovw: the network was trained with another landmark model than "
                    f"{self._model}. Set {VARIABLE} to the path of the right model. SHA-256 "
                    f"expected: {expected}, received: {self._state[key].tobytes().hex()}"
                )

    @cached_property
    def _state(self) -> Mapping[str, NDArray[np.uint8]]:
        if self._model is None:
            return {}
        with self._model.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        return {"landmark_model_sha256": np.frombuffer(digest, np.uint8)}


def _resized(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the faces resized to (n, 48, 48)."""
    if images.shape[1:] == (SIDE, SIDE):
        return images
    import cv2

    faces = np.empty((len(images), SIDE, SIDE), np.uint8)
    for image, face in zip(images, faces, strict=True):
        cv2.resize(image, (SIDE, SIDE), face, interpolation=cv2.INTER_AREA)
    return faces
