"""Contract checks of a feature extractor."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import FeatureExtractor, Json
from emonet.registry.catalog import Kind
from emonet.testing.checks import SHARED_RULES, Check, Subject

TOLERANCE = 1e-5


def feature_extractor_checks(name: str, **config: Json) -> list[Check]:
    """Return the checks that every feature extractor must pass.

    Args:
        name: name of the feature extractor.
        config: settings that differ from the defaults.
    """
    subject = Subject(Kind.FEATURE_EXTRACTOR, name, config)
    return [Check(subject, rule) for rule in (*SHARED_RULES, *RULES)]


def gives_finite_vectors(subject: Subject) -> None:
    """Check that each face, even a flat one, gives a finite float32 vector."""
    subject.built.transform(_faces())
    returned = subject.raw.transform(_faces())
    dtype = getattr(returned, "dtype", type(returned).__name__)
    subject.require(dtype == np.float32, f"must return a float32 array, got {dtype}")


def takes_no_faces(subject: Subject) -> None:
    """Check that an empty batch gives an empty array."""
    subject.built.transform(np.empty((0, 48, 48), np.uint8))


def takes_faces_of_another_size(subject: Subject) -> None:
    """Check that faces may have another size than 48x48, and need not be square."""
    for size in ((96, 96), (64, 40)):
        subject.built.transform(_faces(size))


def treats_each_face_alone(subject: Subject) -> None:
    """Check that a face's vector doesn't depend on other faces in the batch."""
    together = subject.built.transform(_faces())
    alone = np.concatenate([subject.built.transform(face[np.newaxis]) for face in _faces()])
    same = np.abs(alone - together).max() <= TOLERANCE * np.abs(together).max()
    subject.require(same, "returns another vector in a batch than alone")


def is_deterministic(subject: Subject) -> None:
    """Check that the same face always gives the same vector."""
    same = np.array_equal(subject.built.transform(_faces()), subject.built.transform(_faces()))
    subject.require(same, "returns different vectors for the same face")


def tells_faces_apart(subject: Subject) -> None:
    """Check that different faces give different vectors."""
    different = np.unique(subject.built.transform(_faces()), axis=0)
    subject.require(len(different) > 1, "returns the same vector for different faces")


def leaves_its_input_alone(subject: Subject) -> None:
    """Check that read-only faces and mirrored views are accepted and not changed."""
    faces = _faces()
    mirrored = faces[:, :, ::-1]
    mirrored.flags.writeable = False
    subject.require(
        np.array_equal(subject.built.transform(mirrored), subject.built.transform(mirrored.copy())),
        "returns another vector for a mirrored view than for its copy",
    )
    subject.built.transform(faces)
    subject.require(np.array_equal(faces, _faces()), "changes its input faces")


def tells_its_parts(subject: Subject) -> None:
    """Check that the parts of a vector, if the extractor tells them, have names of their own."""
    for vector in subject.built.transform(_faces()):
        names = [part.name for part in subject.built.parts(vector)]  # the guard checks the parts
        subject.require(len(set(names)) == len(names), "returns parts with equal names")


def takes_its_state_back(subject: Subject) -> None:
    """Check that a saved state gives the same vectors in another copy."""
    state = subject.built.get_state()  # the guard checks its names and numbers
    other: FeatureExtractor = subject.build()
    other.set_state({key: array.copy() for key, array in state.items()})
    again = other.get_state()
    subject.require(
        set(again) == set(state) and all(np.array_equal(again[key], state[key]) for key in state),
        "does not store the state that is set",
    )
    subject.require(
        np.array_equal(other.transform(_faces()), subject.built.transform(_faces())),
        "returns another vector after its state was saved and loaded",
    )


RULES: tuple[Callable[[Subject], None], ...] = (
    gives_finite_vectors,
    takes_no_faces,
    takes_faces_of_another_size,
    treats_each_face_alone,
    is_deterministic,
    tells_faces_apart,
    leaves_its_input_alone,
    tells_its_parts,
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
