"""Results of detection and prediction: small frozen dataclasses."""

from cmath import phase
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from math import degrees, floor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import EmonetError, InputError

if TYPE_CHECKING:
    import PIL.Image


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle in pixels; (x, y) is the top left corner."""

    x: float
    y: float
    width: float
    height: float

    def clipped(self, image_width: int, image_height: int) -> "Box":
        """Return the part of the box inside the image, in whole pixels, at least 1x1."""
        # Halves are always rounded up, so that a box of whole width keeps its width.
        left = min(max(floor(self.x + 0.5), 0), image_width - 1)
        top = min(max(floor(self.y + 0.5), 0), image_height - 1)
        right = min(max(floor(self.x + self.width + 0.5), left + 1), image_width)
        bottom = min(max(floor(self.y + self.height + 0.5), top + 1), image_height)
        return Box(left, top, right - left, bottom - top)

    def __iter__(self) -> Iterator[float]:
        """Unpack as ``x, y, width, height``."""
        return iter((self.x, self.y, self.width, self.height))


@dataclass(frozen=True, slots=True)
class Detection:
    """A face that a detector found.

    Attributes:
        box: bounding box of the face; it may extend beyond the image.
        score: confidence of the detector, in its own scale; larger is more confident.
        landmarks: (n, 2) float x, y in pixels of the image; None if the detector has none. Five
            landmarks are the right eye, the left eye, the tip of the nose, and the right and left
            corners of the mouth. Right and left are the person's own.
        framed: crop the face along the box itself, because the box is framed as a face crop.
    """

    box: Box
    score: float = 1.0
    landmarks: NDArray[np.float32] | None = field(default=None, compare=False)
    framed: bool = False

    @property
    def roll(self) -> float:
        """How far the head is tilted to a shoulder, degrees; positive is clockwise in the image.

        It follows from five landmarks, also of a face in profile; without them, it is 0.
        """
        if self.landmarks is None or len(self.landmarks) != 5:
            return 0.0
        right_eye, left_eye, _, *mouth = (complex(x, y) for x, y in self.landmarks)
        down = sum(mouth) / 2 - (right_eye + left_eye) / 2
        return degrees(phase((left_eye - right_eye) - 1j * down))


@dataclass(frozen=True, slots=True, eq=False)
class FaceCrop:
    """A face as the networks see it.

    Attributes:
        pixels: uint8 (height, width), grey, framed like the training faces.
        to_image: float64 (2, 3); multiplied by (x, y, 1) of a pixel of the crop, it gives the
            pixel's x, y in the image. Whole numbers are the centres of pixels.
    """

    pixels: NDArray[np.uint8]
    to_image: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FeatureEffect:
    """How much a part of a feature vector, such as a landmark, supports each label.

    Attributes:
        extractor: name of the feature extractor.
        name: name of the part.
        box: the part's place in pixels of the face crop; (0, 0) is the crop's corner. A point has
            width and height 0. Points may lie outside the crop.
        effects: probability of each label with the part, minus the probability with the values
            that the part has on average in the training faces.
    """

    extractor: str
    name: str
    box: Box
    effects: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Face:
    """A face in an image, with its emotion.

    Attributes:
        box: bounding box of the face, clipped to the image, whole pixels.
        label: the most probable class; None if its score is below the score threshold.
        score: probability of the most probable class, 0..1.
        probabilities: probability of each class, in label order; they sum to 1.
        detection: the detector's result.
    """

    box: Box
    label: str | None
    score: float
    probabilities: Mapping[str, float]
    detection: Detection

    def to_dict(self) -> dict[str, Any]:
        """Return the face as plain JSON values: box, label, score, probabilities."""
        return {
            "box": [int(value) for value in self.box],
            "label": self.label,
            "score": self.score,
            "probabilities": dict(self.probabilities),
        }


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The faces of one image, or an error if the image could not be used.

    Attributes:
        path: the path of an image given as a path, else None.
        width: pixels, after the EXIF rotation; 0 if the image could not be read.
        height: likewise.
        faces: the most confident detection first; empty if no face was found.
        error: the error of a failed image among many; ``predict`` of one image raises it.
        animated: whether the file has further frames; the faces are those of the first one.
            ``stream_video`` takes all.
        source: the image as ``predict`` got it, for ``draw``; None after ``stream``, or if the
            image is the file at ``path``. Pickling drops it.
    """

    path: str | None
    width: int
    height: int
    faces: tuple[Face, ...] = ()
    error: EmonetError | None = None
    animated: bool = False
    source: Any = field(default=None, compare=False, repr=False)

    def draw(self, image: Any = None, *, bars: bool = False) -> "PIL.Image.Image":
        """Return a copy of the image with a box and a label for every face.

        Args:
            image: the image in any form that ``predict`` takes; by default the image of the
                result, whose file is read again.
            bars: also draw a bar chart of each face's probabilities.

        Raises:
            ImageError: the image can't be read.
            InputError: the result has no image, or the image has another size.

        Examples:
            >>> result = recognizer.predict(emonet.sample_photo())
            >>> result.draw().save("annotated.png")
        """
        return _drawn(self, image, self.path if self.source is None else self.source, bars=bars)

    def show(self, *, bars: bool = False) -> None:
        """Show the annotated image in the system's image viewer."""
        self.draw(bars=bars).show()

    def _repr_png_(self) -> bytes | None:
        """Return the annotated image for notebooks; None if there is none."""
        return _notebook_png(self)

    def __getstate__(self) -> list[Any]:
        """Return the values of the fields for pickling, without the image."""
        return [None if one.name == "source" else getattr(self, one.name) for one in fields(self)]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON values.

        After an error, there are only ``path`` and ``error``. The first frame of an animation
        also has ``animated``.
        """
        if self.error is not None:
            return {"path": self.path, "error": str(self.error)}
        return {
            "path": self.path,
            "width": self.width,
            "height": self.height,
            **({"animated": True} if self.animated else {}),
            "faces": [face.to_dict() for face in self.faces],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedFace(Face):
    """A face in a frame of a video; its label and probabilities are smoothed over time.

    Attributes:
        track: number of the person's track, from 1; the same in all frames of the track.
        raw_probabilities: probability of each class in this frame alone.
    """

    track: int
    raw_probabilities: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the face as plain JSON values, with its track and its raw probabilities."""
        return {
            "track": self.track,
            **Face.to_dict(self),
            "raw_probabilities": dict(self.raw_probabilities),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFrame:
    """The faces of one frame of a video, or an error if the frame could not be decoded.

    Attributes:
        index: number of the frame in the video, from 0.
        seconds: time of the frame in the video.
        width: pixels, after the video's rotation.
        height: likewise.
        faces: in the order of their tracks.
        path: the path of a video given as a path, else None.
        image: uint8 (height, width, 3) RGB; None unless the caller asked for it.
        dropped: how many frames of a live source were skipped since the frame before.
        error: the error of a frame that could not be decoded.
    """

    index: int
    seconds: float
    width: int
    height: int
    faces: tuple[TrackedFace, ...] = ()
    path: str | None = None
    image: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)
    dropped: int = 0
    error: EmonetError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the frame as plain JSON values, without its image."""
        frame: dict[str, Any] = {"frame": self.index, "seconds": self.seconds}
        if self.error is not None:
            return {**frame, "error": str(self.error)}
        return {**frame, "faces": [face.to_dict() for face in self.faces]}

    def draw(self, image: Any = None, *, bars: bool = False) -> "PIL.Image.Image":
        """Return a copy of the frame's image with a box and a label for every face.

        Args:
            image: the frame's image, unless the frame has it.
            bars: also draw a bar chart of each face's probabilities.

        Raises:
            InputError: there is no image, or the image has another size.
        """
        return _drawn(self, image, self.image, bars=bars)

    def show(self, *, bars: bool = False) -> None:
        """Show the annotated frame in the system's image viewer."""
        self.draw(bars=bars).show()

    def _repr_png_(self) -> bytes | None:
        """Return the annotated frame for notebooks; None if it has no image."""
        return _notebook_png(self)


def _drawn(
    result: ImageResult | VideoFrame, image: Any, own: Any, *, bars: bool
) -> "PIL.Image.Image":
    from emonet.drawing import draw

    image = own if image is None else image
    if image is None:
        raise InputError(f"This {type(result).__name__} has no image: pass draw(image=...)")
    return draw(image, result, bars=bars)


def _notebook_png(result: ImageResult | VideoFrame) -> bytes | None:
    from emonet.drawing.png import to_png

    try:
        return to_png(result.draw())
    except EmonetError:  # for example, there is no image, or its file is gone
        return None
