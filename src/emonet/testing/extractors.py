"""The contract of a feature extractor."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import FeatureExtractor, Json
from emonet.registry.catalog import Kind
from emonet.testing.checks import SHARED_RULES, Check, Subject

__all__ = ["feature_extractor_checks"]

TOLERANCE = 1e-5


def feature_extractor_checks(name: str, **config: Json) -> list[Check]:
    """Return the checks that every feature extractor must pass.

    Args:
        name: of the feature extractor.
        config: what differs from its defaults.
    """
    subject = ExtractorSubject(Kind.FEATURE_EXTRACTOR, name, config)
    return [Check(subject, rule) for rule in (*SHARED_RULES, *RULES)]


class ExtractorSubject(Subject):
    """A feature extractor, built once or twice however many checks use it."""

    def transform(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 (n, num_features)."""
        vectors: NDArray[np.float32] = self.built.transform(faces)
        return vectors


def gives_finite_vectors(subject: ExtractorSubject) -> None:
    """One finite float32 vector of num_features for each face, flat faces included."""
    subject.transform(_faces())
    returned = subject.raw.transform(_faces())
    dtype = getattr(returned, "dtype", type(returned).__name__)
    subject.require(dtype == np.float32, f"must return a float32 array, it returned {dtype}")


def takes_no_faces(subject: ExtractorSubject) -> None:
    """No faces give no vectors, and no error."""
    subject.transform(np.empty((0, 48, 48), np.uint8))


def takes_faces_of_another_size(subject: ExtractorSubject) -> None:
    """Faces need not be 48 pixels high and wide, nor square."""
    for size in ((96, 96), (64, 40)):
        subject.transform(_faces(size))


def treats_each_face_alone(subject: ExtractorSubject) -> None:
    """A face's vector doesn't depend on what else is in the batch."""
    together = subject.transform(_faces())
    alone = np.concatenate([subject.transform(face[np.newaxis]) for face in _faces()])
    limit = TOLERANCE * np.abs(together).max()
    subject.require(
        np.abs(alone - together).max() <= limit, "gives a face another vector in a batch than alone"
    )


def is_deterministic(subject: ExtractorSubject) -> None:
    """The same face gives the same vector each time."""
    subject.require(
        np.array_equal(subject.transform(_faces()), subject.transform(_faces())),
        "gives another vector for the same face",
    )


def tells_faces_apart(subject: ExtractorSubject) -> None:
    """Different faces give different vectors."""
    vectors = subject.transform(_faces())
    subject.require(
        len(np.unique(vectors, axis=0)) > 1, "gives the same vector for different faces"
    )


def leaves_its_input_alone(subject: ExtractorSubject) -> None:
    """Read-only faces and mirrored views are taken, and stay as they are."""
    faces = _faces()
    mirrored = faces[:, :, ::-1]
    mirrored.flags.writeable = False
    subject.require(
        np.array_equal(subject.transform(mirrored), subject.transform(mirrored.copy())),
        "gives another vector for a mirrored view than for its copy",
    )
    subject.transform(faces)
    subject.require(np.array_equal(faces, _faces()), "changes the faces that it is given")


def takes_its_state_back(subject: ExtractorSubject) -> None:
    """The state can be saved, and makes another copy give the same vectors."""
    state = subject.built.get_state()  # refused unless it is finite numbers by name
    other: FeatureExtractor = subject.build()
    other.set_state({key: array.copy() for key, array in state.items()})
    again = other.get_state()
    subject.require(
        set(again) == set(state) and all(np.array_equal(again[key], state[key]) for key in state),
        "does not keep the state that it is given",
    )
    subject.require(
        np.array_equal(other.transform(_faces()), subject.transform(_faces())),
        "gives another vector after its state was saved and loaded",
    )


RULES: tuple[Callable[[ExtractorSubject], None], ...] = (
    gives_finite_vectors,
    takes_no_faces,
    takes_faces_of_another_size,
    treats_each_face_alone,
    is_deterministic,
    tells_faces_apart,
    leaves_its_input_alone,
    takes_its_state_back,
)


def _faces(size: tuple[int, int] = (48, 48)) -> NDArray[np.uint8]:
    """Return uint8 (5, height, width): noise, a gradient, a drawn face, black and white."""
    rows, columns = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    drawn = 60 + 110 * (rows**2 + (columns / 0.8) ** 2 < 1)
    drawn[(rows + 0.25) ** 2 + (abs(columns) - 0.35) ** 2 < 0.01] = 30
    drawn[(abs(rows - 0.5) < 0.06) & (abs(columns) < 0.3)] = 90
    faces = np.stack(
        [
            np.random.default_rng(0).uniform(0, 255, size),
            (rows + columns + 2) * 60,
            drawn,
            np.zeros(size),
            np.full(size, 255),
        ]
    )
    return faces.astype(np.uint8)
