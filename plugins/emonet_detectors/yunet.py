"""YuNet (Wu et al. 2023) through OpenCV's FaceDetectorYN."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import (
    Box,
    ConfigError,
    Detection,
    HubError,
    ModelNotFoundError,
    WeightsError,
    locate_file,
    require_number,
)
from emonet_detectors.shrinking import shrunk

REPOSITORY = "opencv/face_detection_yunet"
REVISION = "3cc26e7f1014a5ee5d74a42acee58bafc9d0a310"
FILE = "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"

MOST_CANDIDATES = 5000
LARGEST = 4096

#: OpenCV has one log level for the process, and detectors are built in several threads.
LOG_LEVEL = threading.Lock()


class YuNet:
    """Finds faces of some 10 pixels and more, turned ones too, with five landmarks.

    The landmarks are the right eye, the left eye, the tip of the nose, and the right and left
    corners of the mouth; right and left are the person's.

    Args:
        model_path: the ONNX file; None fetches it from the Hub once.
        score_threshold: the least score of a face, 0..1.
        nms_threshold: how far two boxes may overlap, 0..1.
        max_side: larger images are shrunk to this for detection, pixels.

    Raises:
        ModelNotFoundError: there is no file at model_path.
        HubError: the file can't be fetched.
        WeightsError: the file fetched is not the one that was published, or can't be read.
    """

    def __init__(
        self,
        model_path: str | None,
        score_threshold: float,
        nms_threshold: float,
        max_side: int,
    ) -> None:
        require_number("yunet", "score_threshold", score_threshold, 0, 1)
        require_number("yunet", "nms_threshold", nms_threshold, 0, 1)
        require_number("yunet", "max_side", max_side, 32, LARGEST, whole=True)
        if model_path is not None and not isinstance(model_path, str):
            raise ConfigError(f"yunet: model_path must be a path or None, got {model_path!r}")
        try:
            self._path = fetch() if model_path is None else locate_file(model_path)
        except ModelNotFoundError as error:
            raise ModelNotFoundError(f"yunet: model_path: {error}") from None
        self._thresholds = (score_threshold, nms_threshold)
        self._max_side = max_side
        self._detector = self._create()
        # The input size is its state: one thread at a time.
        self._lock = threading.Lock()

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Find faces in an RGB uint8 (height, width, 3) image."""
        import cv2

        small, factor = shrunk(image, self._max_side)
        with self._lock:
            self._detector.setInputSize((small.shape[1], small.shape[0]))
            _, rows = self._detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        detections = []
        for row in () if rows is None else np.asarray(rows, np.float32):
            x, y, width, height, *landmarks = (row[:14] * factor).tolist()
            # What it is unsure of may lie in the padding around the image, or be of any size.
            if x + width <= 0 or y + height <= 0 or x >= image.shape[1] or y >= image.shape[0]:
                continue
            if not (0 < width <= 2 * image.shape[1] and 0 < height <= 2 * image.shape[0]):
                continue
            points = np.array(landmarks, np.float32).reshape(5, 2)
            detections.append(Detection(Box(x, y, width, height), float(row[14]), points))
        return detections

    def _create(self) -> Any:
        import cv2

        with LOG_LEVEL:
            # OpenCV 5 warns of a setting that nobody made.
            level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
            try:
                return cv2.FaceDetectorYN.create(
                    str(self._path), "", (320, 320), *self._thresholds, MOST_CANDIDATES
                )
            except cv2.error as error:
                raise WeightsError(
                    f"yunet: {self._path} is not YuNet's ONNX file: {error}"
                ) from error
            finally:
                cv2.utils.logging.setLogLevel(level)


def fetch() -> Path:
    """Return the published file from the Hub's cache, fetching it at first use."""
    try:
        return locate_file(f"hf://{REPOSITORY}@{REVISION}/{FILE}", sha256=SHA256)
    except HubError as error:
        raise HubError(
            f"yunet: {str(error).rstrip('.')}. Download it where there is a connection and pass "
            f"its path as model_path, or use dlib_hog."
        ) from error
    except WeightsError as error:
        raise WeightsError(f"yunet: {error}") from error
