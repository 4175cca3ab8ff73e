"""Convert faces to supervision's Detections, and their boxes back."""

from typing import TYPE_CHECKING

import numpy as np

from emonet.results import Box, ImageResult, TrackedFace, VideoFrame
from emonet.support.dependencies import require

if TYPE_CHECKING:
    import supervision


def to_supervision(result: ImageResult | VideoFrame) -> "supervision.Detections":
    """Return the faces of an image or of a video frame as ``supervision.Detections``.

    ``confidence`` is the score of the most probable class and ``class_id`` its index among the
    labels. ``data`` has ``class_name`` (empty below the score threshold), ``probabilities``,
    float32 (n, classes), and ``detection_score``. ``tracker_id`` holds the tracks of a video.

    Raises:
        ImageError: the image or the frame could not be read; it is the result's own error.
        MissingDependencyError: supervision is not installed.

    Examples:
        >>> from emonet import EmotionRecognizer, sample_photo
        >>> result = EmotionRecognizer.from_pretrained().predict(sample_photo())
        >>> to_supervision(result).data["class_name"]
        array(['happiness'], dtype='<U9')
    """
    require("supervision", "to_supervision")
    import supervision

    if result.error is not None:
        raise result.error
    faces = result.faces
    if not faces:
        empty = supervision.Detections.empty()
        if isinstance(result, VideoFrame):
            empty.tracker_id = np.empty(0, np.int64)  # as supervision's own trackers do
        return empty
    x, y, width, height = np.array([tuple(face.box) for face in faces], np.float32).T
    probabilities = np.array([list(face.probabilities.values()) for face in faces], np.float32)
    tracks = [face.track for face in faces if isinstance(face, TrackedFace)]
    return supervision.Detections(
        xyxy=np.stack([x, y, x + width, y + height], axis=1),
        confidence=np.array([face.score for face in faces], np.float32),
        class_id=probabilities.argmax(axis=1),
        tracker_id=np.array(tracks, np.int64) if tracks else None,
        data={
            "class_name": np.array([face.label or "" for face in faces]),
            "probabilities": probabilities,
            "detection_score": np.array([face.detection.score for face in faces], np.float32),
        },
    )


def from_supervision(detections: "supervision.Detections") -> list[Box]:
    """Return the boxes of ``supervision.Detections``, in pixels of the image.

    Examples:
        >>> import numpy as np
        >>> import supervision
        >>> from_supervision(supervision.Detections(xyxy=np.array([[10, 20, 40, 60]])))
        [Box(x=10.0, y=20.0, width=30.0, height=40.0)]
    """
    return [
        Box(left, top, right - left, bottom - top)
        for left, top, right, bottom in np.asarray(detections.xyxy, np.float64).tolist()
    ]
