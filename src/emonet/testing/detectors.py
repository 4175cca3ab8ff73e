"""The contract of a face detector."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emonet.pipeline.images import load_image
from emonet.plugin import Detection, Json
from emonet.registry.catalog import Kind
from emonet.testing.checks import SHARED_RULES, Check, Subject

__all__ = ["detector_checks"]

# Between the eyes of the only face in the photo, x and y in pixels.
FACE = (222, 105)


def detector_checks(name: str, **config: Json) -> list[Check]:
    """Return the checks that every face detector must pass.

    Args:
        name: of the detector.
        config: what differs from its defaults.
    """
    subject = DetectorSubject(Kind.DETECTOR, name, config)
    return [Check(subject, rule) for rule in (*SHARED_RULES, *RULES)]


class DetectorSubject(Subject):
    """A detector, built once however many checks use it."""

    @cached_property
    def photo(self) -> NDArray[np.uint8]:
        """A photo of one face, RGB (512, 512, 3); scikit-image brings it."""
        import skimage

        photo = load_image(Path(skimage.__file__).parent / "data" / "astronaut.png")
        photo.flags.writeable = False
        return photo

    @cached_property
    def found(self) -> list[Detection]:
        """What is found in the photo."""
        return self.detect(self.photo)

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Return the detections."""
        found: Sequence[Detection] = self.built.detect(image)
        return list(found)


def finds_a_face(subject: DetectorSubject) -> None:
    """In a photo of a face, some box holds the point between the eyes."""
    x, y = FACE
    boxes = [detection.box for detection in subject.found]
    subject.require(
        any(0 < x - box.x < box.width and 0 < y - box.y < box.height for box in boxes),
        f"does not find the face at {FACE} of the photo; it found {boxes}",
    )


def takes_images_without_a_face(subject: DetectorSubject) -> None:
    """Black, grey, white and noisy images are no error."""
    for value in (0, 128, 255):
        subject.detect(np.full((120, 160, 3), value, np.uint8))
    subject.detect(np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8))


def takes_images_of_any_size(subject: DetectorSubject) -> None:
    """A single pixel, thin lines and large images are no error."""
    for shape in ((1, 1, 3), (3, 2000, 3), (2000, 3, 3), (1500, 2000, 3)):
        subject.detect(np.full(shape, 90, np.uint8))


def is_deterministic(subject: DetectorSubject) -> None:
    """The same image gives the same detections each time."""
    found, again = subject.found, subject.detect(subject.photo)
    subject.require(
        again == found and _landmarks(again) == _landmarks(found),
        f"finds {found} and then {again} in the same image",
    )


def gives_landmarks_as_points(subject: DetectorSubject) -> None:
    """Landmarks, where there are some, are finite (n, 2)."""
    for detection in subject.found:
        if detection.landmarks is None:
            continue
        given = detection.landmarks
        points = np.asarray(given)
        subject.require(
            isinstance(given, np.ndarray)
            and points.ndim == 2
            and points.shape[1] == 2
            and np.isfinite(points).all(),
            f"must give landmarks as finite (n, 2) arrays, it gave {given!r}",
        )


def leaves_its_input_alone(subject: DetectorSubject) -> None:
    """Views and read-only images are taken, and stay as they are."""
    image = subject.photo[::2, ::-2]
    found = subject.detect(image)
    copy = image.copy()
    subject.require(subject.detect(copy) == found, "finds other faces in a view than in its copy")
    subject.require(np.array_equal(copy, image), "changes the image that it is given")


RULES: tuple[Callable[[DetectorSubject], None], ...] = (
    finds_a_face,
    takes_images_without_a_face,
    takes_images_of_any_size,
    is_deterministic,
    gives_landmarks_as_points,
    leaves_its_input_alone,
)


def _landmarks(found: list[Detection]) -> list[object]:
    """Return the landmarks as what == compares; Detection itself leaves them out."""
    return [
        None if detection.landmarks is None else np.asarray(detection.landmarks).tolist()
        for detection in found
    ]
