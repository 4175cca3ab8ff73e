"""Contract checks of a face detector."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from emonet.pipeline.images import load_image
from emonet.plugin import Detection, Json
from emonet.registry.catalog import Kind
from emonet.sample import sample_photo
from emonet.testing.checks import SHARED_RULES, Check, Subject

#: The point between the eyes of the only face in the sample photo, x and y in pixels.
FACE = (182, 105)


def detector_checks(name: str, **config: Json) -> list[Check]:
    """Return the checks that every face detector must pass.

    Args:
        name: name of the detector.
        config: settings that differ from the defaults.
    """
    subject = DetectorSubject(Kind.DETECTOR, name, config)
    return [Check(subject, rule) for rule in (*SHARED_RULES, *RULES)]


class DetectorSubject(Subject):
    """A detector that all checks share, built once."""

    @cached_property
    def photo(self) -> NDArray[np.uint8]:
        """The sample photo of one face, RGB (400, 400, 3)."""
        photo = load_image(sample_photo())
        photo.flags.writeable = False
        return photo

    @cached_property
    def found(self) -> list[Detection]:
        """The detections in the photo."""
        return self.detect(self.photo)

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Return the detections in an image."""
        found: Sequence[Detection] = self.built.detect(image)
        return list(found)


def finds_a_face(subject: DetectorSubject) -> None:
    """Check that a box contains the point between the eyes of the face in the photo."""
    x, y = FACE
    boxes = [detection.box for detection in subject.found]
    subject.require(
        any(0 < x - box.x < box.width and 0 < y - box.y < box.height for box in boxes),
        f"does not find the face at {FACE} in the photo, got {boxes}",
    )


def takes_images_without_a_face(subject: DetectorSubject) -> None:
    """Check that black, grey, white and noisy images raise no error."""
    for value in (0, 128, 255):
        subject.detect(np.full((120, 160, 3), value, np.uint8))
    subject.detect(np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8))


def takes_images_of_any_size(subject: DetectorSubject) -> None:
    """Check that a single pixel, thin lines and large images raise no error."""
    for shape in ((1, 1, 3), (3, 2000, 3), (2000, 3, 3), (1500, 2000, 3)):
        subject.detect(np.full(shape, 90, np.uint8))


def is_deterministic(subject: DetectorSubject) -> None:
    """Check that the same image always gives the same detections."""
    found, again = subject.found, subject.detect(subject.photo)
    subject.require(
        again == found and _landmarks(again) == _landmarks(found),
        f"returns first {found} and then {again} for the same image",
    )


def gives_landmarks_as_points(subject: DetectorSubject) -> None:
    """Check that landmarks, if there are any, are finite (n, 2) arrays."""
    for landmarks in [detection.landmarks for detection in subject.found]:
        subject.require(
            landmarks is None
            or (
                isinstance(landmarks, np.ndarray)
                and landmarks.shape[1:] == (2,)
                and np.isfinite(landmarks).all()
            ),
            f"must return landmarks as finite (n, 2) arrays, got {landmarks!r}",
        )


def leaves_its_input_alone(subject: DetectorSubject) -> None:
    """Check that views and read-only images are accepted and not changed."""
    image = subject.photo[::2, ::-2]
    found = subject.detect(image)
    copy = image.copy()
    subject.require(subject.detect(copy) == found, "finds other faces in a view than in its copy")
    subject.require(np.array_equal(copy, image), "changes its input image")


RULES: tuple[Callable[[DetectorSubject], None], ...] = (
    finds_a_face,
    takes_images_without_a_face,
    takes_images_of_any_size,
    is_deterministic,
    gives_landmarks_as_points,
    leaves_its_input_alone,
)


def _landmarks(found: list[Detection]) -> list[object]:
    """Return the landmarks as lists, because ``==`` of Detection ignores them."""
    return [
        None if detection.landmarks is None else np.asarray(detection.landmarks).tolist()
        for detection in found
    ]
