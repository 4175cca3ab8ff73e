"""Contract checks of a backbone."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emonet.config import HeadConfig
from emonet.errors import WeightsError
from emonet.network.weights import get_weights, set_weights
from emonet.plugin import Json
from emonet.registry.catalog import Kind
from emonet.testing.checks import SHARED_RULES, Check, Subject
from emonet.testing.isolation import watch

if TYPE_CHECKING:
    import keras

SEED = 0
# Largest difference between equal computations, relative to the largest feature.
TOLERANCE = 1e-4


def backbone_checks(name: str, **config: Json) -> list[Check]:
    """Return the checks that every backbone must pass.

    The backbone is built twice, at the first check that needs it. Configure a small backbone to
    make the checks fast.

    Args:
        name: name of the backbone.
        config: settings that differ from the defaults.
    """
    subject = BackboneSubject(Kind.BACKBONE, name, config)
    return [Check(subject, rule) for rule in (*SHARED_RULES, *RULES)]


class BackboneSubject(Subject):
    """A backbone that all checks share, built at most twice."""

    accessed: Sequence[str] = ()

    @cached_property
    def built(self) -> "keras.Model":
        """The backbone; files and hosts that its build accesses are recorded."""
        import keras  # noqa: F401  (Keras reads its settings file here, not in the build)

        with watch() as self.accessed:
            return self._build_seeded()

    @cached_property
    def rebuilt(self) -> "keras.Model":
        """The backbone, built a second time in the same process."""
        _ = self.built
        return self._build_seeded()

    @cached_property
    def images(self) -> NDArray[np.float32]:
        """Two random images of the backbone's input size."""
        shape = (2, *self.built.input_shape[1:])
        return np.random.default_rng(SEED).uniform(0, 255, shape).astype(np.float32)

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """The features of the two images."""
        return self.run(self.images)

    def run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the features of float32 (n, height, width, 3) pixels, in inference mode."""
        return np.asarray(self.built(pixels, training=False))

    def _build_seeded(self) -> "keras.Model":
        from emonet.network.fusion import keras_settings

        with keras_settings(precision="float32", seed=SEED):
            model: keras.Model = self.build(pretrained=False)
        return model


def takes_rgb_of_its_input_size(subject: BackboneSubject) -> None:
    """Check the input: (None, height, width, 3), of the size in the configuration or spec."""
    spec: Any = subject.component.spec
    declared = {**spec.defaults, **subject.config}.get("input_size", spec.input_size)
    expected = (None, *declared, 3)
    subject.require(
        subject.built.input_shape == expected,
        f"must have input shape {expected}, got {subject.built.input_shape}",
    )
    default = spec.defaults.get("input_size", spec.input_size)
    subject.require(
        tuple(default) == spec.input_size,
        f"has input_size {spec.input_size} in its spec, but {default} in its defaults",
    )


def gives_finite_features(subject: BackboneSubject) -> None:
    """Check that each image of 0..255, even black or white, gives one float32 vector."""
    images = subject.images.copy()
    images[0], images[1] = 0, 255
    for features in (subject.features, subject.run(images)):
        expected = (2, subject.built.output_shape[1])
        subject.require(
            features.shape == expected and features.dtype == np.float32,
            f"must return float32 {expected}, got {features.dtype} {features.shape}",
        )
        subject.require(np.isfinite(features).all(), "returns features that are not finite")


def is_deterministic(subject: BackboneSubject) -> None:
    """Check that the same image always gives the same features."""
    subject.require(
        np.array_equal(subject.run(subject.images), subject.features),
        "returns different features for the same image. Turn off random layers in inference",
    )


def tells_images_apart(subject: BackboneSubject) -> None:
    """Check that different images give different features."""
    same = np.array_equal(*subject.features)
    subject.require(not same, "returns the same features for different images")


def treats_each_image_alone(subject: BackboneSubject) -> None:
    """Check that an image's features don't depend on other images in the batch."""
    same = _close(subject.run(subject.images[1:]), subject.features[1:])
    subject.require(same, "returns other features in a batch than alone")


def builds_without_files_or_network(subject: BackboneSubject) -> None:
    """Check that build uses neither disk nor network with pretrained=False."""
    _ = subject.built
    accessed = subject.accessed
    subject.require(not accessed, f"accesses {', '.join(accessed)} with pretrained=False")


def works_in_a_network(subject: BackboneSubject) -> None:
    """Check that a network with the backbone turns grey faces into probabilities."""
    network = _network(subject.built)
    faces = np.random.default_rng(SEED).uniform(0, 255, (2, 48, 48)).astype(np.float32)
    probabilities = np.asarray(network([faces], training=False))
    subject.require(
        probabilities.shape == (2, 7) and np.allclose(probabilities.sum(axis=1), 1, atol=1e-5),
        f"does not give probabilities in a network: {probabilities}",
    )


def names_its_weights_alike(subject: BackboneSubject) -> None:
    """Check that two builds in one process have equal weight names and shapes."""
    first, second = (
        {(name, array.shape) for name, array in get_weights(_network(model)).items()}
        for model in (subject.built, subject.rebuilt)
    )
    subject.require(
        first == second,
        f"has other weight names or shapes when it is built again: {sorted(first ^ second)}",
    )


def follows_the_seed(subject: BackboneSubject) -> None:
    """Check that the seed of Keras determines the initial weights."""
    first, second = subject.built.get_weights(), subject.rebuilt.get_weights()
    subject.require(
        len(first) == len(second) and all(map(np.array_equal, first, second)),
        "has different initial weights with the same seed",
    )


def takes_its_weights_back(subject: BackboneSubject) -> None:
    """Check that saved weights give the same features in another copy."""
    network, other = _network(subject.built), _network(subject.rebuilt)
    changed = {name: array / 2 for name, array in get_weights(network).items()}
    try:
        set_weights(other, changed, where="a changed copy")
        stored = get_weights(other)
        set_weights(other, get_weights(network), where="its own weights")
    except WeightsError as error:
        subject.require(False, f"can't be saved and loaded: {error}")
    subject.require(
        all(np.array_equal(stored[name], changed[name]) for name in changed),
        "does not store the weights that are set",
    )
    same = _close(np.asarray(subject.rebuilt(subject.images, training=False)), subject.features)
    subject.require(same, "returns other features after saving and loading")


RULES: tuple[Callable[[BackboneSubject], None], ...] = (
    takes_rgb_of_its_input_size,
    gives_finite_features,
    is_deterministic,
    tells_images_apart,
    treats_each_image_alone,
    builds_without_files_or_network,
    works_in_a_network,
    names_its_weights_alike,
    follows_the_seed,
    takes_its_weights_back,
)


def _network(backbone: "keras.Model") -> "keras.Model":
    from emonet.network.fusion import build_model

    return build_model(
        backbone,
        face_size=(48, 48),
        feature_sizes={},
        num_classes=7,
        head=HeadConfig(),
        subtract_mean_face=False,
    )


def _close(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    return bool(np.abs(first - second).max() <= TOLERANCE * np.abs(second).max())
