"""YuNet (Wu et al. 2023) through OpenCV's FaceDetectorYN."""

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import (
    Box,
    ConfigError,
    Detection,
    ModelNotFoundError,
    WeightsError,
    locate_file,
    require_number,
)
from emonet_detectors.shrinking import shrunk

#: The file that ``opencv/face_detection_yunet`` on the Hub publishes; its licences are beside it.
FILE = Path(__file__).parent / "weights" / "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"

MOST_CANDIDATES = 5000
LARGEST = 4096

#: YuNet misses most faces that are larger, pixels.
LARGEST_FACE = 480
#: Larger images are searched once more at this size, for faces that fill a third of them.
COARSE_SIDE = 240

#: Degrees by which an image is turned for tilted heads. YuNet finds most that are tilted by 20.
TURNS = (-40, 40)

#: Guards OpenCV's log level: it is global, and several threads may build detectors.
LOG_LEVEL = threading.Lock()


class YuNet:
    """Find faces of about 10 pixels or more, also turned faces, with five landmarks.

    The landmarks are the right eye, the left eye, the tip of the nose, and the right and left
    corners of the mouth. Right and left are the person's own.

    Args:
        model_path: path of another ONNX file of YuNet; None takes the file in this package.
        score_threshold: the lowest score of a face, 0..1. With OpenCV's default, 0.9, small faces
            are missed; below 0.8, a dog's face is sometimes taken for a person's.
        nms_threshold: the largest overlap of two boxes, 0..1.
        max_side: larger images are downscaled to this size for detection, pixels.
        tilted: whether to search the image again, turned both ways, for heads that are tilted by
            20 to 60 degrees. Three images are searched in place of one.
    """

    def __init__(
        self,
        model_path: str | None,
        score_threshold: float,
        nms_threshold: float,
        max_side: int,
        tilted: bool,
    ) -> None:
        require_number("yunet", "score_threshold", score_threshold, 0, 1)
        require_number("yunet", "nms_threshold", nms_threshold, 0, 1)
        require_number("yunet", "max_side", max_side, 32, LARGEST, whole=True)
        if model_path is not None and not isinstance(model_path, str):
            raise ConfigError(f"yunet: model_path must be a path or None, got {model_path!r}")
        if not isinstance(tilted, bool):
            raise ConfigError(f"yunet: tilted must be true or false, got {tilted!r:.80}")
        try:
            self._path = bundled_file() if model_path is None else locate_file(model_path)
        except ModelNotFoundError as error:
            raise ModelNotFoundError(f"yunet: model_path: {error}") from None
        self._score_threshold, self._nms_threshold = score_threshold, nms_threshold
        self._max_side, self._tilted = max_side, tilted
        self._detector = self._create()
        # The detector stores the input size, so only one thread may use it.
        self._lock = threading.Lock()

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Return the faces in an RGB uint8 (height, width, 3) image."""
        with self._lock:
            faces = self._search(image)
            if not self._tilted:
                return faces
            faces += [face for turn in TURNS for face in self._search_turned(image, turn)]
        # A tilted head has a higher score where the image is turned, and better landmarks.
        return self._better(faces, faces)

    def _search(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Return the faces in an image, where nobody else searches meanwhile."""
        found, close = self._find(*shrunk(image, self._max_side)), []
        if min(max(image.shape[:2]), self._max_side) > LARGEST_FACE:
            # A face that fills a large picture is found only where the picture is small.
            least = max(image.shape[:2]) / 3
            coarse = self._find(*shrunk(image, COARSE_SIDE))
            close = [face for face in coarse if max(face.box.width, face.box.height) > least]
        faces = [*self._better(found, close), *self._better(close, found)]
        return [face for face in faces if _is_plausible(face, image)]

    def _search_turned(self, image: NDArray[np.uint8], degrees: float) -> list[Detection]:
        """Return the faces found in the image if it is turned counter-clockwise."""
        import cv2

        small, factor = shrunk(image, self._max_side)
        height, width = small.shape[:2]
        side = int(np.ceil(np.hypot(width, height)))
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
        matrix[:, 2] += (side - width) / 2, (side - height) / 2
        faces = self._search(np.asarray(cv2.warpAffine(small, matrix, (side, side)), np.uint8))
        back = cv2.invertAffineTransform(matrix)
        placed = [_placed(face, back, factor) for face in faces]
        return [face for face in placed if _is_plausible(face, image)]

    def _find(self, small: NDArray[np.uint8], factor: float) -> list[Detection]:
        """Return the faces in an image; ``factor`` times its pixels are those of the boxes."""
        import cv2

        self._detector.setInputSize((small.shape[1], small.shape[0]))
        _, rows = self._detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        detections = []
        for row in () if rows is None else np.asarray(rows, np.float32):
            box, points = row[:4] * factor, row[4:14].reshape(5, 2) * factor
            detections.append(Detection(Box(*box.tolist()), float(row[14]), points))
        return detections

    def _better(self, faces: list[Detection], others: list[Detection]) -> list[Detection]:
        """Return the faces that are not found with a higher score among the others."""
        return [
            face
            for face in faces
            if not any(
                other.score > face.score and _overlap(face.box, other.box) > self._nms_threshold
                for other in others
            )
        ]

    def _create(self) -> Any:
        import cv2

        with LOG_LEVEL:
            # OpenCV 5 warns about a setting that emonet does not set.
            level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
            try:
                return cv2.FaceDetectorYN.create(
                    str(self._path),
                    "",
                    (320, 320),
                    self._score_threshold,
                    self._nms_threshold,
                    MOST_CANDIDATES,
                )
            except cv2.error as error:
                raise WeightsError(
                    f"yunet: {self._path} is not YuNet's ONNX file: {error}"
                ) from error
            finally:
                cv2.utils.logging.setLogLevel(level)


def bundled_file() -> Path:
    """Return the path of the file in this package, checked by its digest."""
    try:
        found = hashlib.sha256(FILE.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"yunet: {FILE} can't be read: {error}. Reinstall emonet") from error
    if found != SHA256:
        raise WeightsError(
            f"yunet: {FILE} is damaged: its SHA-256 is {found}, expected {SHA256}. Reinstall emonet"
        )
    return FILE


def _placed(face: Detection, back: NDArray[np.float64], factor: float) -> Detection:
    """Return a face of a turned image as a face of the image itself; its box keeps its size."""
    box = face.box
    middle = np.array([box.x + box.width / 2, box.y + box.height / 2, 1.0])
    size = np.array([box.width, box.height])
    corner = back @ middle - size / 2
    points = np.asarray(face.landmarks) @ back[:, :2].T + back[:, 2]
    return Detection(
        Box(*(factor * np.hstack([corner, size])).tolist()),
        face.score,
        (factor * points).astype(np.float32),
    )


def _is_plausible(face: Detection, image: NDArray[np.uint8]) -> bool:
    """Return whether a box lies in the image; one with a low score may have any size."""
    x, y, width, height = face.box
    most_y, most_x = image.shape[:2]
    inside = x + width > 0 and y + height > 0 and x < most_x and y < most_y
    return inside and 0 < width <= 2 * most_x and 0 < height <= 2 * most_y


def _overlap(first: Box, second: Box) -> float:
    """Return the intersection of two boxes over their union."""
    width = min(first.x + first.width, second.x + second.width) - max(first.x, second.x)
    height = min(first.y + first.height, second.y + second.height) - max(first.y, second.y)
    shared = max(0.0, width) * max(0.0, height)
    return shared / (first.width * first.height + second.width * second.height - shared)
