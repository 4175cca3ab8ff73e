"""Convert faces to FiftyOne's labels."""

from typing import TYPE_CHECKING

from emonet.results import ImageResult, TrackedFace, VideoFrame
from emonet.support.dependencies import require

if TYPE_CHECKING:
    import fiftyone


def to_fiftyone(result: ImageResult | VideoFrame) -> "fiftyone.Detections":
    """Return the faces of an image or of a video frame as ``fiftyone.Detections``.

    Each ``Detection`` has the label (None below the score threshold), its score as
    ``confidence``, the box relative to the image, and in a video the track as ``index``. Its
    dynamic fields ``probabilities`` and ``detection_score`` hold the rest.

    Raises:
        ImageError: the image or the frame could not be read; it is the result's own error.
        MissingDependencyError: FiftyOne is not installed.

    Examples:
        >>> for sample in dataset:  # doctest: +SKIP
        ...     sample["emotions"] = to_fiftyone(recognizer.predict(sample.filepath))
        ...     sample.save()
    """
    require("fiftyone", "to_fiftyone")
    import fiftyone

    if result.error is not None:
        raise result.error
    width, height = result.width, result.height
    return fiftyone.Detections(
        detections=[
            fiftyone.Detection(
                label=face.label,
                bounding_box=[
                    face.box.x / width,
                    face.box.y / height,
                    face.box.width / width,
                    face.box.height / height,
                ],
                confidence=float(face.score),
                index=face.track if isinstance(face, TrackedFace) else None,
                probabilities={name: float(value) for name, value in face.probabilities.items()},
                detection_score=float(face.detection.score),
            )
            for face in result.faces
        ]
    )
