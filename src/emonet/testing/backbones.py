"""The contract of a backbone."""

from collections.abc import Callable, Mapping
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

__all__ = ["backbone_checks"]

SEED = 0
# Of the largest feature: how far two ways of computing the same may be apart.
TOLERANCE = 1e-4


def backbone_checks(name: str, **config: Json) -> list[Check]:
    """Return the checks that every backbone must pass.

    The backbone is built twice, at the first check that needs it. A configuration that makes
    it small makes the checks quick.

    Args:
        name: of the backbone.
        config: what differs from its defaults.
    """
    subject = BackboneSubject(Kind.BACKBONE, name, config)
    return [Check(subject, rule) for rule in (*SHARED_RULES, *RULES)]


class BackboneSubject(Subject):
    """A backbone, built once or twice however many checks use it."""

    def __init__(self, kind: Kind, name: str, config: Mapping[str, Json]) -> None:
        super().__init__(kind, name, config)
        self.touched: list[str] = []

    @cached_property
    def built(self) -> "keras.Model":
        """The backbone; what it touches while it is built is noted."""
        import keras  # noqa: F401  (its settings file is none of the backbone's)

        with watch() as self.touched:
            return self._seeded()

    @cached_property
    def twin(self) -> "keras.Model":
        """The backbone built once more in the same process."""
        _ = self.built
        return self._seeded()

    @cached_property
    def images(self) -> NDArray[np.float32]:
        """Two random images of the size that the backbone takes."""
        shape = (2, *self.built.input_shape[1:])
        return np.random.default_rng(SEED).uniform(0, 255, shape).astype(np.float32)

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """What the backbone makes of them."""
        return self.run(self.images)

    def run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the features of float32 (n, height, width, 3) pixels, in inference."""
        return np.asarray(self.built(pixels, training=False))

    def _seeded(self) -> "keras.Model":
        from emonet.network.fusion import keras_settings

        with keras_settings(precision="float32", seed=SEED):
            model: keras.Model = self.build(pretrained=False)
        return model


def takes_rgb_of_its_input_size(subject: BackboneSubject) -> None:
    """The input is (None, height, width, 3), as large as the configuration or the spec says."""
    spec: Any = subject.component.spec
    declared = {**spec.defaults, **subject.config}.get("input_size", spec.input_size)
    expected = (None, *declared, 3)
    subject.require(
        subject.built.input_shape == expected,
        f"must take {expected}; it takes {subject.built.input_shape}",
    )
    default = spec.defaults.get("input_size", spec.input_size)
    subject.require(
        tuple(default) == spec.input_size,
        f"declares input_size {spec.input_size}, but its default configuration says {default}",
    )


def gives_finite_features(subject: BackboneSubject) -> None:
    """One float32 vector for each image of 0..255, black and white ones included."""
    images = subject.images.copy()
    images[0], images[1] = 0, 255
    for features in (subject.features, subject.run(images)):
        expected = (2, subject.built.output_shape[1])
        subject.require(
            features.shape == expected and features.dtype == np.float32,
            f"must give float32 {expected}, it gives {features.dtype} {features.shape}",
        )
        subject.require(np.isfinite(features).all(), "gives features that are not finite")


def is_deterministic(subject: BackboneSubject) -> None:
    """The same image gives the same features each time."""
    subject.require(
        np.array_equal(subject.run(subject.images), subject.features),
        "gives other features for the same image; is something random left on in inference?",
    )


def tells_images_apart(subject: BackboneSubject) -> None:
    """Different images give different features."""
    subject.require(
        not np.array_equal(*subject.features), "gives the same features for different images"
    )


def treats_each_image_alone(subject: BackboneSubject) -> None:
    """An image's features don't depend on what else is in the batch."""
    alone = subject.run(subject.images[1:])
    subject.require(
        _near(alone, subject.features[1:]), "gives an image other features in a batch than alone"
    )


def builds_without_files_or_network(subject: BackboneSubject) -> None:
    """With pretrained=False, neither disk nor network is needed."""
    _ = subject.built
    subject.require(
        not subject.touched, f"asks for {', '.join(subject.touched)} with pretrained=False"
    )


def works_in_a_network(subject: BackboneSubject) -> None:
    """Inside a network, grey faces of another size become probabilities."""
    network = _network(subject.built)
    faces = np.random.default_rng(SEED).uniform(0, 255, (2, 48, 48)).astype(np.float32)
    probabilities = np.asarray(network([faces], training=False))
    subject.require(
        probabilities.shape == (2, 7) and np.allclose(probabilities.sum(axis=1), 1, atol=1e-5),
        f"gives no probabilities inside a network: {probabilities}",
    )


def names_its_weights_alike(subject: BackboneSubject) -> None:
    """Built twice in one process, it has the same weights by the same names."""
    shapes = [
        {name: array.shape for name, array in get_weights(_network(model)).items()}
        for model in (subject.built, subject.twin)
    ]
    subject.require(
        shapes[0] == shapes[1],
        f"names its weights otherwise when it is built again: "
        f"{sorted(shapes[0].items() ^ shapes[1].items())}",
    )


def follows_the_seed(subject: BackboneSubject) -> None:
    """Its initial weights follow from the seed of Keras."""
    first, second = subject.built.get_weights(), subject.twin.get_weights()
    subject.require(
        len(first) == len(second) and all(map(np.array_equal, first, second)),
        "starts from other weights although the seed is the same",
    )


def takes_its_weights_back(subject: BackboneSubject) -> None:
    """What get_weights returns makes another copy give the same features."""
    network, twin = _network(subject.built), _network(subject.twin)
    changed = {name: array / 2 for name, array in get_weights(network).items()}
    try:
        set_weights(twin, changed, where="a changed copy")
        kept = get_weights(twin)
        set_weights(twin, get_weights(network), where="its own weights")
    except WeightsError as error:
        subject.require(False, f"can't be saved and loaded: {error}")
    subject.require(
        all(np.array_equal(kept[name], changed[name]) for name in changed),
        "does not keep the weights that it is given",
    )
    features = np.asarray(subject.twin(subject.images, training=False))
    subject.require(
        _near(features, subject.features), "gives other features after saving and loading"
    )


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
        centred=False,
    )


def _near(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    return bool(np.abs(first - second).max() <= TOLERANCE * np.abs(second).max())
