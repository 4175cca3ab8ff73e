"""BOVW: landmark coordinates and sliding-window HOG in one vector."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import ConfigError, WeightsError, require_choice
from emonet_bovw.hog import BLOCK_NORMS, NUM_HOG, SIDE, sliding_hog
from emonet_bovw.landmarks import NUM_COORDINATES, VARIABLE, find_model, load_predictor
from emonet_bovw.workers import locate_in_parallel

__all__ = ["Bovw"]


class Bovw:
    """The seed paper's features: 136 landmark coordinates, then 2592 HOG values.

    Args:
        landmarks: whether the coordinates are part of the vector.
        hog: whether the HOG values are.
        block_norm: how a HOG cell is normalised. ``"L1"`` is what the seed's features had;
            scikit-image's own default has become ``"L2-Hys"`` since.

    Raises:
        ConfigError: a setting is not legal, or both parts are switched off.
        MissingDependencyError: landmarks are asked for and their model is not installed.
    """

    def __init__(self, landmarks: bool, hog: bool, block_norm: str) -> None:
        require_choice("bovw", "landmarks", landmarks, (True, False))
        require_choice("bovw", "hog", hog, (True, False))
        require_choice("bovw", "block_norm", block_norm, BLOCK_NORMS)
        if not (landmarks or hog):
            raise ConfigError("bovw: landmarks and hog are both False; nothing would be left")
        self._model = find_model() if landmarks else None
        self._predictor = None if self._model is None else load_predictor(self._model)
        self._hog = hog
        self._block_norm = block_norm

    @property
    def num_features(self) -> int:
        """Length of one vector: up to 2728."""
        return NUM_COORDINATES * (self._predictor is not None) + NUM_HOG * self._hog

    def transform(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn uint8 (n, height, width) grey faces into float32 (n, num_features).

        Faces of another size than 48x48 pixels are resized to it. Coordinates are pixels,
        HOG values 0..1.
        """
        faces = _resized(images)
        parts = []
        if self._model is not None:
            parts.append(locate_in_parallel(self._predictor, self._model, faces))
        if self._hog:
            parts.append(sliding_hog(faces, self._block_norm))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def get_state(self) -> Mapping[str, NDArray[Any]]:
        """Return what tells the landmark model from others, which place landmarks elsewhere."""
        return self._state

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Make sure that the landmark model is the same.

        Raises:
            WeightsError: it is another one.
        """
        for key in self._state.keys() & state.keys():
            if not np.array_equal(state[key], self._state[key]):
                # A stranger's array may be of any size.
                expected = state[key].tobytes()[: hashlib.sha256().digest_size].hex()
                raise WeightsError(
                    f"bovw: the network learnt from another landmark model's answers than those "
                    f"of {self._model}. Name that model's file in {VARIABLE}. SHA-256 expected: "
                    f"{expected}, received: {self._state[key].tobytes().hex()}"
                )

    @cached_property
    def _state(self) -> Mapping[str, NDArray[np.uint8]]:
        if self._model is None:
            return {}
        with self._model.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        return {"landmark_model_sha256": np.frombuffer(digest, np.uint8)}


def _resized(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the faces as (n, 48, 48)."""
    if images.shape[1:] == (SIDE, SIDE):
        return images
    import cv2

    faces = np.empty((len(images), SIDE, SIDE), np.uint8)
    for image, face in zip(images, faces, strict=True):
        cv2.resize(image, (SIDE, SIDE), face, interpolation=cv2.INTER_AREA)
    return faces
